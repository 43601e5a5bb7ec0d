"""Region: where machines stand."""

from __future__ import annotations

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry


class Region(Resource, Base):
    """A place where machines stand, such as a data centre."""

    __tablename__ = "region"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "eu-1"})


KIND = registry.add(Kind(Region, plural="regions", platform=True))
