"""The sender's process: sends notices that are due, some at the same time, until SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy.orm import Session

from api.notify import callbacks
from api.notify.sender import Sender, Taken, due, forget, take
from worker import processes
from worker.context import Context

#: Notices on their way at the same time; seconds between two looks when nothing is due, and between two tidyings.
THREADS, PAUSE, TIDY = 8, 1.0, 60.0

log = structlog.get_logger(__name__)


def work(context: Context, parent: int) -> None:
    """Send until SIGTERM; then end what is on its way, and return."""
    processes.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    serve(context, Sender(context.settings, context.maker), over)


def serve(context: Context, sender: Sender, over: threading.Event) -> None:
    """Send what is due until ``over`` is set."""
    tidy_at = 0.0
    with ThreadPoolExecutor(THREADS, thread_name_prefix="sender") as pool:
        desk = _Desk(context, sender, pool)
        while not over.is_set():
            try:
                if time.monotonic() >= tidy_at:
                    tidy_at = time.monotonic() + TIDY
                    tidy(context)
                if not desk.hand_out():
                    over.wait(PAUSE)
            except Exception:
                # The database may be away; whoever ends here sends nothing more.
                log.exception("notices could not be looked for")
                over.wait(PAUSE)


def tidy(context: Context) -> None:
    """Settle call-backs that nobody settled, and forget what was sent long ago."""
    with context.maker.begin() as session:
        callbacks.settle_forgotten(session)
    with context.maker.begin() as session:
        forget(session, context.settings.notice_days)


class _Desk:
    """Hands notices to threads, and knows what is on its way to each target."""

    def __init__(self, context: Context, sender: Sender, pool: ThreadPoolExecutor) -> None:
        self._context, self._sender, self._pool = context, sender, pool
        self._changed = threading.Condition()
        self._busy: Counter[str] = Counter()

    def hand_out(self) -> int:
        """Take what is due and has room, and return how much that was."""
        with self._changed:
            if not self._changed.wait_for(lambda: self._busy.total() < THREADS, PAUSE):
                return 0
            busy = self._busy.copy()
        # A look takes no lock, which on SQLite would be everybody's.
        with Session(self._context.engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
            found = due(session, THREADS - busy.total(), busy)
        count = 0
        for entry in found:
            with self._context.maker.begin() as session:
                taken = take(session, *entry)
            if taken is not None:
                self._start(taken)
                count += 1
        return count

    def _start(self, taken: Taken) -> None:
        with self._changed:
            self._busy[taken.target] += 1
        self._pool.submit(self._send, taken)

    def _send(self, taken: Taken) -> None:
        try:
            self._sender.send(taken)
        finally:
            with self._changed:
                self._busy[taken.target] -= 1
                self._busy += Counter()
                self._changed.notify_all()
