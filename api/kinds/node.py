"""Node: one machine of a shard."""

from __future__ import annotations

import uuid

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Name, Resource
from api.core.kind import Kind, registry
from api.kinds.lb_address import address


class Node(Resource, Base):
    """A machine that Ansible reaches over SSH."""

    __tablename__ = "node"

    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), index=True, info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "web1"})
    address: Mapped[str] = mapped_column(Name, unique=True, info={"check": address, "example": "10.0.0.11"})
    ssh_port: Mapped[int] = mapped_column(default=22, info={"range": (1, 65535)})
    ssh_user: Mapped[str] = mapped_column(sa.String(32), default="root", info={"check": grammar.slug})
    #: dns only: the one node that the others transfer from
    is_primary: Mapped[bool] = mapped_column(default=False, info={"once": True})


KIND = registry.add(
    Kind(
        Node,
        plural="nodes",
        parent="shard_id",
        platform=True,
        filters=("shard_id", "status"),
        sorts=("created_at", "name"),
    )
)
