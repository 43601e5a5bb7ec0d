"""The look at what resources use: one run over all shards that are due and reached by the same workers."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.models import Job, Lease
from api.jobs.periodic import Periodic
from api.jobs.sql import clock
from api.launch.models import Launch
from api.operations import core
from api.usage import store

NAME = "usage"
MODULES = ("hostreeve.hosting.db_usage", "hostreeve.hosting.valkey_usage")
TURN = Periodic("usage_every", "usage_at", lambda shard: [shard.c.usage_every > 0])


def due(session: Session) -> list[uuid.UUID]:
    """Return the shards that are to be looked at now; one that is worked on waits until that is over."""
    shard, node = registry["shard"].model.__table__, registry["node"].model
    held = sa.exists().where(
        node.shard_id == shard.c.id,
        Lease.host == node.name,
        Lease.holder.is_not(None),
        Lease.expires_at > clock(session),
    )
    works = sa.exists().where(Job.shard_id == shard.c.id, Job.state.in_(("queued", "running")))
    return TURN.due(session, ~held, ~works)


def begin(session: Session, shard_ids: Iterable[uuid.UUID]) -> list[Job]:
    """Queue the looks at shards that are still due; the jobs are published after the commit."""
    queues: dict[str, list[Any]] = {}
    for shard_id in shard_ids:
        if TURN.take(session, shard_id) and core.under_way(session, shard_id, [NAME]) is None:
            shard = session.get_one(registry["shard"].model, shard_id)
            queues.setdefault(core.queue_of(session, shard), []).append(shard)
    return [core.begin(session, NAME, shards, {"usage_show": False}, NAME) for shards in queues.values()]


def _listen(heard: core.Heard, event: dict[str, Any]) -> None:
    data = event.get("event_data") or {}
    host, result = data.get("host"), data.get("res")
    if event.get("event") != "runner_on_ok" or not isinstance(host, str) or not isinstance(result, dict):
        return
    if (data.get("resolved_action") or data.get("task_action")) in MODULES:
        heard[host] = result.get("usage")


def _ended(session: Session, launch: Launch, reason: str, heard: core.Heard) -> None:
    # Also after a failure: the hosts that told count, and the others were silent.
    for text in launch.shards:
        store.keep(session, uuid.UUID(text), heard)


OPERATION = core.add(core.Operation(NAME, "usage.yml", _ended, _listen, reads=True))
