"""The platform's own processes for the bench: PostgreSQL, the queue, the API, the worker; gone at the end."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx
from cryptography.fernet import Fernet

from tests.bench import fleet
from tests.e2e.client import Client


def eventually(check: Callable[[], bool], what: str, patience: float = 60) -> None:
    """Wait until something is true; SystemExit if it does not come."""
    end = time.monotonic() + patience
    while not check():
        if time.monotonic() > end:
            raise SystemExit(f"{what} did not come within {patience} s; see {fleet.WORK}/*.log")
        time.sleep(0.05)


class Servers:
    """A context in which servers are started; they end with it, the last one first."""

    def __enter__(self) -> Self:
        self._stack = ExitStack()
        # A short path, since sockets allow about a hundred characters.
        self._dir = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
        self._dir.chmod(0o755)
        self._stack.callback(shutil.rmtree, self._dir, ignore_errors=True)
        fleet.WORK.mkdir(parents=True, exist_ok=True)
        self._secret = Fernet.generate_key().decode()
        self._queue()
        self._postgres()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stack.close()

    def launch(self, name: str, command: list[str], env: dict[str, str] | None = None, patience: float = 60) -> None:
        """Start a process that ends with the context; what it says goes to .cache/bench/NAME.log."""
        log = self._stack.enter_context((fleet.WORK / f"{name}.log").open("w"))
        process = subprocess.Popen(command, cwd=fleet.ROOT, env=env, stdout=log, stderr=subprocess.STDOUT)

        def end() -> None:
            process.terminate()
            try:
                process.wait(patience)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()

        self._stack.callback(end)

    def environment(self, database: str) -> dict[str, str]:
        """Return the environment of the platform's processes, with a new database that holds the schema."""
        env = {
            **os.environ,
            "PYTHONPATH": f"{fleet.ROOT}:{fleet.ROOT / 'collections'}",
            "HOSTREEVE_DATABASE_URL": self.database(database),
            "HOSTREEVE_REDIS_URL": f"unix://{self._dir}/queue.sock",
            "HOSTREEVE_DATA_DIR": str(self._dir / database),
            "HOSTREEVE_RUN_DIR": str(self._dir / f"{database}-run"),
            "HOSTREEVE_SSH_KEY": str(fleet.FLEET / "key"),
            "HOSTREEVE_SSH_KNOWN_HOSTS": str(fleet.FLEET / "known_hosts"),
            "HOSTREEVE_SECRET_KEY": self._secret,
        }
        self._command("db", "upgrade", env=env)
        return env

    def database(self, name: str) -> str:
        """Make a database and return its URL."""
        self._as_postgres("createdb", "-h", str(self._dir), "-U", "hostreeve", name)
        return f"postgresql+psycopg://hostreeve@/{name}?host={self._dir}"

    def api(self, env: dict[str, str]) -> Client:
        """Start the API on a free port of loopback and return a client with a key for everything."""
        key = self._command(
            "keys", "create", "--name", "bench", "--scopes", "*", "--brands", "*", env=env
        ).splitlines()[-1]
        return Client(self.gunicorn("api", "api.app:create_app()", env), key)

    def gunicorn(self, name: str, app: str, env: dict[str, str]) -> str:
        """Start an application with the API's own settings of gunicorn, and return its address."""
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port = probe.getsockname()[1]
        command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn", app]
        self.launch(f"{name}-{port}", command, {**env, "HOSTREEVE_BIND": f"127.0.0.1:{port}"})
        base = f"http://127.0.0.1:{port}"

        def ready() -> bool:
            try:
                return httpx.get(f"{base}/readyz").status_code == 200
            except httpx.HTTPError:
                return False

        eventually(ready, name)
        return base

    def _command(self, *arguments: str, env: dict[str, str]) -> str:
        done = subprocess.run(
            [sys.executable, "-m", "api", *arguments],
            cwd=fleet.ROOT,
            env=env,
            check=True,
            stdout=subprocess.PIPE,
            text=True,
        )
        return done.stdout.strip()

    def _queue(self) -> None:
        program = shutil.which("valkey-server") or shutil.which("redis-server")
        if not program:
            raise SystemExit("neither valkey-server nor redis-server is installed")
        path = self._dir / "queue.sock"
        self.launch("queue", [program, "--port", "0", "--unixsocket", str(path), "--save", "", "--dir", str(self._dir)])
        eventually(path.exists, "the queue")

    def _postgres(self) -> None:
        # With its durability: a burst of mutations must pay for it.
        data = self._dir / "pg"
        data.mkdir()
        if os.geteuid() == 0:  # the server refuses to run as root
            shutil.chown(data, "postgres")
        self._as_postgres("initdb", "-D", str(data), "-U", "hostreeve", "-A", "trust", "-E", "UTF8", "--no-locale")
        options = f"-c listen_addresses='' -c unix_socket_directories={data.parent}"
        # The directory of the socket is ours; only the server must be able to write there.
        if os.geteuid() == 0:
            shutil.chown(self._dir, "postgres")
        self._as_postgres("pg_ctl", "-D", str(data), "-o", options, "-l", str(data / "log"), "-w", "start")
        self._stack.callback(self._as_postgres, "pg_ctl", "-D", str(data), "-m", "fast", "stop")

    @staticmethod
    def _as_postgres(program: str, *arguments: str) -> None:
        folders = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))
        if not folders:
            raise SystemExit("PostgreSQL's server is not installed")
        prefix = ["runuser", "-u", "postgres", "--"] if os.geteuid() == 0 else []
        done = subprocess.run(
            [*prefix, str(folders[-1] / program), *arguments], cwd="/", capture_output=True, text=True, check=False
        )
        if done.returncode:
            raise SystemExit(f"{program}: {done.stdout}{done.stderr}")
