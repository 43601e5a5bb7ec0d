"""Valkey instance: a key-value store or cache of a tenant."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column, relationship

from api.core import shown_once
from api.core.crypto import Secret
from api.core.db import Base, Name, Resource
from api.core.errors import conflict, invalid
from api.core.kind import Carry, Derived, Item, Kind, Moving, Usage, registry
from api.core.names import random_name
from api.kinds.endpoints import ValkeyEndpoint, of_instances
from api.kinds.node import Node
from api.kinds.shard import Shard, nearest
from api.kinds.tenant import Tenant
from api.moves.models import Move

#: For the API's description.
AVAILABLE = "on all nodes of a shard (three or more), as a primary with replicas that Sentinels watch over"
ENDPOINT = "where clients connect to. Null while there is no host"
EVICTION = "what happens when the memory is full: writes are refused (noeviction), or which keys go"
PERSISTENCE = "what a restart brings back: nothing, the last snapshot (rdb), or every write but the last second's (aof)"

#: What a host tells of an instance.
USAGE = {
    "memory_bytes": "of its data",
    "memory_most_bytes": "that its data may have",
    "rss_bytes": "of its process",
    "disk_bytes": "size of its files",
    "keys": "in all its databases",
    "evicted": "keys since it started",
    "hits": "since it started",
    "misses": "since it started",
    "commands": "since it started",
    "commands_per_second": "now",
    "connections": "connections now",
    "rejected": "connections since it started",
}


class ValkeyInstance(Resource, Base):
    """A Valkey of its own on a node of a shard, or on all of them, with its port, memory and data."""

    __tablename__ = "valkey_instance"
    __table_args__ = (sa.UniqueConstraint("shard_id", "port"),)

    brand_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("brand.id"), info={"ro": True})
    tenant_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("tenant.id"), info={"once": True})
    shard_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("shard.id"), info={"once": True, "optional": True})
    #: the node that carries it; of a highly available one, the node that was the primary first
    node_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("node.id"), index=True, info={"ro": True})
    highly_available: Mapped[bool] = mapped_column(
        default=False, server_default=sa.false(), info={"once": True, "description": AVAILABLE}
    )
    #: with which the other nodes follow the primary, and Sentinels watch it; highly available ones have it
    replication_password: Mapped[str | None] = mapped_column(Secret, info={"hidden": True, "secret": True})
    name: Mapped[str] = mapped_column(
        Name, unique=True, default=lambda: random_name("kv_"), info={"ro": True, "example": "kv_abcdefghij"}
    )
    label: Mapped[str] = mapped_column(sa.String(100), default="", info={"check": lambda v: grammar.text(v, 100)})
    port: Mapped[int] = mapped_column(info={"ro": True})
    memory_mb: Mapped[int] = mapped_column(default=64, info={"range": grammar.VALKEY_MEMORY_MB})
    eviction: Mapped[str] = mapped_column(
        sa.String(16),
        default="noeviction",
        info={"choices": grammar.VALKEY_EVICTIONS, "description": EVICTION},
    )
    persistence: Mapped[str] = mapped_column(
        sa.String(16), default="rdb", info={"choices": grammar.VALKEY_PERSISTENCES, "description": PERSISTENCE}
    )

    tenant: Mapped[Tenant] = relationship(lazy="joined")
    shard: Mapped[Shard] = relationship(lazy="joined")
    node: Mapped[Node | None] = relationship(lazy="joined")


def item(session: Session, row: Any) -> Item:
    """Return the host's view of an instance."""
    found: Item = {
        "name": row.name,
        "tenant": row.tenant.name,
        "port": row.port,
        "memory_mb": row.memory_mb,
        "eviction": row.eviction,
        "persistence": row.persistence,
    }
    if row.node is not None:
        found["node"] = row.node.name
    if row.highly_available:
        found.update(highly_available=True, replication_password=row.replication_password)
    return found


def validate(session: Session, row: Any) -> None:
    """Place a new instance: a shard, a port and a node of that; see that a changed one has room."""
    if row.shard_id is None:
        web = session.get_one(Tenant, row.tenant_id).shard
        row.shard_id = nearest(session, "valkey", ValkeyInstance, web, _has_nodes(row))
    elif session.get_one(Shard, row.shard_id).role != "valkey":
        raise invalid("shard_id", "must be a shard of the role valkey")
    if row.port is None or row.node_id is None:
        place(session, row)
    elif sa.inspect(row).attrs.memory_mb.history.has_changes():
        _lock(session, row.shard_id)
        _with_room(session, row)


def place(session: Session, row: Any) -> None:
    """Give an instance a port and a home on its (new) shard: the node with the least memory given away."""
    # Two concurrent requests must not both find the same.
    _lock(session, row.shard_id)
    row.port = _free_port(session, row.shard_id)
    row.node_id = None
    row.node_id = min(_with_room(session, row))[2]
    if row.highly_available and row.replication_password is None:
        row.replication_password = shown_once.generate()


