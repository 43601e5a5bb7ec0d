"""Real servers for the tests: a private PostgreSQL and a private Redis or Valkey, on sockets, gone at the end.

``settings`` runs a test twice, on SQLite and on PostgreSQL. Each database is migrated once; before every test it is
put back to the state in which ``prepare`` (a directory's conftest may override it) left it.
"""

from __future__ import annotations

import os
import shutil
import sqlite3
import subprocess
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

import api.kinds  # noqa: F401 - the registry must be full when tests are collected
from api.core.db import Base, engine_for
from api.core.migrate import upgrade
from api.core.settings import Settings

SECRET_KEY = Fernet.generate_key().decode()


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out the SQLite half of what is marked ``one_engine``."""
    left_out = [item for item in items if item.get_closest_marker("one_engine") and "[sqlite" in item.name]
    config.hook.pytest_deselected(items=left_out)
    gone = set(map(id, left_out))
    items[:] = [item for item in items if id(item) not in gone]


def _wait(ready: Callable[[], bool], what: str, seconds: float = 20) -> None:
    end = time.monotonic() + seconds
    while not ready():
        assert time.monotonic() < end, f"{what} did not start"
        time.sleep(0.02)


@pytest.fixture(scope="session")
def server_dir() -> Iterator[Path]:
    """A short path, since sockets allow about a hundred characters."""
    path = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    path.chmod(0o755)
    yield path
    shutil.rmtree(path, ignore_errors=True)


@pytest.fixture(scope="session")
def redis_url(server_dir: Path) -> Iterator[str]:
    """A queue server of our own."""
    binary = shutil.which("valkey-server") or shutil.which("redis-server")
    assert binary, "neither valkey-server nor redis-server is installed"
    socket = server_dir / "queue.sock"
    command = [binary, "--port", "0", "--unixsocket", str(socket), "--dir", str(server_dir), "--save", ""]
    with subprocess.Popen(command, stdout=subprocess.DEVNULL) as server:
        _wait(socket.exists, "the queue server")
        yield f"unix://{socket}"
        server.terminate()


@pytest.fixture(scope="session")
def postgres(server_dir: Path) -> Iterator[Callable[[str], str]]:
    """A PostgreSQL of our own; call it with a name for the URL of a new, empty database."""
    binaries = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
    assert binaries, "PostgreSQL's server is not installed"
    bin_, data = binaries[-1], server_dir / "pg"
    # The server refuses to run as root.
    prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
    data.mkdir()
    if prefix:
        shutil.chown(data, "postgres")

    def run(*command: str) -> None:
        done = subprocess.run([*prefix, *command], cwd="/", capture_output=True, text=True, check=False)
        assert done.returncode == 0, f"{command[0]}: {done.stdout}{done.stderr}"

    run(str(bin_ / "initdb"), "-D", str(data), "-U", "hostreeve", "-A", "trust", "-E", "UTF8", "--no-locale", "-N")
    # Durability is of no use to a server that dies with the test.
    options = f"-k {data} -c listen_addresses='' -c fsync=off -c full_page_writes=off -c synchronous_commit=off"
    run(str(bin_ / "pg_ctl"), "-D", str(data), "-o", options, "-l", str(data / "log"), "-w", "start")

    def create(name: str) -> str:
        url = f"postgresql+psycopg://hostreeve@/{{}}?host={data}"
        engine = sa.create_engine(url.format("postgres"), isolation_level="AUTOCOMMIT")
        with engine.connect() as connection:
            connection.exec_driver_sql(f"drop database if exists {name} with (force)")
            connection.exec_driver_sql(f"create database {name}")
        engine.dispose()
        return url.format(name)

    yield create
    run(str(bin_ / "pg_ctl"), "-D", str(data), "-m", "immediate", "stop")


@pytest.fixture(scope="session", params=["sqlite", "postgresql"])
def settings(request: pytest.FixtureRequest, redis_url: str, tmp_path_factory: pytest.TempPathFactory) -> Settings:
    """Settings with a migrated database, on either engine."""
    work = tmp_path_factory.mktemp(request.param)
    sqlite = request.param == "sqlite"
    url = f"sqlite:///{work}/main.db" if sqlite else request.getfixturevalue("postgres")("main")
    upgrade(url)
    return Settings(
        database_url=url,
        redis_url=redis_url,
        secret_key=SECRET_KEY,
        data_dir=work / "data",
        run_dir=work / "run",
    )


@pytest.fixture(scope="session")
def app(settings: Settings) -> Any:
    """The application, as gunicorn would make it."""
    from api.app import create_app

    return create_app(settings)


@pytest.fixture(scope="session")
def prepare() -> Callable[[Any], Any]:
    """What every test begins with, given the application; its answer is the fixture ``prepared``."""
    return lambda app: None


class Clean:
    """Puts a database back to a remembered state."""

    def __init__(self, settings: Settings, prepared: Any) -> None:
        self.prepared = prepared
        self._engine = engine_for(settings.database_url)
        self._tables = [table for table in Base.metadata.sorted_tables]
        if self._engine.dialect.name == "sqlite":
            self._copy = sqlite3.connect(":memory:")
            self._live = sqlite3.connect(settings.database_url.removeprefix("sqlite:///"), timeout=30)
            self._live.backup(self._copy)
        else:
            with self._engine.connect() as connection:
                found = {table: connection.execute(table.select()).mappings().all() for table in self._tables}
            self._rows = {table: [dict(row) for row in rows] for table, rows in found.items()}

    def __call__(self) -> None:
        if self._engine.dialect.name == "sqlite":
            self._copy.backup(self._live)
            return
        with self._engine.begin() as connection:
            # Without triggers and foreign keys: the audit refuses to be deleted. Quicker than truncate on small tables.
            connection.exec_driver_sql("set local session_replication_role = replica")
            connection.exec_driver_sql("; ".join(f'delete from "{table.name}"' for table in self._tables))
            for table, rows in self._rows.items():
                if rows:
                    connection.execute(table.insert(), rows)

    def close(self) -> None:
        if self._engine.dialect.name == "sqlite":
            self._live.close()
            self._copy.close()
        self._engine.dispose()


@pytest.fixture(scope="session")
def _cleaners(settings: Settings) -> Iterator[dict[Any, Clean]]:
    """The remembered states of a database by what made them; None is the empty one."""
    found = {None: Clean(settings, None)}
    yield found
    for clean in found.values():
        clean.close()


@pytest.fixture
def prepared(settings: Settings, app: Any, prepare: Callable[[Any], Any], _cleaners: dict[Any, Clean]) -> Any:
    """A database as ``prepare`` left it, and what it returned."""
    if prepare not in _cleaners:
        _cleaners[None]()
        _cleaners[prepare] = Clean(settings, prepare(app))
    _cleaners[prepare]()
    return _cleaners[prepare].prepared
