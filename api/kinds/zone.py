"""Zone: a DNS zone of a brand."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Carry, Item, Kind, registry


class Zone(Resource, Base):
    """A DNS zone; SOA and NS come from the brand."""

    __tablename__ = "zone"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), index=True, info={"ro": True})
    name: Mapped[str] = mapped_column(
        Name, unique=True, info={"check": grammar.fqdn, "once": True, "idn": True, "example": "acme.example"}
    )
    dnssec: Mapped[bool] = mapped_column(default=False)


def item(session: Session, row: Any) -> Item:
    """Return a name server's view of a zone, with all its records."""
    raise NotImplementedError


KIND = registry.add(
    Kind(
        Zone,
        plural="zones",
        parent="brand_id",
        filters=("brand_id", "name", "status"),
        sorts=("created_at", "name"),
        carries={"dns": Carry("dns_zones", item)},
    )
)
