"""Workflows go on: at once behind the end of a launch, and by the sweeper for whatever nobody took on."""

from __future__ import annotations

import uuid

import structlog

from api.workflow import advance
from worker.context import Context

log = structlog.get_logger(__name__)


def go_on(context: Context, job_id: uuid.UUID | None = None) -> int:
    """Take on the runs that wait for nothing any longer, or only that of a job; return how many.

    One that breaks keeps no other from it. Never raises: the sweeper tries again.
    """
    count = 0
    try:
        with context.maker() as session:
            due = advance.due(session, job_id)
        for run_id in due:
            try:
                with context.transaction() as session:
                    count += advance.advance(session, run_id)
            except Exception:
                log.exception("workflow did not go on", run=str(run_id))
    except Exception:
        log.exception("workflows did not go on")
    return count
