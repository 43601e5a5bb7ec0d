"""Valkey user: who may do what in an instance."""

from __future__ import annotations

import hashlib
import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core.crypto import Secret
from api.core.db import Base, Name, Resource
from api.core.errors import invalid
from api.core.kind import Carry, Item, Kind, registry
from api.kinds.valkey_instance import ValkeyInstance

#: For the API's description.
RULES = "with the access custom: rules of Valkey's ACL about keys, channels and commands; administration stays denied"


def password(value: str) -> str:
    """Return a password of 16 to 128 printable characters: nothing slows down who tries to guess it."""
    if len(value) < 16:
        raise ValueError("must be 16 characters or more")
    return grammar.text(value, 128)


class ValkeyUser(Resource, Base):
    """A name and a password for an instance, with what they allow."""

    __tablename__ = "valkey_user"
    __table_args__ = (sa.UniqueConstraint("instance_id", "suffix"),)

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    instance_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("valkey_instance.id"), info={"once": True})
    suffix: Mapped[str] = mapped_column(
        sa.String(32),
        info={
            "check": grammar.valkey_suffix,
            "once": True,
            "example": "app",
            "description": "the end of the name, after the instance's name and an underscore",
        },
    )
    name: Mapped[str] = mapped_column(Name, unique=True, info={"ro": True, "example": "kv_abcdefghij_app"})
    access: Mapped[str] = mapped_column(sa.String(16), default="all", info={"choices": acl.ACCESSES})
    rules: Mapped[str] = mapped_column(
        sa.String(acl.LONGEST),
        default="",
        info={"check": acl.rules, "example": "~app:* +@read +set", "description": RULES},
    )
    password: Mapped[str] = mapped_column(Secret, info={"secret": True, "generated": True, "check": password})

    instance: Mapped[ValkeyInstance] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return the host's view of a user: it needs no more than the hash of the password."""
    return {
        "name": row.name,
        "instance": row.instance.name,
        "access": row.access,
        "rules": row.rules,
        "password_sha256": hashlib.sha256(row.password.encode()).hexdigest(),
    }


def validate(session: Session, row: Any) -> None:
    """Name a new user after its instance, and refuse rules that nothing would read, or that are missing."""
    if row.name is None:
        row.name = f"{session.get_one(ValkeyInstance, row.instance_id).name}_{row.suffix}"
    if row.access == "custom" and not row.rules:
        raise invalid("rules", "are missing: the access is custom")
    if row.access != "custom" and row.rules:
        raise invalid("rules", "are for the access custom")


KIND = registry.add(
    Kind(
        ValkeyUser,
        plural="valkey-users",
        parent="instance_id",
        identity=("suffix",),
        filters=("brand_id", "instance_id"),
        shards=lambda session, row: [row.instance.shard],
        carries={"valkey": Carry("valkey_users", item)},
        validate=validate,
    )
)
