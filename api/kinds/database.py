"""Database: a tenant's database on a shard of database servers."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.db import Base, Name, Resource
from api.core.errors import invalid
from api.core.kind import Carry, Derived, Item, Kind, Moving, Usage, registry
from api.core.names import random_name
from api.kinds.endpoints import Endpoint, of_databases
from api.kinds.shard import Shard, nearest
from api.kinds.tenant import Tenant

#: For the API's description.
ENDPOINT = "where clients connect to; it stays when the primary moves. Null while there is no host"
#: What a server tells of a database, and of it as of each of its users.
STORED = {
    "disk_bytes": "size of its files",
    "data_bytes": "of its InnoDB tables; an estimate",
    "index_bytes": "of their indexes; an estimate",
    "rows": "of its InnoDB tables; an estimate",
    "tables": "tables and views",
}
ASKED = {
    "connections": "connections now",
    "active": "of them, those that carry out a statement",
    "connections_total": "since the server started",
    "queries": "since the server started",
    "busy_ms": "milliseconds spent on statements since the server started",
    "cpu_ms": "milliseconds of processors since the server started",
    "received_bytes": "since the server started",
    "sent_bytes": "since the server started",
}


class Database(Resource, Base):
    """A MariaDB database of a tenant. A deletion leaves a last dump on the shard's primary."""

    __tablename__ = "database"

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    tenant_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("tenant.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(
        sa.ForeignKey("shard.id"), index=True, info={"once": True, "optional": True}
    )
    name: Mapped[str] = mapped_column(
        Name, unique=True, default=lambda: random_name("db_"), info={"ro": True, "example": "db_abcdefghij"}
    )
    label: Mapped[str] = mapped_column(sa.String(100), default="", info={"check": lambda v: grammar.text(v, 100)})
    charset: Mapped[str] = mapped_column(sa.String(16), default="utf8mb4", info={"choices": tuple(grammar.CHARSETS)})
    #: quoted, because it is a word of PostgreSQL's own
    collation: Mapped[str] = mapped_column(
        "collation", sa.String(64), quote=True, info={"optional": True, "example": "utf8mb4_unicode_ci"}
    )

    tenant: Mapped[Tenant] = relationship(lazy="joined")
    shard: Mapped[Shard] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return a database server's view of a database."""
    return {"name": row.name, "charset": row.charset, "collation": row.collation}


def validate(session: Session, row: Any) -> None:
    """Place a new database near its tenant, and hold the collation against the character set."""
    try:
        row.collation = grammar.collation(row.collation, row.charset)
    except ValueError as error:
        raise invalid("collation", str(error)) from None
    if row.shard_id is None:
        row.shard_id = nearest(session, "db", Database, session.get_one(Tenant, row.tenant_id).shard)
    elif session.get_one(Shard, row.shard_id).role != "db":
        raise invalid("shard_id", "must be a shard of the role db")


KIND = registry.add(
    Kind(
        Database,
        plural="databases",
        parent="tenant_id",
        identity=("label",),
        filters=("brand_id", "tenant_id", "shard_id", "label"),
        confirm=True,
        shards=lambda session, row: [row.shard],
        validate=validate,
        carries={"db": Carry("db_databases", item)},
        derived={"endpoint": Derived(Endpoint, of_databases, ENDPOINT)},
        move=Moving("move_database.yml", "move_database"),
        usage=Usage("db", "databases", {**STORED, **ASKED}),
    )
)
