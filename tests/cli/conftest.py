"""The real API as a process on a loopback port, the real command line as a process, and a worker played by hand."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from api.core import crypto
from api.core.db import engine_for, maker_for
from api.core.kind import registry
from api.core.migrate import upgrade
from api.core.settings import Settings
from api.jobs.models import Job
from tests.conftest import SECRET_KEY, Clean
from tests.jobs.conftest import Engine

ROOT = Path(__file__).resolve().parents[2]
UNSETTLED = ("pending", "provisioning", "deleting")


@dataclass
class Server:
    """A running API with a migrated SQLite database."""

    url: str
    key: str
    settings: Settings
    env: dict[str, str]

    def issue(self, scopes: str, brands: str = "*") -> str:
        """Issue a key as an operator does."""
        command = ["api", "keys", "create", "--name", "test", "--scopes", scopes, "--brands", brands]
        return python(command, self.env).stdout.strip().splitlines()[-1]


def python(command: list[str], env: dict[str, str], cwd: Path = ROOT) -> subprocess.CompletedProcess[str]:
    """Run a module; it must succeed."""
    done = subprocess.run(
        [sys.executable, "-m", *command], cwd=cwd, env=env, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    return done


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


@pytest.fixture(scope="session")
def server(redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """Start gunicorn on a database of its own; the tests of this directory share it."""
    work = tmp_path_factory.mktemp("cli")
    settings = Settings(
        database_url=f"sqlite:///{work}/main.db",
        redis_url=redis_url,
        secret_key=SECRET_KEY,
        data_dir=work / "data",
        run_dir=work / "run",
    )
    upgrade(settings.database_url)
    crypto.use(SECRET_KEY)
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}",
        "HOSTREEVE_DATABASE_URL": settings.database_url,
        "HOSTREEVE_REDIS_URL": redis_url,
        "HOSTREEVE_SECRET_KEY": SECRET_KEY,
        "HOSTREEVE_DATA_DIR": str(settings.data_dir),
        "HOSTREEVE_RUN_DIR": str(settings.run_dir),
        "HOSTREEVE_BIND": f"127.0.0.1:{free_port()}",
        "HOSTREEVE_WORKERS": "1",
        # More than the streams that a process holds at once.
        "HOSTREEVE_THREADS": "40",
        "HOSTREEVE_GIT_URLS": "https://git.example.net/,ssh://git@git.example.net/",
    }
    command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn", "api.app:create_app()"]
    found = Server(f"http://{env['HOSTREEVE_BIND']}", "", settings, env)
    found.key = found.issue("*")
    with (work / "api.log").open("w") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)
    try:
        until(lambda: is_ready(found.url), "the API is not ready", 90)
        yield found
    finally:
        process.terminate()
        process.wait(30)
        print((work / "api.log").read_text()[-4000:])


def is_ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def until(check: Callable[[], Any], what: str, seconds: float = 30) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, what
        time.sleep(0.02)
    return found


@pytest.fixture(scope="session")
def _clean(server: Server) -> Iterator[Clean]:
    clean = Clean(server.settings, None)
    yield clean
    clean.close()


@dataclass
class Cli:
    """``hostctl`` as a process of its own, with a home of its own."""

    home: Path
    env: dict[str, str]

    def run(
        self, *arguments: str, code: int = 0, stdin: str | None = None, **env: str | None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command; its exit code must be ``code``. A variable that is None is left out."""
        found = {**self.env, **env}
        done = subprocess.run(
            [sys.executable, "-m", "hostctl", *arguments],
            cwd=ROOT,
            env={name: value for name, value in found.items() if value is not None},
            input=stdin if stdin is not None else "",
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == code, f"{arguments}: {done.returncode}\n{done.stdout}\n{done.stderr}"
        return done

    def json(self, *arguments: str, code: int = 0, **env: str | None) -> Any:
        """Run a command with ``--json`` and return what it wrote."""
        return json.loads(self.run(*arguments, "--json", code=code, **env).stdout)

    def start(self, *arguments: str, **env: str) -> subprocess.Popen[str]:
        """Start a command that goes on."""
        command = [sys.executable, "-m", "hostctl", *arguments]
        return subprocess.Popen(
            command, cwd=ROOT, env={**self.env, **env}, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
        )

    def make(self, plural: str, **fields: str) -> dict[str, Any]:
        """Create a resource through the command line and return it."""
        options = [text for name, value in fields.items() for text in (f"--{name.replace('_', '-')}", value)]
        resource: dict[str, Any] = self.json(plural, "create", *options)["resource"]
        return resource


@pytest.fixture
def cli(server: Server, _clean: Clean, tmp_path: Path) -> Cli:
    """The command line with an operator's key, on an empty database."""
    _clean()
    home = tmp_path / "home"
    home.mkdir()
    key = home / "key"
    key.write_text(server.key + "\n")
    key.chmod(0o600)
    base = {name: os.environ[name] for name in ("PATH", "LANG") if name in os.environ}
    env = {
        **base,
        "HOME": str(home),
        "PYTHONPATH": str(ROOT),
        "HOSTCTL_URL": server.url,
        "HOSTCTL_KEY_FILE": str(key),
    }
    return Cli(home, env)


@dataclass
class Worker:
    """Takes queued jobs and plays their runs, in a thread, as long as the test goes on."""

    engine: Engine
    #: title of a resource → why its hosts refuse it
    refuse: dict[str, str] = field(default_factory=dict)
    stopped: threading.Event = field(default_factory=threading.Event)
    errors: list[BaseException] = field(default_factory=list)

    def work(self) -> None:
        try:
            while not self.stopped.wait(0.05):
                for job in self.engine.all(sa.select(Job).where(Job.state == "queued")):
                    self.run(job)
        except BaseException as error:
            self.errors.append(error)

    def run(self, job: Job) -> None:
        """One whole run; every host reports."""
        self.engine.ids["it"] = job.shard_id
        taken = self.engine.claim("it")
        document = self.engine.document(taken)
        for host, sent in document.sent.items():
            failed = {uuid.UUID(id_): text for id_, kind in sent.items.items() if (text := self.refused(kind, id_))}
            self.engine.report(taken, document, host, failed=failed)
        self.engine.end(taken)

    def refused(self, kind: str, id_: str) -> str | None:
        row = self.engine.row(kind, uuid.UUID(id_))
        return self.refuse.get(getattr(row, registry[kind].title))


@pytest.fixture
def idle(server: Server, cli: Cli) -> Iterator[Engine]:
    """The steps of a run as calls, for a test that plays the worker itself."""
    engine = engine_for(server.settings.database_url)
    yield Engine(server.settings, maker_for(engine), None)
    engine.dispose()


@pytest.fixture
def worker(idle: Engine) -> Iterator[Worker]:
    """A worker that takes whatever is queued."""
    found = Worker(idle)
    thread = threading.Thread(target=found.work)
    thread.start()
    yield found
    found.stopped.set()
    thread.join(30)
    assert not found.errors, found.errors
