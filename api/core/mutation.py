"""One mutation: a transaction with the change, its audit row, its jobs and its idempotency row; then the queue."""

from __future__ import annotations

import time
import uuid
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Any

import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor
from api.core import audit, idempotency
from api.core.db import unit_of_work
from api.core.state import state
from api.core.wire import answer, encode
from api.jobs.models import Job

#: Times that a transaction is tried again after the database ended it to break a deadlock.
TRIES = 3
RETRYABLE = ("40001", "40P01")


@dataclass
class Outcome:
    """What a mutation did: for the audit and for the answer ``{"resource", "jobs"}``."""

    kind: str
    resource_id: uuid.UUID
    #: the answer's resource, as JSON values
    resource: dict[str, Any]
    jobs: Sequence[Job] = ()
    brand_id: uuid.UUID | None = None
    before: dict[str, Any] | None = None
    after: dict[str, Any] | None = None
    status: int = 202
    #: shown in this answer only; a replay says null
    once: dict[str, Any] = field(default_factory=dict)
    headers: dict[str, str] = field(default_factory=dict)


def mutate(action: str, work: Callable[[Session], Outcome]) -> Response:
    """Carry out ``work`` in one transaction and answer; call it at the end of an authorised view.

    ``work`` may run more than once, each time with a new session, so it must not change anything else.
    """
    for left in reversed(range(TRIES)):
        try:
            return _once(action, work)
        except sa.exc.OperationalError as error:
            if not left or getattr(error.orig, "sqlstate", None) not in RETRYABLE:
                raise
    raise AssertionError("unreachable")


def _once(action: str, work: Callable[[Session], Outcome]) -> Response:
    started = time.perf_counter()
    key = idempotency.requested_key()
    with unit_of_work(state().maker, state().publish) as session:
        memory = None
        if key is not None:
            memory, fresh = idempotency.claim(session, actor().id, key)
            if not fresh:
                return answer(memory.body.encode(), memory.status, {"Idempotency-Replayed": "true"})
        outcome = work(session)
        # The statements must run now: a constraint that refuses must do so before anything is answered.
        session.flush()
        jobs = [{"id": job.id, "state": job.state, "shard_id": job.shard_id} for job in outcome.jobs]
        audit.record(
            session,
            actor=actor(),
            action=action,
            kind=outcome.kind,
            resource_id=outcome.resource_id,
            brand_id=outcome.brand_id,
            before=outcome.before,
            after=outcome.after,
            result="accepted",
            duration_ms=round((time.perf_counter() - started) * 1000),
            job_ids=[job.id for job in outcome.jobs],
        )
        body = {"resource": outcome.resource, "jobs": jobs}
        if memory is not None:
            memory.status = outcome.status
            memory.body = encode({**body, **dict.fromkeys(outcome.once)}).decode()
    return answer({**body, **outcome.once}, outcome.status, outcome.headers)
