"""Region: where machines stand."""

from __future__ import annotations

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry
from api.jobs.queue import DEFAULT


class Region(Resource, Base):
    """A place where machines stand, such as a data centre."""

    __tablename__ = "region"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "eu-1"})
    #: which workers run the region's jobs: those that were started with ``--queue`` of this name
    queue: Mapped[str] = mapped_column(
        sa.String(32), default=DEFAULT, server_default=DEFAULT, info={"check": grammar.slug, "example": "eu"}
    )


KIND = registry.add(Kind(Region, plural="regions", platform=True))
