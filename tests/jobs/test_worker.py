"""A real worker: processes are killed, hang and are drained; runs are real, with a local connection.

The balancer's module runs in check mode here: it needs no HAProxy for that and reports like on a host.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from redis import Redis

from api.core.settings import ROOT, Settings
from api.jobs.models import Job, JobHost, JobResource, Lease
from api.jobs.queue import Publisher
from worker import processes

Make = Callable[[str], uuid.UUID]

PLAY = """
- name: Balance
  hosts: lb
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: {python}}}
  tasks:
    - name: Show what a run inherits
      ansible.builtin.shell: "tr '\\\\0' '\\\\n' < /proc/$PPID/environ; env"
      register: inherited
    - name: Keep it
      ansible.builtin.copy: {{content: "{{{{ inherited.stdout }}}}", dest: "{work}/environment", mode: "0600"}}
    - name: Wait until the test goes on
      ansible.builtin.wait_for: {{path: "{work}/go", timeout: 60, sleep: 1}}
    - name: Report
      hostreeve.hosting.lb_resources:
        fqdns: "{{{{ lb_fqdns }}}}"
        shards: "{{{{ lb_shards | map(attribute='name') }}}}"
        map: {work}/hosts.map
        config: {work}/haproxy.cfg
        socket: {work}/none.sock
        master_socket: {work}/none.sock
      check_mode: true

- name: Reach
  hosts: web
  gather_facts: false
  tasks:
    - name: Never come here
      ansible.builtin.ping:
"""


#: What depends on the database; the other tests are run on one, as each takes seconds.
ON_BOTH = (
    "test_a_run_reports_and_inherits_no_secret",
    "test_what_comes_during_a_run_goes_with_the_next_one",
    "test_a_run_that_lost_its_lease_is_stopped",
)


class Work:
    """A worker process and what the test wants from it."""

    def __init__(self, engine: Any, path: Path, **changes: Any) -> None:
        self.path, self.engine = path, engine
        (path / "playbooks").mkdir()
        (path / "playbooks" / "converge.yml").write_text(PLAY.format(work=path, python=sys.executable))
        (path / "key").touch()
        (path / "known_hosts").touch()
        self.settings: Settings = replace(
            engine.settings,
            playbooks=path / "playbooks",
            ssh_key=path / "key",
            ssh_known_hosts=path / "known_hosts",
            lease_seconds=4,
            lease_renew_seconds=1,
            sweep_seconds=1,
            **changes,
        )
        self.publish = Publisher(self.settings, engine.maker)
        self.process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        for name, value in vars(self.settings).items():
            env["HOSTREEVE_" + name.upper()] = str(value)
        with (self.path / "worker.log").open("ab") as log:
            command = [sys.executable, "-m", "worker", "--workers", "2"]
            self.process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)

    def stop(self) -> None:
        if self.process is not None:
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                self.process.kill()

    def go(self) -> None:
        """Let the play go on."""
        (self.path / "go").touch()

    def job(self, job_id: uuid.UUID) -> Job:
        found: Job = self.engine.all(sa.select(Job).where(Job.id == job_id))[0]
        return found

    def until(self, check: Callable[[], Any], seconds: float = 60) -> Any:
        end = time.monotonic() + seconds
        while not (found := check()):
            assert time.monotonic() < end, (self.path / "worker.log").read_text()[-4000:]
            time.sleep(0.05)
        return found

    def running(self, job_id: uuid.UUID) -> int:
        """Wait until the play of a job waits; return the pid of its process."""
        self.until((self.path / "environment").exists)
        return int(self.job(job_id).worker.rpartition(":")[2])

    def ended(self, job_id: uuid.UUID) -> Job:
        """Wait for a job's end."""
        return self.until(lambda: (job := self.job(job_id)).state not in ("queued", "running") and job)  # type: ignore[no-any-return]


@pytest.fixture
def work(engine: Any, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Work]:
    Redis.from_url(engine.settings.redis_url).flushall()
    if engine.is_sqlite and request.node.originalname not in ON_BOTH:
        pytest.skip("the database makes no difference here")
    made = Work(engine, tmp_path, **getattr(request, "param", {}))
    made.start()
    yield made
    made.go()
    made.stop()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}") and not processes._is_zombie(pid)]


def test_a_run_reports_and_inherits_no_secret(work: Work, fqdn: Make) -> None:
    work.go()
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    job = work.ended(job_id)
    assert (job.state, job.reason, job.resources, job.changed, job.failed) == ("successful", "", 1, 1, 0)
    assert not job.events_lost
    assert len(job.events_sha256) == 64
    hosts = work.engine.all(sa.select(JobHost).where(JobHost.job_id == job_id))
    assert [(host.host, host.failed, host.unreachable) for host in hosts] == [("lb1", 0, False)]
    rows = work.engine.all(sa.select(JobResource).where(JobResource.job_id == job_id))
    assert [(row.resource_id, row.host, row.changed) for row in rows] == [(id_, "lb1", True)]
    assert not work.engine.deliveries(node_id=work.engine.ids["lb1"])
    assert work.engine.all(sa.select(Lease.holder).where(Lease.host == "lb1")) == [None]
    inherited = (work.path / "environment").read_text()
    assert "ANSIBLE_CONFIG" in inherited
    assert "HOSTREEVE_" not in inherited
    assert work.settings.secret_key not in inherited
    assert not (work.settings.run_dir / "jobs" / str(job_id)).exists()


