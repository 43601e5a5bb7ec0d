"""Call-backs: ``callback_url`` of a mutation is told once, when what it wished has settled.

The wish waits as a notice in the state ``waiting``, so that it survives restarts; the transaction in which the
resource settles makes it due. A later wish that supersedes it settles both.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Collection
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from flask import request
from sqlalchemy.orm import Session

from api.auth.guard import actor
from api.core.announce import Facts
from api.core.db import now
from api.core.errors import invalid
from api.core.kind import Kind, registry
from api.core.mutation import Outcome
from api.core.state import state
from api.jobs import tell
from api.jobs.sql import chunks
from api.notify.models import CallbackSecret, Notice, is_waiting
from api.notify.targets import Policy, Refused, origin, parse, policy_of

PARAMETER = "callback_url"
#: Topic of a call-back until it is known what became of its resource.
WAITING = "callback"
SETTLED = frozenset(tell.TOPIC.values())


def payload(topic: str, kind: str, id_: uuid.UUID, facts: dict[str, Any], at: datetime) -> dict[str, Any]:
    """Return what a receiver is told."""
    found = {**facts, "topic": topic, "at": at.isoformat(), "kind": kind, "id": str(id_)}
    return {_storable(name): _storable(value) for name, value in found.items()}


def _storable(value: Any) -> Any:
    """Return a JSON value without what no database holds: whoever announces must not fail by what a host said."""
    if isinstance(value, str):
        return value.replace("\0", "").encode("utf-8", "replace").decode()
    if isinstance(value, dict):
        return {_storable(name): _storable(inner) for name, inner in value.items()}
    return [_storable(inner) for inner in value] if isinstance(value, list) else value


def called_back(work: Callable[[Session], Outcome]) -> Callable[[Session], Outcome]:
    """Return the work of a mutation that also notes the request's call-back, if it asks for one; 422 names it."""
    url = request.args.get(PARAMETER)
    if url is None:
        return work
    who = actor()
    try:
        target = origin(parse(url, policy_of(state().settings.notify_allow) if who.brands is None else Policy()))
    except Refused as error:
        raise invalid(PARAMETER, str(error), where="query") from None

    def both(session: Session) -> Outcome:
        if session.get(CallbackSecret, who.id) is None:
            raise invalid(PARAMETER, "needs a secret to sign it with: POST /callback-secret", where="query")
        outcome = work(session)
        session.flush()
        _note(session, outcome, url, target)
        return outcome

    return both


def _note(session: Session, outcome: Outcome, url: str, target: str) -> None:
    resource, who = outcome.resource, actor()
    row = Notice(
        key_id=who.id,
        url=url,
        target=target,
        topic=WAITING,
        kind=outcome.kind,
        resource_id=outcome.resource_id,
        generation=resource["generation"],
        # What a key of all brands asked for is the platform's, and nobody else's to see.
        brand_id=outcome.brand_id if who.brands is not None else None,
        state="waiting",
    )
    session.add(row)
    session.flush()
    status = resource["status"]
    if status not in tell.TOPIC:
        return
    kind = registry[outcome.kind]
    facts = tell.facts_of(session, kind, [outcome.resource_id]) or {outcome.resource_id: _last(kind, outcome)}
    settle(session, tell.TOPIC[status], kind.name, facts)


def _last(kind: Kind, outcome: Outcome) -> dict[str, Any]:
    """Return what is told of a row that went with its mutation."""
    row = outcome.resource
    return tell.last_facts(row[kind.title], row["generation"], outcome.brand_id, row.get("tenant_id"))


def waiting(session: Session, topic: str, kind: str, ids: Collection[uuid.UUID]) -> set[uuid.UUID]:
    """Return the resources for which a call-back waits that the topic settles."""
    if topic not in SETTLED:
        return set()
    found: set[uuid.UUID] = set()
    for part in chunks(ids):
        mine = sa.select(Notice.resource_id).where(is_waiting(), Notice.kind == kind, Notice.resource_id.in_(part))
        found.update(session.scalars(mine))
    return found


def settle(session: Session, topic: str, kind: str, known: Facts) -> None:
    """Make the call-backs due that wait for resources in their present generation."""
    moment = now()
    for id_, facts in known.items():
        session.execute(
            sa.update(Notice)
            .where(
                is_waiting(),
                Notice.kind == kind,
                Notice.resource_id == id_,
                Notice.generation <= facts["generation"],
            )
            .values(state="pending", topic=topic, payload=payload(topic, kind, id_, facts, moment), next_at=moment)
            .execution_options(synchronize_session=False)
        )


def settle_forgotten(session: Session) -> int:
    """Settle what nobody announced, such as parts that went with their whole; return how many resources that were."""
    count = 0
    for kind in registry:
        table = kind.model.__table__
        done = sa.or_(table.c.id.is_(None), table.c.status.in_(tell.TOPIC))
        left = session.execute(
            sa.select(Notice.resource_id, table.c.status, sa.func.max(Notice.generation))
            .outerjoin(table, table.c.id == Notice.resource_id)
            .where(is_waiting(), Notice.kind == kind.name, done)
            .group_by(Notice.resource_id, table.c.status)
        ).all()
        present = tell.facts_of(session, kind, [id_ for id_, _, _ in left]) if left else {}
        for id_, status, generation in left:
            absent = tell.last_facts("", generation, None, None)
            settle(session, tell.TOPIC[status or "deleted"], kind.name, {id_: present.get(id_, absent)})
        count += len(left)
    return count
