"""Valkey instance: a key-value store or cache of a tenant."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.errors import conflict, invalid
from api.core.kind import Carry, Item, Kind, registry
from api.core.names import random_name
from api.kinds.shard import Shard, nearest
from api.kinds.tenant import Tenant

#: For the API's description.
EVICTION = "what happens when the memory is full: writes are refused (noeviction), or which keys go"
PERSISTENCE = "what a restart brings back: nothing, the last snapshot (rdb), or every write but the last second's (aof)"


class ValkeyInstance(Resource, Base):
    """A Valkey of its own on the nodes of a shard, with its port, memory and data."""

    __tablename__ = "valkey_instance"
    __table_args__ = (sa.UniqueConstraint("shard_id", "port"),)

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    tenant_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("tenant.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), info={"once": True, "optional": True})
    name: Mapped[str] = mapped_column(
        Name, unique=True, default=lambda: random_name("kv_"), info={"ro": True, "example": "kv_abcdefghij"}
    )
    label: Mapped[str] = mapped_column(sa.String(100), default="", info={"check": lambda v: grammar.text(v, 100)})
    port: Mapped[int] = mapped_column(info={"ro": True})
    memory_mb: Mapped[int] = mapped_column(default=64, info={"range": grammar.VALKEY_MEMORY_MB})
    eviction: Mapped[str] = mapped_column(
        sa.String(16),
        default="noeviction",
        info={"choices": grammar.VALKEY_EVICTIONS, "description": EVICTION},
    )
    persistence: Mapped[str] = mapped_column(
        sa.String(16), default="rdb", info={"choices": grammar.VALKEY_PERSISTENCES, "description": PERSISTENCE}
    )

    tenant: Mapped[Tenant] = relationship(lazy="joined")
    shard: Mapped[Shard] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return the host's view of an instance."""
    return {
        "name": row.name,
        "tenant": row.tenant.name,
        "port": row.port,
        "memory_mb": row.memory_mb,
        "eviction": row.eviction,
        "persistence": row.persistence,
    }


def validate(session: Session, row: Any) -> None:
    """Place a new instance and give it a port of its shard."""
    if row.shard_id is None:
        row.shard_id = nearest(session, "valkey", ValkeyInstance, session.get_one(Tenant, row.tenant_id).shard)
    elif session.get_one(Shard, row.shard_id).role != "valkey":
        raise invalid("shard_id", "must be a shard of the role valkey")
    if row.port is None:
        row.port = _free_port(session, row.shard_id)


def _free_port(session: Session, shard_id: uuid.UUID) -> int:
    """Return the lowest port that no instance of the shard has."""
    # Two concurrent requests must not both find the same.
    session.execute(sa.select(Shard.id).where(Shard.id == shard_id).with_for_update())
    taken = set(session.scalars(sa.select(ValkeyInstance.port).where(ValkeyInstance.shard_id == shard_id)))
    least, most = grammar.VALKEY_PORTS
    for port in range(least, most + 1):
        if port not in taken:
            return port
    raise conflict("The shard has no port left.", "shard_id")


KIND = registry.add(
    Kind(
        ValkeyInstance,
        plural="valkey-instances",
        parent="tenant_id",
        identity=("label",),
        filters=("brand_id", "tenant_id", "shard_id", "label"),
        confirm=True,
        shards=lambda session, row: [row.shard],
        carries={"valkey": Carry("valkey_instances", item)},
        validate=validate,
    )
)
