"""One run of a playbook: its private directory, its environment, ansible-runner, and how it is stopped."""

from __future__ import annotations

import os
import shlex
import shutil
import signal
import sys
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson
import structlog
from ansible_runner.interface import init_runner

from api.core.settings import ROOT, Settings
from worker import limit, processes

log = structlog.get_logger(__name__)

#: Characters of a module's result that ansible-runner lets through; beyond them it silently sends an empty one.
LONGEST_RESULT = 50_000_000
#: Seconds between SIGTERM and SIGKILL.
GRACE = 10
CONNECT_SECONDS = 10
#: Seconds that a connection stays open for the next run.
PERSIST_SECONDS = 600
INVENTORY = "run.hostreeve.yml"

Event = dict[str, Any]


class Stop:
    """Why a run must stop. Asked by ansible-runner about once per second; never raises."""

    def __init__(self, settings: Settings, timeout: int = 0) -> None:
        self.reason = ""
        self._settings = settings
        # The queue's own limit is about the setting, so nothing may last longer.
        self._timeout = min(timeout or settings.job_timeout, settings.job_timeout)
        self._started = self._heard = time.monotonic()
        self._terminated: float | None = None

    def heard(self) -> None:
        """Note a sign of life."""
        self._heard = time.monotonic()

    def __call__(self) -> bool:
        """Return True when ansible-runner shall kill what is left of the run."""
        moment = time.monotonic()
        if not self.reason:
            if moment - self._started > self._timeout:
                self.reason = "timeout"
            elif moment - self._heard > self._settings.idle_timeout:
                self.reason = "idle_timeout"
            else:
                return False
        if self._terminated is None:
            # The main process ends its forks and local modules on SIGTERM; a killed one leaves them behind.
            self._terminated = moment
            processes.terminate(signal.SIGTERM)
        return moment - self._terminated > GRACE


@contextmanager
def private_directory(settings: Settings, job_id: str, document: dict[str, Any]) -> Iterator[Path]:
    """A directory that only this run sees, with its inventory; gone afterwards."""
    path = settings.run_dir / "jobs" / job_id
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(mode=0o700, parents=True)
    try:
        descriptor = os.open(path / "document.json", os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(descriptor, "wb") as file:
            file.write(orjson.dumps(document))
        (path / INVENTORY).write_text("plugin: hostreeve.hosting.platform\ndocument: document.json\n")
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


@dataclass(frozen=True)
class Extras:
    """What a launch adds to a run; by default nothing."""

    #: where the playbook is; None: the platform's own
    project: Path | None = None
    options: Sequence[str] = ()
    environment: Mapping[str, str] = field(default_factory=dict)
    #: a private key of its own, in place of the platform's
    ssh_key: Path | None = None


NOTHING = Extras()


def environment(settings: Settings, directory: Path, extras: Extras = NOTHING) -> dict[str, str]:
    """Return the whole environment of a run: nothing of ours is inherited, least of all the database's address."""
    shared = settings.run_dir / "ansible"
    sockets = settings.run_dir / "cp"
    for path in (shared, sockets):
        path.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Paths are quoted for ansible's own splitting. A config of the user must not change how hosts are reached.
    # Runs share connections, but for one with a key of its own: it must not go on with what another key opened.
    shared_connection = ("-o", "ControlMaster=auto", "-o", f"ControlPersist={PERSIST_SECONDS}s")
    ssh = [
        *("-F", "none"),
        *(("-o", "ControlMaster=no") if extras.ssh_key else shared_connection),
        *("-o", "StrictHostKeyChecking=yes", "-o", f"UserKnownHostsFile={settings.ssh_known_hosts.resolve()}"),
        *("-o", "GlobalKnownHostsFile=none", "-o", "IdentitiesOnly=yes", "-o", "BatchMode=yes"),
        *("-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=4"),
    ]
    return {
        **extras.environment,
        "PATH": f"{Path(sys.executable).parent}:/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin",
        "HOME": str(shared),
        "LC_ALL": "C.UTF-8",
        "TZ": "UTC",
        processes.MARK: directory.name,
        "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
        "ANSIBLE_HOME": str(shared),
        "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
        "ANSIBLE_INVENTORY_ENABLED": "hostreeve.hosting.platform",
        "ANSIBLE_PRIVATE_KEY_FILE": str((extras.ssh_key or settings.ssh_key).resolve()),
        "ANSIBLE_SSH_ARGS": shlex.join(ssh),
        "ANSIBLE_SSH_CONTROL_PATH_DIR": str(sockets),
        "ANSIBLE_SSH_RETRIES": "0",
        "ANSIBLE_TIMEOUT": str(CONNECT_SECONDS),
        "ANSIBLE_HOST_KEY_CHECKING": "True",
        "ANSIBLE_FORCE_COLOR": "True",
        "ANSIBLE_DEPRECATION_WARNINGS": "False",
        # A run is about one shard, so most plays match no host.
        "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore",
        "MAX_EVENT_RES": str(LONGEST_RESULT),
    }


def play(
    settings: Settings,
    playbook: str,
    directory: Path,
    on_event: Callable[[Event], Any],
    stop: Stop,
    *,
    extras: Extras = NOTHING,
    ident: str = "run",
) -> tuple[str, int]:
    """Run a playbook; return ansible-runner's status and the exit code. Every process of it is gone afterwards.

    A second run in the same directory needs an ``ident`` of its own.
    """
    runner = init_runner(
        private_data_dir=str(directory),
        project_dir=str(extras.project or settings.playbooks),
        playbook=playbook,
        inventory=str(directory / INVENTORY),
        ident=ident,
        suppress_env_files=True,
        quiet=True,
        event_handler=on_event,
        cancel_callback=stop,
    )
    config = runner.config
    config.env = _only(environment(settings, directory, extras), config.env)
    # Given as arguments, settings are forgotten unless a file repeats them.
    config.pexpect_timeout = 1
    config.suppress_output_file = True
    program, *rest = config.command
    limited = [*_tied(), sys.executable, "-I", "-S", limit.__file__]
    config.command = [*limited, *_tied(), program, *extras.options, *rest]
    try:
        status, code = runner.run()
    finally:
        # Also after a good end: what a task left behind must not go on beside the next run. A process that cannot be
        # killed now (it waits for a disk) keeps the hosts' leases, since the run has not ended.
        while not processes.kill_all():
            log.warning("processes of the run are still there", job=directory.name)
    return status, code


def _only(ours: dict[str, str], theirs: dict[str, str]) -> dict[str, str]:
    """Return our environment with what ansible-runner added to its copy of this process's."""
    return {key: value for key, value in theirs.items() if os.environ.get(key) != value} | ours


def _tied() -> list[str]:
    """Return a prefix that lets a program end with the process that watches it."""
    setpriv = shutil.which("setpriv")
    return [setpriv, "--pdeathsig", "KILL", "--"] if setpriv else []
