"""The watch's process: looks at the health of db shards, several at the same time, until SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import uuid
from concurrent.futures import ThreadPoolExecutor

import structlog
from sqlalchemy.orm import Session

from api.watch import look
from api.watch.answers import ask_all
from worker import processes
from worker.context import Context

#: Shards at the same time; seconds between two searches for what is due.
THREADS, PAUSE = 8, 1.0

log = structlog.get_logger(__name__)


def work(context: Context, parent: int) -> None:
    """Watch until SIGTERM."""
    processes.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    serve(context, over)


def serve(context: Context, over: threading.Event) -> None:
    """Look at what is due until ``over`` is set."""
    busy: set[uuid.UUID] = set()
    with ThreadPoolExecutor(THREADS, thread_name_prefix="shard") as pool:
        while not over.is_set():
            try:
                # A look takes no lock, which on SQLite would be everybody's.
                with Session(context.engine.execution_options(isolation_level="AUTOCOMMIT")) as session:
                    found = look.due(session)
                for shard_id in found:
                    if shard_id not in busy and len(busy) < THREADS:
                        busy.add(shard_id)
                        pool.submit(once, context, shard_id, busy)
            except Exception:
                # The database may be away; whoever ends here sees nothing more.
                log.exception("shards to look at could not be found")
            over.wait(PAUSE)


def once(context: Context, shard_id: uuid.UUID, busy: set[uuid.UUID]) -> None:
    """Look at one shard, if nobody else does; then it is no longer among those at which this process looks."""
    try:
        with context.transaction() as session:
            target = look.take(session, shard_id)
        if target is None:
            return
        answers = ask_all([address for _, _, address, _ in target.nodes], context.settings.db_health_port)
        with context.transaction() as session:
            begun = look.write(session, target, answers, context.settings.watch_seconds)
        if begun is not None:
            log.warning("failover begun", shard=str(shard_id), job=str(begun.id))
    except Exception:
        log.exception("shard not looked at", shard=str(shard_id))
    finally:
        busy.discard(shard_id)
