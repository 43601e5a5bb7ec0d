"""FQDN: a host name that a webroot answers to."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.kind import Carry, Item, Kind, registry
from api.kinds.webroot import Webroot


class Fqdn(Resource, Base):
    """A host name: a server block on the shard, a map entry on its load balancers, records in the brand's zone."""

    __tablename__ = "fqdn"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    webroot_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("webroot.id"), index=True, info={"once": True})
    fqdn: Mapped[str] = mapped_column(
        Name, unique=True, info={"check": grammar.fqdn, "once": True, "idn": True, "example": "www.acme.example"}
    )

    webroot: Mapped[Webroot] = relationship(lazy="joined")


def web_item(session: Session, row: Any) -> Item:
    """Return a web host's view of an FQDN."""
    return {"fqdn": row.fqdn, "webroot": row.webroot.name}


def lb_item(session: Session, row: Any) -> Item:
    """Return a load balancer's view of an FQDN."""
    return {"fqdn": row.fqdn, "shard": row.webroot.tenant.shard.name}


KIND = registry.add(
    Kind(
        Fqdn,
        plural="fqdns",
        parent="webroot_id",
        title="fqdn",
        filters=("brand_id", "webroot_id", "fqdn", "status"),
        sorts=("created_at", "fqdn"),
        carries={"web": Carry("web_fqdns", web_item), "lb": Carry("lb_fqdns", lb_item)},
    )
)
