"""FQDN: a host name that a webroot answers to."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.errors import policy
from api.core.kind import Carry, Item, Kind, registry
from api.jobs.models import Job
from api.kinds import domains, managed_records
from api.kinds.shard import balancers
from api.kinds.webroot import Webroot


class Fqdn(Resource, Base):
    """A host name: a server block on the shard, a map entry on its load balancers, records in the brand's zone."""

    __tablename__ = "fqdn"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    webroot_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("webroot.id"), info={"once": True})
    fqdn: Mapped[str] = mapped_column(
        Name, unique=True, info={"check": grammar.fqdn, "once": True, "idn": True, "example": "www.acme.example"}
    )
    reversed: Mapped[str] = domains.reversed_of("fqdn")

    webroot: Mapped[Webroot] = relationship(lazy="joined")


def web_item(session: Session, row: Any) -> Item:
    """Return a web host's view of an FQDN."""
    return {"fqdn": row.fqdn, "webroot": row.webroot.name}


def lb_item(session: Session, row: Any) -> Item:
    """Return a load balancer's view of an FQDN."""
    return {"fqdn": row.fqdn, "shard": row.webroot.tenant.shard.name}


def shards(session: Session, row: Any) -> Iterable[Any]:
    """Return the web shard of the name's tenant and every load balancer shard of its cluster."""
    web = row.webroot.tenant.shard
    yield web
    yield from balancers(session, web.cluster_id)


def validate(session: Session, row: Any) -> None:
    """Refuse a name in a zone of another brand."""
    domains.lock(session, row.fqdn)
    zone = domains.zone_of(session, row.fqdn)
    if zone is not None and zone.brand_id != row.brand_id:
        raise policy("fqdn", "lies in a zone that is not yours")


def change_records(session: Session, row: Any) -> Iterable[Job]:
    """Write or remove the name's addresses in the zone of its brand."""
    return managed_records.refresh(session, [row])


KIND = registry.add(
    Kind(
        Fqdn,
        plural="fqdns",
        parent="webroot_id",
        title="fqdn",
        filters=("brand_id", "webroot_id"),
        shards=shards,
        validate=validate,
        after_change=change_records,
        carries={"web": Carry("web_fqdns", web_item), "lb": Carry("lb_fqdns", lb_item)},
    )
)