def node_of(session: Session, row: Any, shard: Any, address: str) -> Any:
    """Return the node from which an instance moves, or to which; with an address, where a copy stayed, None if gone."""
    if row.highly_available:
        raise conflict("A highly available instance does not move: make another one.", "highly_available")
    if address:
        return session.scalar(sa.select(Node).where(Node.shard_id == shard.id, Node.address == address))
    if shard.id == row.shard_id:
        return row.node
    _lock(session, shard.id)
    return session.get_one(Node, min(_with_room(session, row, shard.id))[2])


def arrives(session: Session, row: Any, node: Any) -> None:
    """Let an instance live on a node of another shard, where its port may be another one's."""
    _lock(session, node.shard_id)
    row.node_id = node.id
    if row.port in _taken(session, node.shard_id, row.id):
        row.port = _free_port(session, node.shard_id)


def _lock(session: Session, shard_id: uuid.UUID) -> None:
    session.execute(sa.select(Shard.id).where(Shard.id == shard_id).with_for_update())


def _has_nodes(row: Any) -> Any:
    """Return the condition for shards with enough nodes for an instance."""
    enough = sa.select(Node.shard_id).where(Node.delete_requested.is_(False)).group_by(Node.shard_id)
    return Shard.id.in_(enough.having(sa.func.count() >= (grammar.VALKEY_QUORATE if row.highly_available else 1)))


def _with_room(session: Session, row: Any, other: uuid.UUID | None = None) -> list[tuple[int, str, uuid.UUID]]:
    """Return (MiB given away, name, id) of the nodes of its shard, or of another, that can carry an instance.

    Conflict where it cannot live.
    """
    shard_id = other or row.shard_id
    nodes = session.scalars(sa.select(Node).where(Node.shard_id == shard_id, Node.delete_requested.is_(False))).all()
    if len(nodes) < (grammar.VALKEY_QUORATE if row.highly_available else 1):
        raise conflict(f"The shard has {len(nodes)} nodes, which is too few for the instance.", "shard_id")
    with session.no_autoflush:
        rows = session.execute(
            sa.select(ValkeyInstance.node_id, ValkeyInstance.highly_available, sa.func.sum(ValkeyInstance.memory_mb))
            .where(ValkeyInstance.shard_id == shard_id, ValkeyInstance.id != row.id)
            .group_by(ValkeyInstance.node_id, ValkeyInstance.highly_available)
        ).all()
        coming = _coming(session, shard_id, row)
    everywhere = sum(given for _, available, given in rows if available)
    alone = {node: given for node, available, given in rows if not available}
    found = [(everywhere + alone.get(node.id, 0) + coming.get(node.address, 0), node.name, node.id) for node in nodes]
    most = {node.id: node.memory_mb for node in nodes if node.memory_mb is not None}
    fit = [one for one in found if one[2] not in most or one[0] + row.memory_mb <= most[one[2]]]
    mine = {one[2] for one in found} if row.highly_available else {row.node_id} if row.node_id and not other else set()
    if not fit or not mine <= {one[2] for one in fit}:
        raise conflict("The nodes of the shard have not that much memory left.", "memory_mb")
    return fit


def _coming(session: Session, shard_id: uuid.UUID, row: Any) -> dict[str, int]:
    """Return {address: MiB} of other instances that are on their way to nodes of a shard: they will need it there."""
    rows = session.execute(
        sa.select(Move.target_address, sa.func.sum(ValkeyInstance.memory_mb))
        .join(ValkeyInstance, ValkeyInstance.id == Move.resource_id)
        .where(Move.kind == ValkeyInstance.__tablename__, Move.state == "copying", Move.target_id == shard_id)
        .where(Move.resource_id != row.id)
        .group_by(Move.target_address)
    ).all()
    return {address: given for address, given in rows}


def _taken(session: Session, shard_id: uuid.UUID, other_than: uuid.UUID | None = None) -> set[int]:
    mine = sa.true() if other_than is None else ValkeyInstance.id != other_than
    return set(session.scalars(sa.select(ValkeyInstance.port).where(ValkeyInstance.shard_id == shard_id, mine)))


def _free_port(session: Session, shard_id: uuid.UUID) -> int:
    """Return the lowest port that no instance of the shard has."""
    taken = _taken(session, shard_id)
    least, most = grammar.VALKEY_PORTS
    for port in range(least, most + 1):
        if port not in taken:
            return port
    raise conflict("The shard has no port left.", "shard_id")


KIND = registry.add(
    Kind(
        ValkeyInstance,
        plural="valkey-instances",
        parent="tenant_id",
        identity=("label",),
        filters=("brand_id", "tenant_id", "shard_id", "label"),
        confirm=True,
        shards=lambda session, row: [row.shard],
        carries={"valkey": Carry("valkey_instances", item)},
        usage=Usage("valkey", "instances", USAGE),
        validate=validate,
        derived={"endpoint": Derived(ValkeyEndpoint, of_instances, ENDPOINT)},
        move=Moving("move_valkey.yml", "move_instance", node_of, arrives),
    )
)
