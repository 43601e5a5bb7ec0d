"""Brand: the isolation boundary of a reseller or label."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry


class Brand(Resource, Base):
    """A reseller or label with its own name servers, hostmaster and base domain."""

    __tablename__ = "brand"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "acme"})
    base_domain: Mapped[str] = mapped_column(Name, info={"check": grammar.fqdn, "example": "acme.example"})
    hostmaster: Mapped[str] = mapped_column(Name, info={"example": "hostmaster@acme.example"})
    nameservers: Mapped[list[str]] = mapped_column(info={"example": ["ns1.acme.example", "ns2.acme.example"]})
    #: shard that serves the brand's zones
    dns_shard_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("shard.id"), index=True, info={"once": True})


KIND = registry.add(Kind(Brand, plural="brands", platform=True, sorts=("created_at", "name")))
