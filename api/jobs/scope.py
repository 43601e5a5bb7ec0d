"""Which resources belong to a shard, and which role carries them: derived from the kinds."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.core.kind import Kind, registry


def carried_by(role: str) -> list[Kind]:
    """Return the kinds that a role receives as lists of their own, parents first."""
    return [kind for kind in registry if kind.carries.get(role) is not None]


def nested_in(role: str, kind: Kind) -> list[Kind]:
    """Return the kinds that travel inside the items of ``kind`` (records in their zone)."""
    return [
        part for part in registry if role in part.carries and part.carries[role] is None and parent_of(part) is kind
    ]


def parent_of(kind: Kind) -> Kind | None:
    """Return the kind of the parent, if it has one."""
    if kind.parent is None:
        return None
    column = kind.model.__table__.c[kind.parent]
    return registry[next(iter(column.foreign_keys)).column.table.name]


def belongs_to(kind: Kind, shard: Any) -> sa.ColumnElement[bool]:
    """Return the condition for the rows of ``kind`` that the nodes of ``shard`` must carry.

    A row is placed by the ``shard_id`` of itself or of its nearest ancestor. A shard carries what is placed on it, and
    what is placed on the shards of other roles in its cluster (a load balancer carries the names of the web shards).
    A row whose children are placed by themselves goes where those are: a tenant to the shards of its Valkey instances.
    """
    model = registry["shard"].model
    placed = [
        sa.select(child.model.__table__.c[child.parent]).where(child.model.shard_id == shard.id)
        for child in registry.children(kind)
        if shard.role in child.carries and "shard_id" in child.model.__table__.c
    ]
    if placed:
        return kind.model.__table__.c.id.in_(sa.union_all(*placed))
    shards = sa.select(model.id).where(
        sa.or_(model.id == shard.id, sa.and_(model.cluster_id == shard.cluster_id, model.role != shard.role))
    )
    return _placed(kind, shards)


def _placed(kind: Kind, shards: sa.Select[Any]) -> sa.ColumnElement[bool]:
    table = kind.model.__table__
    if "shard_id" in table.c:
        return table.c.shard_id.in_(shards)
    parent = parent_of(kind)
    if parent is None:
        raise LookupError(f"{kind.name} has no shard and no parent that has one")
    return table.c[kind.parent].in_(sa.select(parent.model.id).where(_placed(parent, shards)))
