"""Cluster: load balancers and the shards behind them."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry


class Cluster(Resource, Base):
    """Load balancers of a region and the shards that they serve."""

    __tablename__ = "cluster"

    region_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("region.id"), info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "eu-1a"})


KIND = registry.add(
    Kind(
        Cluster,
        plural="clusters",
        parent="region_id",
        platform=True,
        filters=("region_id",),
    )
)
