"""Tenant: one system identity, the unit of isolation."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.counter import following
from api.core.db import Base, Name, Resource
from api.core.errors import conflict, invalid
from api.core.kind import Also, Carry, Item, Kind, registry
from api.core.names import random_name
from api.kinds.shard import Shard, least_filled


class Tenant(Resource, Base):
    """A Linux user with a slice on the nodes of a web shard."""

    __tablename__ = "tenant"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("shard.id"), index=True, info={"once": True, "optional": True}
    )
    name: Mapped[str] = mapped_column(
        Name, unique=True, default=lambda: random_name("t_"), info={"ro": True, "example": "t_abcdefghij"}
    )
    uid: Mapped[int] = mapped_column(unique=True, info={"ro": True})
    label: Mapped[str] = mapped_column(sa.String(100), default="", info={"check": lambda v: grammar.text(v, 100)})
    cpu_percent: Mapped[int] = mapped_column(default=100, info={"range": grammar.LIMITS["cpu_percent"]})
    memory_mb: Mapped[int] = mapped_column(default=512, info={"range": grammar.LIMITS["memory_mb"]})
    tasks: Mapped[int] = mapped_column(default=100, info={"range": grammar.LIMITS["tasks"]})
    suspended: Mapped[bool] = mapped_column(default=False, info={"ro": True})

    shard: Mapped[Shard] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return the host's view of a tenant."""
    return {
        "name": row.name,
        "uid": row.uid,
        "state": "suspended" if row.suspended else "present",
        "limits": {"cpu_percent": row.cpu_percent, "memory_mb": row.memory_mb, "tasks": row.tasks},
    }


def validate(session: Session, row: Any) -> None:
    """Place a new tenant and give it its uid, which nobody ever had or gets again."""
    if row.shard_id is None:
        row.shard_id = least_filled(session, "web", Tenant)
        if row.shard_id is None:
            raise conflict("There is no web shard yet.", "shard_id")
    elif session.get_one(Shard, row.shard_id).role != "web":
        raise invalid("shard_id", "must be a shard of the role web")
    if row.uid is None:
        row.uid = following(session, "uid", grammar.UID_MIN)
        if row.uid > grammar.UID_MAX:
            raise conflict("The platform has no uid left.")


def suspend(session: Session, row: Any) -> Iterable[Also]:
    """Stop serving a tenant; its data stays."""
    return _switch(session, row, suspended=True)


def unsuspend(session: Session, row: Any) -> Iterable[Also]:
    """Serve a tenant again."""
    return _switch(session, row, suspended=False)


def _switch(session: Session, row: Any, suspended: bool) -> Iterable[Also]:
    """Return all that the tenant has: its webroots' pools and its names' server blocks change with it."""
    if row.suspended == suspended:
        return []
    row.suspended = suspended
    return registry.below(KIND, sa.select(sa.literal(row.id)))


def _shards(session: Session, row: Any) -> Iterable[Shard]:
    """Return the web shard, and the shards of other roles on which the tenant has something."""
    placed = [
        sa.select(kind.model.shard_id).where(kind.model.tenant_id == row.id)
        for kind in registry.children(KIND)
        if "shard_id" in kind.model.__table__.c
    ]
    if not placed:
        return [row.shard]
    others = sa.select(Shard).where(Shard.id.in_(sa.union_all(*placed)), Shard.role.in_(KIND.carries))
    return [row.shard, *session.scalars(others.order_by(Shard.name))]


KIND = registry.add(
    Kind(
        Tenant,
        plural="tenants",
        parent="brand_id",
        identity=("label",),
        filters=("brand_id", "shard_id", "status", "label"),
        shards=_shards,
        validate=validate,
        actions={"suspend": suspend, "unsuspend": unsuspend},
        carries={"web": Carry("web_tenants", item), "valkey": Carry("valkey_tenants", item)},
    )
)
