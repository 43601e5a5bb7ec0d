"""Record: one DNS record of a zone."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import records
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.errors import conflict, invalid
from api.core.kind import Kind, registry
from api.jobs.models import Job
from api.kinds import managed_records
from api.kinds.zone import Zone


class Record(Resource, Base):
    """A DNS record. Platform-managed ones follow an FQDN and give way to a user's own."""

    __tablename__ = "record"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    zone_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("zone.id"), info={"once": True})
    name: Mapped[str] = mapped_column(Name, info={"once": True, "example": "www"})
    type: Mapped[str] = mapped_column(sa.String(8), info={"choices": records.TYPES, "once": True})
    ttl: Mapped[int] = mapped_column(default=records.TTL_DEFAULT, info={"range": (records.TTL_MIN, records.TTL_MAX)})
    content: Mapped[str] = mapped_column(sa.Text, info={"example": "192.0.2.1"})
    #: user or platform
    managed_by: Mapped[str] = mapped_column(sa.String(16), default="user", info={"ro": True})
    fqdn_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("fqdn.id", ondelete="SET NULL"), index=True, info={"ro": True}
    )

    zone: Mapped[Zone] = relationship(lazy="joined")


def refuse_managed(session: Session, row: Any) -> None:
    """Refuse to touch what the platform manages."""
    if row.managed_by != "user":
        raise conflict("The platform manages this record; a record of your own with this name replaces it.")


def validate(session: Session, row: Any) -> None:
    """Bring the record into its canonical form and hold it against the rest of its zone."""
    refuse_managed(session, row)
    # Two records that exclude each other must not be judged at the same time.
    query = sa.select(Zone).where(Zone.id == row.zone_id).with_for_update(key_share=True, of=Zone)
    zone = session.scalars(query).one()
    if zone.delete_requested:
        raise conflict("The zone is being deleted.", "zone_id", "is being deleted")
    try:
        _, _, content, _ = records.record(row.name, row.type, row.content, row.ttl)
        records.absolute(row.name, zone.name)
    except records.RecordError as error:
        raise invalid(error.field, error.reason) from None
    if row.type != "TXT":
        # A TXT travels as the text that was typed; everything else in the form that name servers write.
        row.content = content
    others = session.execute(
        sa.select(Record.name, Record.type, Record.content).where(
            Record.zone_id == row.zone_id,
            Record.name == row.name,
            Record.id != row.id,
            Record.managed_by == "user",
            Record.delete_requested.is_(False),
        )
    ).all()
    if (row.name, row.type, row.content) in others:
        raise conflict("This record already exists.", "content", "is a duplicate")
    reason = records.conflict(row.name, row.type, [(other.name, other.type) for other in others])
    if reason:
        raise conflict("This record cannot stand beside the others.", "type", reason)


def change_managed(session: Session, row: Any) -> Iterable[Job]:
    """Take the platform's addresses away where the user has own ones, and bring them back afterwards."""
    return managed_records.record_changed(session, row)


KIND = registry.add(
    Kind(
        Record,
        plural="records",
        parent="zone_id",
        part_of="fqdn_id",
        identity=("name", "type", "content"),
        filters=("brand_id", "zone_id", "type", "managed_by"),
        shards=lambda session, row: [row.zone.shard],
        validate=validate,
        before_delete=refuse_managed,
        after_change=change_managed,
        carries={"dns": None},
    )
)