def test_what_comes_during_a_run_goes_with_the_next_one(work: Work, fqdn: Make) -> None:
    fqdn("first.other.example")
    first = work.engine.queued("lb-a").id
    work.publish(first)
    work.running(first)
    names = [fqdn(f"n{number}.other.example") for number in range(20)]
    second = work.engine.queued("lb-a").id
    work.publish(second)  # busy: stays queued, and nobody needs to ask again
    work.go()
    assert work.ended(first).resources == 1
    job = work.ended(second)
    assert (job.state, job.resources) == ("successful", 20)
    rows = work.engine.all(sa.select(JobResource.resource_id).where(JobResource.job_id == second))
    assert set(rows) == set(names)


@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_killed_run_takes_its_processes_along_and_is_done_again(work: Work, fqdn: Make, victim: str) -> None:
    fqdn("www.other.example")
    lost = work.engine.queued("lb-a").id
    work.publish(lost)
    run = work.running(lost)
    below = list(processes.descendants(run))
    assert below
    parent = int(Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(run if victim == "run" else parent, signal.SIGKILL)
    # The play's own process dies with the one that watched it; a task under way may end by itself.
    work.until(lambda: not alive([run, below[-1]]), 10)
    work.go()
    assert work.ended(lost).state == "abandoned"
    again = work.until(lambda: work.engine.all(sa.select(Job).where(Job.state == "successful", Job.resources == 1)))
    assert again[0].shard_id == work.engine.ids["lb-a"]
    assert not work.engine.deliveries(node_id=work.engine.ids["lb1"])


def test_a_run_that_lost_its_lease_is_stopped(work: Work, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    run = work.running(job_id)
    below = list(processes.descendants(run))
    with work.engine.maker() as session, session.begin():
        session.execute(sa.update(Lease).where(Lease.host == "lb1").values(holder=uuid.uuid4(), token=Lease.token + 1))
    job = work.ended(job_id)
    assert job.state == "abandoned"
    work.until(lambda: not alive(below), 20)


@pytest.mark.parametrize("work", [{"job_timeout": 10}, {"idle_timeout": 10}], indirect=True)
def test_a_run_that_takes_too_long_fails_and_leaves_no_process(work: Work, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    run = work.running(job_id)
    below = list(processes.descendants(run))
    job = work.ended(job_id)
    assert job.state == "failed"
    assert job.reason == ("timeout" if work.settings.job_timeout == 10 else "idle_timeout")
    assert alive(below) == []
    delivery = work.engine.deliveries(resource_id=id_, node_id=work.engine.ids["lb1"])[0]
    assert (delivery.state, delivery.retry_at) == ("failed", None)
    assert "before it came to this host" in delivery.message


def test_sigterm_lets_the_run_end_and_takes_no_more(work: Work, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    work.running(job_id)
    assert work.process is not None
    work.process.terminate()
    time.sleep(1)
    assert work.process.poll() is None
    work.go()
    assert work.process.wait(60) == 0
    assert work.job(job_id).state == "successful"


def test_a_host_that_does_not_answer_fails_at_once_and_is_tried_again(work: Work, fqdn: Make) -> None:
    table = sa.table("node", sa.column("address"), sa.column("ssh_port"), sa.column("name"))
    with work.engine.maker() as session, session.begin():
        for number, name in enumerate(("web1", "web2")):
            # Nobody listens on the discard port.
            values = {"address": f"127.0.0.{number + 1}", "ssh_port": 9}
            session.execute(sa.update(table).where(table.c.name == name).values(values))
    id_ = fqdn("www.other.example")
    work.go()
    for shard in ("lb-a", "web-a"):
        work.publish(work.engine.queued(shard).id)
    status = work.until(lambda: (found := work.engine.status("fqdn", id_))[0] == "failed" and found)
    assert status[1].startswith("web1: does not answer")
    job = work.until(lambda: work.engine.all(sa.select(Job).where(Job.reason.startswith("host_failed"))))[0]
    assert job.reason == "host_failed: web1 (unreachable), web2 (unreachable)"
    hosts = work.engine.all(sa.select(JobHost.message).where(JobHost.job_id == job.id))
    assert all("Connection refused" in message for message in hosts)
    deliveries = [row for row in work.engine.deliveries(resource_id=id_) if row.retry_at]
    assert [row.tries for row in deliveries] == [1, 1]
    assert all("127.0.0" not in row.message for row in deliveries)


def test_a_flushed_queue_loses_no_work(work: Work, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.go()
    work.publish(job_id)
    Redis.from_url(work.settings.redis_url).flushall()
    assert work.ended(job_id).state == "successful"
