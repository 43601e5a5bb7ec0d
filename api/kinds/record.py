"""Record: one DNS record of a zone."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry
from api.kinds.zone import Zone

TYPES = ("A", "AAAA", "CNAME", "MX", "TXT", "NS", "SRV", "CAA", "PTR")


class Record(Resource, Base):
    """A DNS record. Platform-managed ones follow an FQDN and give way to a user's own."""

    __tablename__ = "record"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    zone_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("zone.id"), index=True, info={"once": True})
    name: Mapped[str] = mapped_column(Name, info={"once": True, "example": "www"})
    type: Mapped[str] = mapped_column(sa.String(8), info={"choices": TYPES, "once": True})
    ttl: Mapped[int] = mapped_column(default=3600, info={"range": (30, 604_800)})
    content: Mapped[str] = mapped_column(sa.Text, info={"example": "192.0.2.1"})
    #: user or platform
    managed_by: Mapped[str] = mapped_column(sa.String(16), default="user", info={"ro": True})
    fqdn_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("fqdn.id", ondelete="SET NULL"), index=True, info={"ro": True}
    )

    zone: Mapped[Zone] = relationship(lazy="joined")


KIND = registry.add(
    Kind(
        Record,
        plural="records",
        parent="zone_id",
        part_of="fqdn_id",
        filters=("brand_id", "zone_id", "type", "name", "managed_by", "status"),
        sorts=("created_at", "name"),
        carries={"dns": None},
    )
)
