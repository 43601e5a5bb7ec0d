"""Terminals for tests: an API in a process of its own, and people who run ansible-playbook against it."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import sqlalchemy as sa

from api.auth.keys import issue
from api.core.settings import ROOT
from api.jobs.models import Lease
from api.jobs.terminal import TerminalRun

SECONDS = 4
LEASE = f"- ansible.builtin.import_playbook: {ROOT}/playbooks/lease.yml\n"
PLAY = """
- name: Work
  hosts: web:lb
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: {python}}}
  tasks:
    - name: Note what a host is told
      ansible.builtin.copy:
        content: "{{{{ hostreeve_fence | default('none') }}}} {{{{ names }}}}"
        dest: "{work}/{{{{ inventory_hostname }}}}"
        mode: "0600"
      vars:
        names: "{{{{ web_fqdns | default([]) | map(attribute='fqdn') | sort | join(' ') }}}}"
    - name: Wait until the test goes on
      ansible.builtin.shell: "touch {work}/begun; while [ ! -e {work}/go ]; do sleep 0.2; done"
      run_once: true
"""


@dataclass
class Server:
    """An API in a process of its own, on a test's database."""

    url: str
    process: subprocess.Popen[bytes]

    def send(self, number: signal.Signals) -> None:
        """Send a signal to gunicorn and all its workers."""
        os.killpg(self.process.pid, number)


def ready(url: str) -> bool:
    try:
        return httpx.get(f"{url}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def until(check: Callable[[], Any], told: Callable[[], str], seconds: float = 40) -> Any:
    end = time.monotonic() + seconds
    while not (found := check()):
        assert time.monotonic() < end, told()
        time.sleep(0.05)
    return found


class Run:
    """One ansible-playbook."""

    def __init__(self, command: list[str], path: Path, env: dict[str, str]) -> None:
        self._log = path / f"log-{uuid.uuid4()}"
        with self._log.open("wb") as file:
            # A session of its own: the test's Ctrl-C must reach this run and nothing else.
            self.process = subprocess.Popen(
                command, cwd=path, env=env, stdout=file, stderr=file, start_new_session=True
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def until(self, check: Callable[[], Any], seconds: float = 40) -> Any:
        return until(check, lambda: self.output, seconds)

    def ended(self, seconds: float = 40) -> int:
        """Wait for the end; return the exit code."""
        self.until(lambda: self.process.poll() is not None, seconds)
        return int(self.process.returncode)


class Terminal:
    """A person with a key, a checkout and a playbook."""

    def __init__(self, engine: Any, server: Server, path: Path) -> None:
        self.engine, self.path = engine, path
        self.key = self.issue("night shift", "*")
        (path / "play.yml").write_text(LEASE + PLAY.format(work=path, python=sys.executable))
        (path / "api.yml").write_text("plugin: hostreeve.hosting.platform\n")
        self.env = {
            "PATH": f"{Path(sys.executable).parent}:{os.environ['PATH']}",
            "HOME": str(path),
            "LC_ALL": "C.UTF-8",
            "LOGNAME": "anna",
            "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"),
            "ANSIBLE_NOCOLOR": "1",
            "ANSIBLE_HOST_PATTERN_MISMATCH": "ignore",
            "HOSTREEVE_URL": server.url,
            "HOSTREEVE_API_KEY": self.key,
        }
        self.runs: list[Run] = []

    def issue(self, name: str, *scopes: str) -> str:
        with self.engine.maker.begin() as session:
            return issue(session, name, scopes, ["*"])[1]

    def start(self, *arguments: str, inventory: str = "api.yml", play: str = "play.yml", **env: str) -> Run:
        command = ["ansible-playbook", "-i", inventory, play, *arguments]
        self.runs.append(Run(command, self.path, {**self.env, **env}))
        return self.runs[-1]

    def told(self, host: str) -> list[str]:
        """Return what a host was told, its fencing token first; nothing if no task came to it."""
        path = self.path / host
        return path.read_text().split() if path.exists() else []

    def waiting(self, run: Run) -> Run:
        """Return a run once it has come to its long task."""
        run.until(lambda: (self.path / "begun").exists() or run.process.poll() is not None)
        assert run.process.poll() is None, run.output
        return run

    def go(self) -> None:
        (self.path / "go").touch()

    def holders(self) -> set[Any]:
        return set(self.engine.all(sa.select(Lease.holder).where(Lease.holder.is_not(None))))

    def runs_held(self) -> list[TerminalRun]:
        return list(self.engine.all(sa.select(TerminalRun)))
