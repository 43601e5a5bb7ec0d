"""Brand: the isolation boundary of a reseller or label."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import records
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, Name, Resource
from api.core.errors import invalid
from api.core.kind import Kind, registry
from api.jobs import dispatch
from api.jobs.models import Job


def hostmaster(value: str) -> str:
    """Return a mail address that an SOA can hold."""
    records.hostmaster(value)
    return value


def nameservers(value: list[str]) -> list[str]:
    """Return two to eight different host names."""
    records.nameservers(value)
    return value


class Brand(Resource, Base):
    """A reseller or label with its own name servers, hostmaster and base domain."""

    __tablename__ = "brand"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "acme"})
    base_domain: Mapped[str] = mapped_column(Name, info={"check": grammar.fqdn, "example": "acme.example"})
    hostmaster: Mapped[str] = mapped_column(Name, info={"check": hostmaster, "example": "hostmaster@acme.example"})
    nameservers: Mapped[list[str]] = mapped_column(
        info={"check": nameservers, "example": ["ns1.acme.example", "ns2.acme.example"]}
    )
    #: shard that serves the brand's zones
    dns_shard_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("shard.id"), info={"once": True})


def validate(session: Session, row: Any) -> None:
    """Refuse a shard that serves no zones."""
    if row.dns_shard_id is not None and session.get_one(registry["shard"].model, row.dns_shard_id).role != "dns":
        raise invalid("dns_shard_id", "must be a shard of the role dns")


def redeliver_zones(session: Session, row: Any) -> Iterable[Job]:
    """Deliver the brand's zones again: their SOA and NS come from it."""
    kind = registry["zone"]
    zones = session.scalars(
        sa.select(kind.model).where(kind.model.brand_id == row.id, kind.model.delete_requested.is_(False))
    )
    return dispatch.deliver_many(session, kind, zones)


KIND = registry.add(Kind(Brand, plural="brands", platform=True, validate=validate, after_change=redeliver_zones))
