"""Workers on machines of their own: containers that share the database, the queue and the directory of events."""

from __future__ import annotations

import os
import platform
import shlex
import subprocess
import sys

from tests.e2e.fleet import ROOT
from tests.faults.daemons import Daemons

WORKERS = ("worker-1", "worker-2", "worker-3")
#: What `podman run` needs on this machine; bin/lib/fleet.sh finds it out, and bin/test hands it on.
LIMITS = shlex.split(os.environ.get("FLEET_LIMITS", ""))
#: Settings that the containers are given.
SHARED = "HOSTREEVE_"


class Containers(Daemons):
    """Like Daemons, with three workers of one run each that see nothing of each other's processes."""

    parts = ("redis", "api", *WORKERS)

    def command(self, name: str) -> list[str]:
        """Return the command of a part; a worker runs in the foreground of a container."""
        if name not in WORKERS:
            return super().command(name)
        settings = {key: value for key, value in self.env.items() if key.startswith(SHARED)}
        # Sockets and inventories of runs are a machine's own.
        settings |= {"HOSTREEVE_RUN_DIR": "/run/hostreeve", "PYTHONPATH": self.env["PYTHONPATH"]}
        # The base image of this very release: the checkout's Python environment is made for it.
        image = f"localhost/hostreeve-debian:{platform.freedesktop_os_release()['VERSION_ID']}"
        return [
            *("podman", "run", "--rm", "--replace", "--name", self._container(name), "--hostname", name),
            *LIMITS,
            *("--network", "host", "--systemd=false", "--entrypoint", "", "--workdir", str(ROOT)),
            *(f"--volume={path}:{path}" for path in (ROOT, self.directory)),
            *(f"--env={key}={value}" for key, value in settings.items()),
            *(image, sys.executable, "-m", "worker", "--workers", "1"),
        ]

    def end(self, name: str) -> None:
        """Kill a part; of a container every process dies at once, as with a machine that loses its power."""
        if name in WORKERS:
            self._podman("kill", "--signal", "KILL", self._container(name))
        super().end(name)

    def roots(self, name: str) -> list[int]:
        """Return the pids of a part, as this machine counts them."""
        if name != "worker":
            return super().roots(name)
        told = [self._podman("inspect", "--format", "{{.State.Pid}}", self._container(one)) for one in WORKERS]
        return [int(pid) for pid in told if pid.strip() not in ("", "0")]

    def stop(self) -> None:
        """End everything."""
        for name in WORKERS:
            self._podman("stop", "--time", "30", self._container(name))
        super().stop()

    def _container(self, name: str) -> str:
        return f"{self.directory.name}-{name}"

    @staticmethod
    def _podman(*arguments: str) -> str:
        return subprocess.run(["podman", *arguments], capture_output=True, text=True, check=False).stdout
