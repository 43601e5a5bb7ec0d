"""Zone: a DNS zone of a brand."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.errors import invalid, policy
from api.core.kind import Carry, Item, Kind, registry
from api.jobs.models import Job
from api.kinds import domains, managed_records
from api.kinds.brand import Brand
from api.kinds.shard import Shard


class Zone(Resource, Base):
    """A DNS zone; SOA and NS come from the brand."""

    __tablename__ = "zone"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), index=True, info={"ro": True})
    name: Mapped[str] = mapped_column(
        Name, unique=True, info={"check": grammar.fqdn, "once": True, "idn": True, "example": "acme.example"}
    )
    dnssec: Mapped[bool] = mapped_column(default=False)
    reversed: Mapped[str] = domains.reversed_of("name")

    shard: Mapped[Shard] = relationship()


def item(session: Session, row: Any) -> Item:
    """Return a name server's view of a zone, with all its records."""
    brand, record = session.get_one(Brand, row.brand_id), registry["record"].model.__table__
    records = session.execute(
        sa.select(record.c.id, record.c.name, record.c.type, record.c.ttl, record.c.content)
        .where(record.c.zone_id == row.id, record.c.delete_requested.is_(False))
        .order_by(record.c.name, record.c.type, record.c.id)
    ).mappings()
    return {
        "name": row.name,
        "dnssec": row.dnssec,
        "hostmaster": brand.hostmaster,
        "nameservers": brand.nameservers,
        "records": [{**one, "id": str(one["id"])} for one in records],
    }


def validate(session: Session, row: Any) -> None:
    """Place a new zone, and refuse a name inside, around or under what belongs to another brand."""
    if row.shard_id is not None:
        return
    domains.lock(session, row.name)
    if domains.is_foreign(session, row.name, row.brand_id):
        raise policy("name", "overlaps with a zone or a name that is not yours")
    row.shard_id = session.get_one(Brand, row.brand_id).dns_shard_id or _only_dns_shard(session)


def _only_dns_shard(session: Session) -> uuid.UUID:
    found = session.scalars(
        sa.select(Shard.id).where(Shard.role == "dns", Shard.delete_requested.is_(False)).limit(2)
    ).all()
    if len(found) != 1:
        raise invalid("brand_id", "the brand has no dns_shard_id, and there is not exactly one dns shard to take")
    return found[0]


def change_records(session: Session, row: Any) -> Iterable[Job]:
    """Take over the addresses of the names that now lie in the zone; when it goes, its records go with it."""
    return managed_records.zone_changed(session, row)


KIND = registry.add(
    Kind(
        Zone,
        plural="zones",
        parent="brand_id",
        filters=("brand_id",),
        takes_along=("record",),
        shards=lambda session, row: [row.shard],
        validate=validate,
        after_change=change_records,
        carries={"dns": Carry("dns_zones", item)},
    )
)
