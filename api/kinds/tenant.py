"""Tenant: one system identity, the unit of isolation."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.kind import Carry, Item, Kind, registry
from api.kinds.shard import Shard


class Tenant(Resource, Base):
    """A Linux user with a slice on the nodes of a web shard."""

    __tablename__ = "tenant"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), index=True, info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"ro": True, "example": "t_abcdefghij"})
    uid: Mapped[int] = mapped_column(unique=True, info={"ro": True})
    label: Mapped[str] = mapped_column(sa.String(100), default="", info={"check": lambda v: grammar.text(v, 100)})
    cpu_percent: Mapped[int] = mapped_column(default=100, info={"range": (5, 6400)})
    memory_mb: Mapped[int] = mapped_column(default=512, info={"range": (64, 1_048_576)})
    tasks: Mapped[int] = mapped_column(default=100, info={"range": (10, 100_000)})
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


KIND = registry.add(
    Kind(
        Tenant,
        plural="tenants",
        parent="brand_id",
        filters=("brand_id", "shard_id", "status"),
        sorts=("created_at", "name"),
        carries={"web": Carry("web_tenants", item)},
    )
)
