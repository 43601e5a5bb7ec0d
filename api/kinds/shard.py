"""Shard: nodes of one role that carry the same resources."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry

ROLES = ("web", "lb", "dns")


class Shard(Resource, Base):
    """Nodes of one role that carry the same resources."""

    __tablename__ = "shard"

    cluster_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("cluster.id"), index=True, info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "web-a"})
    role: Mapped[str] = mapped_column(sa.String(16), info={"choices": ROLES, "once": True})
    #: dns only: the key between the primary and its secondaries; made when it is not given
    tsig_secret: Mapped[str | None] = mapped_column(sa.Text, info={"secret": True})


KIND = registry.add(
    Kind(
        Shard,
        plural="shards",
        parent="cluster_id",
        platform=True,
        filters=("cluster_id", "role"),
        sorts=("created_at", "name"),
    )
)
