"""A platform whose parts can be killed one by one and come back, as a service manager would bring them back."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path

import psutil
from cryptography.fernet import Fernet

from tests.e2e.client import Client, eventually
from tests.e2e.fleet import FLEET, ROOT, free_port, issue_key, ready

#: What dies and is brought back by its parent or by the sweeper → the part that it belongs to.
OWNERS = {"api-worker": "api", "worker-process": "worker", "run": "worker", "playbook": "worker"}


class Daemons:
    """PostgreSQL (durable), the queue, the API and a worker; short leases, so that a storm need not last long."""

    def __init__(self, directory: Path) -> None:
        self.directory, self.port = directory, free_port()
        self.base = f"http://127.0.0.1:{self.port}"
        self._processes: dict[str, subprocess.Popen[bytes]] = {}
        self._queue = directory / "queue.sock"
        self._disk = directory / "data"
        self._pg = directory / "pg"
        self._bin = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: float(path.parent.name))[-1]
        self.env = {
            **os.environ,
            "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}",
            "HOSTREEVE_DATABASE_URL": f"postgresql+psycopg://hostreeve@/postgres?host={directory}",
            "HOSTREEVE_REDIS_URL": f"unix://{self._queue}",
            "HOSTREEVE_DATA_DIR": str(self._disk),
            "HOSTREEVE_RUN_DIR": str(directory / "run"),
            "HOSTREEVE_SSH_KEY": str(FLEET / "key"),
            "HOSTREEVE_SSH_KNOWN_HOSTS": str(FLEET / "known_hosts"),
            "HOSTREEVE_SECRET_KEY": Fernet.generate_key().decode(),
            "HOSTREEVE_BIND": f"127.0.0.1:{self.port}",
            "HOSTREEVE_LEASE_SECONDS": "12",
            "HOSTREEVE_LEASE_RENEW_SECONDS": "3",
            "HOSTREEVE_SWEEP_SECONDS": "2",
        }

    #: the parts besides PostgreSQL, in the order in which they start
    parts: tuple[str, ...] = ("redis", "api", "worker")

    def start(self) -> Client:
        """Make everything new; return a client with a key for everything."""
        self._disk.mkdir()
        # A disk of its own under the events, which can be filled.
        subprocess.run(["mount", "-t", "tmpfs", "-o", "size=64m", "tmpfs", str(self._disk)], check=True)
        self._pg.mkdir()
        for path in (self.directory, self._pg):
            shutil.chown(path, "postgres")
        self._as_postgres("initdb", "-D", str(self._pg), "-U", "hostreeve", "-A", "trust", "-E", "UTF8", "--no-locale")
        self.postgres("start")
        subprocess.run([sys.executable, "-m", "api", "db", "upgrade"], cwd=ROOT, env=self.env, check=True)
        for name in self.parts:
            self.launch(name)
        eventually(lambda: ready(self.base), 60)
        return Client(self.base, issue_key(self.env, "*", "*"))

    def stop(self) -> None:
        """End everything; what the parts said goes to the test's output."""
        for name in reversed(self.parts):
            process = self._processes[name]
            with suppress(ProcessLookupError):
                process.terminate()
            try:
                process.wait(60)
            except subprocess.TimeoutExpired:
                process.kill()
        self.postgres("stop", "-m", "immediate")
        subprocess.run(["umount", "-l", str(self._disk)], check=False)
        for name in self.parts[1:]:
            print(f"--- {name}\n" + (self.directory / f"{name}.log").read_text()[-6000:])

    def launch(self, name: str) -> None:
        """Start a part."""
        command = self.command(name)
        with (self.directory / f"{name}.log").open("ab") as log:
            self._processes[name] = subprocess.Popen(
                command, cwd=ROOT, env=self.env, stdout=log, stderr=subprocess.STDOUT
            )

    def command(self, name: str) -> list[str]:
        """Return the command of a part."""
        python = sys.executable
        commands = {
            "redis": [
                shutil.which("valkey-server") or "redis-server",
                *("--port", "0", "--unixsocket", str(self._queue), "--dir", str(self.directory), "--save", ""),
            ],
            "api": [python, "-m", "gunicorn", "-c", "python:api.gunicorn", "api.app:create_app()"],
            "worker": [python, "-m", "worker", "--workers", "3"],
        }
        return commands[name]

    def postgres(self, action: str, *options: str) -> None:
        """Start, stop or restart PostgreSQL."""
        server = f"-c listen_addresses='' -c unix_socket_directories={self.directory}"
        self._as_postgres(
            "pg_ctl", "-D", str(self._pg), "-l", str(self._pg / "log"), "-o", server, "-w", *options, action
        )

    def kill(self, victim: str) -> bool:
        """Kill a part with SIGKILL, or PostgreSQL's way of it, and bring back what has nobody else to do so.

        Victims: redis, api (master), api-worker, worker (supervisor), worker-process, run, playbook, postgres, and
        disk, which fills up under the event files for some seconds. Returns False if no such process comes.
        """
        if victim == "disk":
            self._fill_disk(5)
            return True
        if victim == "postgres":
            self.postgres("restart", "-m", "immediate")
            return True
        owner = OWNERS.get(victim, victim)
        if victim == owner:
            self.end(owner)
            if owner == "redis":
                self._queue.unlink(missing_ok=True)
            # As a service manager would: not at once.
            time.sleep(1)
            self.launch(owner)
            return True
        # A run comes and goes; wait a little for one.
        end = time.monotonic() + 10
        while not (pids := [pid for root in self.roots(owner) for pid in self._below(root, victim)]):
            if time.monotonic() > end:
                return False
            time.sleep(0.05)
        with suppress(ProcessLookupError):
            os.kill(pids[0], signal.SIGKILL)
        return True

    def _fill_disk(self, seconds: float) -> None:
        filler = self._disk / "filler"
        with suppress(OSError), filler.open("wb", buffering=0) as file:
            while True:
                file.write(bytes(1 << 20))
        time.sleep(seconds)
        filler.unlink()

    def end(self, name: str) -> None:
        """Kill a part, and wait until it is gone."""
        self._processes[name].kill()
        self._processes[name].wait()

    def roots(self, name: str) -> list[int]:
        """Return the pids of the processes that a part began with."""
        return [self._processes[name].pid]

    def _below(self, pid: int, victim: str) -> list[int]:
        level = {"api-worker": 1, "worker-process": 1, "run": 2, "playbook": 4}[victim]
        found = [psutil.Process(pid)]
        for _ in range(level):
            below = []
            for process in found:
                with suppress(psutil.Error):
                    below += process.children()
            found = below
        return [process.pid for process in found]

    def _as_postgres(self, program: str, *arguments: str) -> None:
        done = subprocess.run(
            ["runuser", "-u", "postgres", "--", str(self._bin / program), *arguments],
            cwd="/",
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            check=False,
            timeout=60,
        )
        assert done.returncode == 0, f"{program} {arguments}"


def insist(work: Callable[[], object], seconds: float = 60) -> object:
    """Do what a portal does while the platform stumbles: again, until it is answered."""
    end = time.monotonic() + seconds
    while True:
        try:
            return work()
        except Exception:
            if time.monotonic() > end:
                raise
            time.sleep(0.3)
