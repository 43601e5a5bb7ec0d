"""Node: one machine of a shard."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, Name, Resource
from api.core.errors import conflict, invalid
from api.core.kind import Also, Kind, registry
from api.jobs.nodes import LED
from api.kinds.lb_address import address
from api.kinds.shard import Shard
from api.moves.models import Move

#: For the API's description.
IN_STEP = "the last run found on the host what the platform had put there; null while it had put nothing there"


class Node(Resource, Base):
    """A machine that Ansible reaches over SSH."""

    __tablename__ = "node"

    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "web1"})
    address: Mapped[str] = mapped_column(Name, unique=True, info={"check": address, "example": "10.0.0.11"})
    ssh_port: Mapped[int] = mapped_column(default=22, info={"range": (1, 65535)})
    ssh_user: Mapped[str] = mapped_column(sa.String(32), default="root", info={"check": grammar.slug})
    #: dns and db only: the one node that the others copy from; the first one of a db shard is made it
    is_primary: Mapped[bool] = mapped_column(default=False, info={"once": True})
    #: valkey only: what the memory of its instances may be together; without, the host alone refuses too many
    memory_mb: Mapped[int | None] = mapped_column(info={"range": (16, 16_777_216), "description": "MiB"})
    #: the job that changed the host last, as the platform knows it, and where the audit ended when it was taken
    last_job_id: Mapped[uuid.UUID | None] = mapped_column(info={"ro": True})
    last_audit_head: Mapped[str] = mapped_column(sa.String(84), default="", server_default="", info={"ro": True})
    #: the same as the host itself said last, and when
    host_job_id: Mapped[uuid.UUID | None] = mapped_column(info={"ro": True})
    host_audit_head: Mapped[str] = mapped_column(sa.String(84), default="", server_default="", info={"ro": True})
    host_seen_at: Mapped[datetime | None] = mapped_column(info={"ro": True})
    in_step: Mapped[bool | None] = mapped_column(info={"ro": True, "description": IN_STEP})


def validate(session: Session, row: Any) -> None:
    """Refuse a second primary, and a primary where there is nothing to transfer."""
    shard = session.get_one(registry["shard"].model, row.shard_id)
    if row.memory_mb is not None and shard.role != "valkey":
        raise invalid("memory_mb", "is for nodes of a shard of the role valkey")
    if row.is_primary and shard.role not in LED:
        raise invalid("is_primary", f"is for nodes of a shard of the roles {', '.join(LED)}")
    if not row.is_primary and (shard.role != "db" or row.generation > 1):
        return
    # Two concurrent requests must not both find none.
    session.execute(sa.select(Shard.id).where(Shard.id == row.shard_id).with_for_update())
    other = sa.select(Node.id).where(Node.shard_id == row.shard_id, Node.is_primary, Node.id != row.id)
    taken = session.scalar(other) is not None
    if row.is_primary and taken:
        raise conflict("The shard has a primary already.", "is_primary")
    row.is_primary = not taken


def promote(session: Session, row: Any) -> Iterable[Also]:
    """Take note that playbooks/switchover.yml or failover.yml has made this node the primary of its db shard."""
    if session.get_one(Shard, row.shard_id).role != "db":
        raise conflict("Only a db shard's primary moves.")
    if row.is_primary:
        return []
    session.execute(sa.select(Shard.id).where(Shard.id == row.shard_id).with_for_update())
    for other in session.scalars(sa.select(Node).where(Node.shard_id == row.shard_id, Node.is_primary)):
        other.is_primary = False
    session.flush()
    row.is_primary = True
    return []


def before_delete(session: Session, row: Any) -> None:
    """Keep the primary of databases for as long as others follow it, and the home of Valkey instances."""
    shard = session.get_one(Shard, row.shard_id)
    others = session.scalars(
        sa.select(Node.id)
        .where(Node.shard_id == row.shard_id, Node.id != row.id, Node.delete_requested.is_(False))
        .order_by(Node.name)
    ).all()
    if shard.role == "db" and row.is_primary and others:
        raise conflict("This is the primary of its shard: move that to another node first.")
    if shard.role == "valkey":
        _leave(session, row, others)


def _leave(session: Session, row: Any, others: Sequence[uuid.UUID]) -> None:
    """Refuse to lose instances, or the majority that highly available ones need; those get another home."""
    instance = registry["valkey_instance"].model
    session.execute(sa.select(Shard.id).where(Shard.id == row.shard_id).with_for_update())
    here = sa.select(instance.id).where(instance.shard_id == row.shard_id)
    if session.scalar(here.where(instance.node_id == row.id, instance.highly_available.is_(False)).limit(1)):
        raise conflict("Instances live on this node: move them to another shard first.")
    coming = sa.select(Move.id).where(Move.state == "copying", Move.target_id == row.shard_id)
    if session.scalar(coming.where(Move.target_address == row.address).limit(1)):
        raise conflict("An instance is moving to this node: wait for that, or cancel its job.")
    if len(others) < grammar.VALKEY_QUORATE and session.scalar(
        here.where(instance.highly_available.is_(True)).limit(1)
    ):
        raise conflict(f"Highly available instances of the shard need {grammar.VALKEY_QUORATE} nodes.")
    if others:
        session.execute(sa.update(instance).where(instance.node_id == row.id).values(node_id=others[0]))


def shards(session: Session, row: Any) -> Iterable[Any]:
    """Return the node's own shard and those that must know it.

    Load balancers know the hosts of sites and databases of their cluster, and are known to them.
    """
    shard = session.get_one(Shard, row.shard_id)
    yield shard
    if others := {"web": ["lb"], "db": ["lb"], "lb": ["web", "db"]}.get(shard.role):
        beside = sa.select(Shard).where(Shard.cluster_id == shard.cluster_id, Shard.role.in_(others))
        yield from session.scalars(beside.order_by(Shard.id))


KIND = registry.add(
    Kind(
        Node,
        plural="nodes",
        parent="shard_id",
        platform=True,
        filters=("shard_id", "status"),
        shards=shards,
        validate=validate,
        before_delete=before_delete,
        actions={"promote": promote},
    )
)
