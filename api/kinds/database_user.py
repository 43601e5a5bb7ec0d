"""Database user: an account that reaches one database."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import password_hash
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.crypto import Secret
from api.core.db import Base, Name, Resource
from api.core.kind import Carry, Item, Kind, Usage, registry
from api.kinds.database import ASKED, Database


class DatabaseUser(Resource, Base):
    """An account of a database. It is locked while the tenant is suspended."""

    __tablename__ = "database_user"
    __table_args__ = (sa.UniqueConstraint("database_id", "suffix"),)

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    database_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("database.id"), info={"once": True})
    #: the database's name; with a suffix, that and an underscore in between
    name: Mapped[str] = mapped_column(Name, info={"ro": True, "example": "db_abcdefghij_app"})
    suffix: Mapped[str] = mapped_column(
        sa.String(16), default="", info={"check": grammar.database_suffix, "once": True, "example": "app"}
    )
    privileges: Mapped[str] = mapped_column(sa.String(16), default="all", info={"choices": ("all", "read-only")})
    hosts: Mapped[list[str]] = mapped_column(
        default=lambda: ["%"], info={"check": grammar.database_hosts, "example": ["10.0.0.0/24"]}
    )
    password: Mapped[str] = mapped_column(Secret, info={"secret": True, "generated": True, "check": grammar.password})

    database: Mapped[Database] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return a database server's view of a user; the password itself stays here."""
    return {
        "name": row.name,
        "database": row.database.name,
        "privileges": row.privileges,
        "hosts": row.hosts,
        "password_hash": password_hash(row.password),
        "state": "suspended" if row.database.tenant.suspended else "present",
    }


def validate(session: Session, row: Any) -> None:
    """Name a new user after its database."""
    if row.name is None:
        name = session.get_one(Database, row.database_id).name
        row.name = f"{name}_{row.suffix}" if row.suffix else name


KIND = registry.add(
    Kind(
        DatabaseUser,
        plural="database-users",
        parent="database_id",
        identity=("suffix",),
        filters=("brand_id", "database_id"),
        shards=lambda session, row: [row.database.shard],
        validate=validate,
        carries={"db": Carry("db_users", item)},
        usage=Usage("db", "users", ASKED),
    )
)
