"""``python -m worker --workers 3``: the supervisor of the workers, of the sweeper, of the sender and of the watch.

Everything is imported once, here; a worker and each of its runs are forks and start with it in memory.
"""

from __future__ import annotations

import argparse
import os
import signal
import sys
import time
from collections.abc import Callable
from contextlib import suppress
from types import FrameType

import structlog

from api.core import logs
from api.core.settings import load
from api.jobs.queue import DEFAULT
from worker import notify, rq_worker, sweeper, watch
from worker.context import Context, context_for

#: Seconds before a process that ended is started again.
PAUSE = 1.0

log = structlog.get_logger(__name__)
Main = Callable[[Context, int], None]


class Supervisor:
    """Keeps one process per role alive; on SIGTERM it lets each end what it does."""

    def __init__(self, context: Context, roles: list[Main]) -> None:
        self._context, self._waiting = context, [(0.0, role) for role in roles]
        self._running: dict[int, Main] = {}
        self._draining = False

    def serve(self) -> None:
        """Return when the last process has ended after SIGTERM or SIGINT."""
        for number in (signal.SIGTERM, signal.SIGINT):
            signal.signal(number, self._drain)
        while self._running or not self._draining:
            self._start_due()
            with suppress(ChildProcessError):
                pid, status = os.waitpid(-1, os.WNOHANG)
                if pid:
                    self._ended(pid, status)
                    continue
            time.sleep(0.2)

    def _start_due(self) -> None:
        due = [entry for entry in self._waiting if entry[0] <= time.monotonic()] if not self._draining else []
        for entry in due:
            self._waiting.remove(entry)
            self._running[self._fork(entry[1])] = entry[1]

    def _fork(self, role: Main) -> int:
        parent = os.getpid()
        pid = os.fork()
        if pid:
            return pid
        try:
            for number in (signal.SIGTERM, signal.SIGINT):
                signal.signal(number, signal.SIG_DFL)
            role(self._context, parent)
        except BaseException:
            log.exception("process of the worker broke")
            os._exit(1)
        os._exit(0)

    def _ended(self, pid: int, status: int) -> None:
        role = self._running.pop(pid, None)
        if role is None:
            return
        if not self._draining:
            log.warning("process ended, starting it again", role=role.__module__, status=status)
            self._waiting.append((time.monotonic() + PAUSE, role))

    def _drain(self, _number: int, _frame: FrameType | None) -> None:
        self._draining = True
        for pid in self._running:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGTERM)


def main() -> int:
    """Run the worker; 2 if the settings are wrong."""
    parser = argparse.ArgumentParser(prog="python -m worker", description=__doc__)
    parser.add_argument("--workers", type=int, default=2, help="runs at the same time (default: 2)")
    parser.add_argument("--queue", default=DEFAULT, help="queue of a region or shard (default: %(default)s)")
    arguments = parser.parse_args()
    logs.configure()
    count = max(1, arguments.workers)
    try:
        context = context_for(load(), arguments.queue)
    except (ValueError, RuntimeError) as error:
        print(f"worker: {error}", file=sys.stderr)
        return 2
    Supervisor(context, [sweeper.work, notify.work, watch.work, *[rq_worker.work] * count]).serve()
    return 0


if __name__ == "__main__":
    sys.exit(main())
