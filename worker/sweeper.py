"""The sweeper's process: sweeps, fires schedules, takes workflows on, queues searches and looks, until SIGTERM."""

from __future__ import annotations

import os
import signal
import threading
import time
import uuid
from contextlib import suppress

import sqlalchemy as sa
import structlog

from api.jobs import files
from api.jobs.models import Job
from api.jobs.retention import forget, forget_reads
from api.jobs.steer import OVER
from api.jobs.sweep import purge, sweep
from api.launch import schedules
from api.operations import usage
from api.plan import search
from api.usage import store
from worker import processes, workflows
from worker.context import Context

#: Seconds between two purges.
PURGE = 600

log = structlog.get_logger(__name__)


def work(context: Context, parent: int) -> None:
    """Sweep until SIGTERM."""
    processes.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return
    over = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: over.set())
    purge_at = 0.0
    while not over.is_set():
        once(context, purging=time.monotonic() >= purge_at)
        if time.monotonic() >= purge_at:
            purge_at = time.monotonic() + PURGE
        over.wait(context.settings.sweep_seconds)


def reap(context: Context) -> int:
    """Kill what runs left on this machine that have ended, whoever ended them; return how many processes that were."""
    marked = processes.marked()
    jobs = {}
    for text in set(marked.values()):
        with suppress(ValueError):
            jobs[uuid.UUID(text)] = text
    if not jobs:
        return 0
    # Only what this database knows: another platform may have its worker here.
    ended = sa.select(Job.id).where(Job.id.in_(jobs), Job.state.in_(OVER))
    with context.maker() as session:
        over = {jobs[id_] for id_ in session.scalars(ended)}
    left = [pid for pid, text in marked.items() if text in over]
    if left:
        log.warning("processes of ended runs killed", jobs=sorted(over), processes=len(left))
        processes.kill(left)
    return len(left)


def fire_due(context: Context) -> int:
    """Fire the schedules that are due; return how many this process fired. One that breaks keeps no other from it."""
    with context.maker() as session:
        due = schedules.waiting(session)
    fired = 0
    for id_ in due:
        try:
            with context.transaction() as session:
                fired += schedules.fire(session, id_) is not None
        except Exception:
            log.exception("schedule did not fire", schedule=str(id_))
    return fired


def search_due(context: Context) -> int:
    """Queue the searches for drift that are due; return how many this process queued. One that breaks ends no other."""
    with context.maker() as session:
        due = search.due(session)
    begun = 0
    for shard_id in due:
        try:
            with context.transaction() as session:
                begun += search.begin(session, shard_id) is not None
        except Exception:
            log.exception("search for drift not queued", shard=str(shard_id))
    return begun


def look_due(context: Context) -> int:
    """Queue the looks at usage that are due; return how many jobs that are."""
    try:
        with context.maker() as session:
            due = usage.due(session)
        if not due:
            return 0
        with context.transaction() as session:
            return len(usage.begin(session, due))
    except Exception:
        log.exception("look at usage not queued")
        return 0


def once(context: Context, purging: bool = False) -> None:
    """Sweep once; an error is logged, and the next sweep tries again."""
    try:
        reap(context)
        with context.maker() as session, session.begin():
            found = sweep(session)
        for job_id in found:
            context.publish(job_id)
        fire_due(context)
        workflows.go_on(context)
        search_due(context)
        look_due(context)
        if purging:
            with context.maker() as session, session.begin():
                purge(session, context.settings.audit_days)
                store.purge(session)
                forgotten = [*forget_reads(session), *forget(session, context.settings.job_days)]
            for job_id in forgotten:
                files.remove(context.settings.data_dir, job_id)
    except Exception:
        # A sweep that fails must not end the one who would repeat it.
        log.exception("sweep failed")
