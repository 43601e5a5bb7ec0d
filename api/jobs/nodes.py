"""A node joins, changes or leaves: who has to know.

A new node is first made into a host that carries everything; only then are the load balancers told, since it would
answer 404 for names that it does not have yet.
"""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry

#: Roles of which one node is the primary, from which the others copy.
LED = ("dns", "db")
#: Roles whose nodes know each other.
MESHED = (*LED, "valkey")


def concerned(
    session: Session, row: Any, nodes: list[tuple[uuid.UUID, uuid.UUID]]
) -> list[tuple[uuid.UUID, uuid.UUID]]:
    """Return those of (node id, shard id) that must learn about the node ``row`` now."""
    shard = registry["shard"].model
    role = session.scalar(sa.select(shard.role).where(shard.id == row.shard_id))
    new = row.generation == 1 and not row.delete_requested
    return [
        (node_id, shard_id)
        for node_id, shard_id in nodes
        if node_id == row.id or (role in MESHED if shard_id == row.shard_id else not new)
    ]


def others(session: Session, node_id: uuid.UUID) -> tuple[Any, list[uuid.UUID]]:
    """Return a node that has just carried everything for the first time, and the shards that must be told now."""
    kind = registry["node"]
    row = session.get(kind.model, node_id, populate_existing=True)
    if row is None or row.generation > 1 or row.status == "active":
        return row, []
    return row, [shard.id for shard in kind.shards(session, row) if shard.id != row.shard_id]
