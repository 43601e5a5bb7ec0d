"""A real worker for tests: a process that takes jobs of the test's database, with plays that run here.

The balancer's module runs in check mode: it needs no HAProxy for that and reports like on a host.
"""

from __future__ import annotations

import multiprocessing
import os
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from api.core.settings import ROOT, Settings
from api.jobs.models import Job
from api.jobs.queue import Publisher
from worker import processes

#: Workers are forks of a process that has imported everything once: that takes longer than most of what they do here.
FORKS = multiprocessing.get_context("forkserver")
FORKS.set_forkserver_preload(["worker.__main__"])

#: The beginning of a play that runs here, up to its tasks.
HEAD = """
- name: Balance
  hosts: lb
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: {python}}}
  tasks:
"""

PLAY = """
    - name: Show what a run inherits
      ansible.builtin.shell: "tr '\\\\0' '\\\\n' < /proc/$PPID/environ; env"
      register: inherited
    - name: Keep it
      ansible.builtin.copy: {{content: "{{{{ inherited.stdout }}}}", dest: "{work}/environment", mode: "0600"}}
    - name: Wait until the test goes on
      ansible.builtin.wait_for: {{path: "{work}/go", timeout: 60, sleep: 1}}
"""

#: The task that reports; the last one of a play.
REPORT = """
    - name: Report
      hostreeve.hosting.lb_resources:
        fqdns: "{{{{ lb_fqdns }}}}"
        shards: "{{{{ lb_shards | map(attribute='name') }}}}"
        map: {work}/hosts.map
        config: {work}/haproxy.cfg
        socket: {work}/none.sock
        master_socket: {work}/none.sock
      check_mode: true
"""

REACH = """
- name: Reach
  hosts: web
  gather_facts: false
  tasks:
    - name: Never come here
      ansible.builtin.ping:
"""


def serve(env: dict[str, str], log: str) -> None:
    """Be ``python -m worker`` with these variables of the environment and this log."""
    from worker.__main__ import main

    with open(log, "ab") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    os.environ.update(env)
    os.chdir(ROOT)
    sys.argv = ["worker", "--workers", "2"]
    sys.exit(main())


class Work:
    """A worker process and what the test wants from it."""

    def __init__(self, engine: Any, path: Path, **changes: Any) -> None:
        self.path, self.engine = path, engine
        (path / "playbooks").mkdir()
        (path / "playbooks" / "converge.yml").write_text(
            (HEAD + PLAY + REPORT + REACH).format(work=path, python=sys.executable)
        )
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
        self.process: Any = None

    def start(self) -> None:
        env = {**os.environ, "PYTHONPATH": str(ROOT)}
        for name, value in vars(self.settings).items():
            env["HOSTREEVE_" + name.upper()] = str(value)
        self.process = FORKS.Process(target=serve, args=(env, str(self.path / "worker.log")))
        self.process.start()

    def restart(self, **changes: Any) -> None:
        """Start again with other settings."""
        self.stop()
        self.settings = replace(self.settings, **changes)
        self.start()

    def stop(self) -> None:
        """Let it end what it does, and stop."""
        if self.process is not None:
            self.process.terminate()
            self.process.join(30)
            if self.process.exitcode is None:
                self.process.kill()
        # Nobody is left who would kill what runs left behind.
        self._kill_runs()

    def abandon(self) -> None:
        """Stop, whatever it does: nobody wants to know how that ends."""
        if self.process is not None:
            self.process.terminate()
            end = time.monotonic() + 30
            while self.process.is_alive() and time.monotonic() < end:
                self._kill_runs()
                self.process.join(0.2)
            self.process.kill()
        self._kill_runs()

    def _kill_runs(self) -> None:
        ours = {str(id_) for id_ in self.engine.all(sa.select(Job.id))}
        processes.kill(pid for pid, job in processes.marked().items() if job in ours)

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


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}") and not processes._is_zombie(pid)]
