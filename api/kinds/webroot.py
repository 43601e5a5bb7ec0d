"""Webroot: a folder of files that is served."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.kind import Carry, Item, Kind, registry
from api.core.names import random_name
from api.kinds.tenant import Tenant


class Webroot(Resource, Base):
    """A folder of a tenant that is served, with the runtime that serves it."""

    __tablename__ = "webroot"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    tenant_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("tenant.id"), info={"once": True})
    name: Mapped[str] = mapped_column(
        Name, unique=True, default=lambda: random_name("web_"), info={"ro": True, "example": "web_abcdefghij"}
    )
    runtime: Mapped[str] = mapped_column(sa.String(16), default="static", info={"choices": ("static", "php")})
    public_folder: Mapped[str] = mapped_column(sa.String(128), default="public", info={"check": grammar.public_folder})
    env: Mapped[dict[str, Any]] = mapped_column(default=dict, info={"check": grammar.environment})

    tenant: Mapped[Tenant] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return the host's view of a webroot."""
    return {
        "name": row.name,
        "tenant": row.tenant.name,
        "runtime": row.runtime,
        "public_folder": row.public_folder,
        "env": row.env,
    }


KIND = registry.add(
    Kind(
        Webroot,
        plural="webroots",
        parent="tenant_id",
        filters=("brand_id", "tenant_id", "status"),
        shards=lambda session, row: [row.tenant.shard],
        carries={"web": Carry("web_webroots", item)},
    )
)
