"""The furnished platform of the job tests, a real worker, and REST to an application with the worker's settings."""

from __future__ import annotations

import getpass
import os
import shutil
import socket
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from redis import Redis

from api.app import create_app
from api.auth.keys import issue
from api.jobs.models import Job
from tests.api.conftest import Rest
from tests.jobs.conftest import Engine, engine, prepare  # noqa: F401 - fixtures
from tests.jobs.working import Work
from tests.launch.flow import Flow
from worker.context import Context

#: A play that runs here, on whatever hosts the launch has.
LOCAL = """
- name: Here
  hosts: {hosts}
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: {python}, text: of the play}}
  tasks:
"""


@dataclass
class Stage:
    """A worker and a client."""

    work: Work
    rest: Rest
    key: str

    @property
    def path(self) -> Path:
        return self.work.path

    def playbook(self, name: str, tasks: str, hosts: str = "all") -> str:
        """Write one of the platform's own playbooks; ``{work}`` in it is the test's directory."""
        head = LOCAL.format(hosts=hosts, python=sys.executable)
        (self.path / "playbooks" / name).write_text(head + tasks.replace("{work}", str(self.path)))
        return name

    def template(self, **fields: Any) -> dict[str, Any]:
        """Make a template; its inventory is one host of its own, so that no other test's hosts are held."""
        if "inventory_id" not in fields:
            fields["inventory_id"] = self.inventory("one", {"one": {}})["id"]
        return self.rest.make("templates", **{"name": "Template", "playbook": "play.yml", **fields})

    def inventory(self, name: str, hosts: dict[str, Any], **fields: Any) -> dict[str, Any]:
        return self.rest.make("inventories", name=name, source="static", hosts=hosts, **fields)

    def launch(self, template: dict[str, Any], **body: Any) -> uuid.UUID:
        """Launch a template; return the job's id."""
        answer = self.rest.post(f"/templates/{template['id']}/launch", body)
        assert answer.status_code == 202, answer.text
        return uuid.UUID(answer.json["jobs"][0]["id"])

    def run(self, template: dict[str, Any], **body: Any) -> Job:
        """Launch a template and wait for its end."""
        return self.work.ended(self.launch(template, **body))

    def output(self, job: Job) -> str:
        found: str = self.rest.get(f"/jobs/{job.id}/output?format=text").text
        return found

    def state(self, job_id: uuid.UUID) -> str:
        return str(self.work.engine.all(sa.select(Job.state).where(Job.id == job_id))[0])


#: What depends on the database; the other tests are run on one, as each takes seconds.
ON_BOTH = (
    "test_a_launch_runs_and_is_told",
    "test_turns",
    "test_a_launch_takes_the_leases_of_its_hosts",
    "test_a_workflow_runs",
    "test_a_plan_is_approved_and_applied",
)


@pytest.fixture
def stage(engine: Engine, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Stage]:  # noqa: F811
    Redis.from_url(engine.settings.redis_url).flushall()
    if engine.is_sqlite and request.node.originalname not in ON_BOTH:
        pytest.skip("the database makes no difference here")
    (tmp_path / "projects").mkdir()
    changes = {"projects": tmp_path / "projects", **getattr(request, "param", {})}
    work = Work(engine, tmp_path, **changes)
    app = create_app(work.settings)
    with engine.maker.begin() as session:
        key = issue(session, "operator", ["*"], ["*"])[1]
    work.start()
    yield Stage(work, Rest(app, key), key)
    work.abandon()


@pytest.fixture
def wait(stage: Stage) -> Callable[[], None]:
    """Write the playbook wait.yml, which says that it runs and ends when the answer is called."""
    stage.playbook(
        "wait.yml",
        """
    - ansible.builtin.shell: "echo {{ inventory_hostname }} >> {work}/began"
    - ansible.builtin.wait_for: {path: "{work}/go", timeout: 60, sleep: 1}
""",
    )
    return stage.work.go


SSHD = """
HostKey {path}/host-key
AuthorizedKeysFile {path}/authorized/{name}
PidFile none
StrictModes no
UsePAM no
PasswordAuthentication no
"""


@pytest.fixture
def sshd(stage: Stage) -> Iterator[dict[str, Any]]:
    """Two SSH servers here: one that knows the worker's key, and on the next port one that knows only another key.

    Gives the variables by which an inventory reaches the first.
    """
    path, program = stage.path, shutil.which("sshd", path=f"{os.environ['PATH']}:/usr/sbin")
    if program is None:
        pytest.skip("needs an SSH server")
    (path / "authorized").mkdir()
    (path / "key").unlink()
    for name in ("host-key", "key", "other-key"):
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", str(path / name)], check=True)
    Path("/run/sshd").mkdir(exist_ok=True)
    port, servers = free_ports(), []
    host = " ".join((path / "host-key.pub").read_text().split()[:2])
    for number, name in enumerate(("key", "other-key")):
        (path / "authorized" / name).write_text((path / f"{name}.pub").read_text())
        (path / f"sshd-{name}").write_text(SSHD.format(path=path, name=name))
        with (path / "known_hosts").open("a") as known:
            known.write(f"[127.0.0.1]:{port + number} {host}\n")
        command = [program, "-D", "-e", "-f", str(path / f"sshd-{name}"), "-o", f"Port={port + number}"]
        servers.append(subprocess.Popen([*command, "-o", "ListenAddress=127.0.0.1"], stderr=subprocess.DEVNULL))
    for number in range(2):
        stage.work.until(lambda number=number: answers(port + number), 20)
    yield {"ansible_host": "127.0.0.1", "ansible_port": port, "ansible_user": getpass.getuser()}
    for server in servers:
        server.terminate()
        server.wait()


def free_ports() -> int:
    """Return the first of two free ports."""
    while True:
        with socket.socket() as one, socket.socket() as two:
            one.bind(("127.0.0.1", 0))
            port = int(one.getsockname()[1])
            with suppress(OSError):
                two.bind(("127.0.0.1", port + 1))
                return port


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


@pytest.fixture
def flow(engine: Engine) -> Flow:  # noqa: F811
    """Workflows of a template that nobody runs."""
    with engine.maker.begin() as session:
        key = issue(session, "operator", ["*"], ["*"])[1]
    rest = Rest(create_app(engine.settings), key)
    context = Context(engine.settings, engine.maker.kw["bind"], engine.maker, engine.published.append)
    return Flow(engine, rest, context, rest.make("templates", name="Any", playbook="site.yml"))
