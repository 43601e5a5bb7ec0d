"""What REST asks of a primary: whether it can be moved, and to which node."""

from __future__ import annotations

import uuid
from collections.abc import Sequence
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.errors import conflict, not_found
from api.jobs.models import Job
from api.kinds.node import Node
from api.operations import core as operations
from api.operations.primary import FAILOVER, MOVES, REBUILD, SWITCHOVER
from api.watch.models import ShardHealth


def switchover(session: Session, shard: Any, node_id: uuid.UUID | None, who: str, *, check: bool) -> tuple[Job, Node]:
    """Queue the planned move of a shard's primary to a node, or to a healthy replica; 409 if it cannot be moved."""
    nodes, primary = _movable(session, shard)
    target = _best(session, shard, nodes, primary) if node_id is None else _named(nodes, primary, node_id)
    job = operations.begin(session, SWITCHOVER, [shard], {"db_new_primary": target.name}, who, check=check)
    return job, target


def failover(
    session: Session, shard: Any, node_id: uuid.UUID | None, who: str, *, accept_loss: bool, check: bool
) -> tuple[Job, Node]:
    """Queue the promotion of a replica, by default the most advanced; 409 if there is none. Returns the dead one."""
    nodes, primary = _movable(session, shard)
    variables: dict[str, Any] = {"db_dead_primary": primary.name, "db_accept_loss": accept_loss}
    if node_id is not None:
        variables["db_new_primary"] = _named(nodes, primary, node_id).name
    return operations.begin(session, FAILOVER, [shard], variables, who, check=check), primary


def rebuild(session: Session, shard: Any, node_id: uuid.UUID, who: str, *, check: bool) -> tuple[Job, Node]:
    """Queue the copy of the primary onto a replica that holds what the primary lacks; 409 if it is none."""
    nodes, primary = _movable(session, shard)
    node = _named(nodes, primary, node_id)
    return operations.begin(session, REBUILD, [shard], {"db_rebuild_node": node.name}, who, check=check), node


def _movable(session: Session, shard: Any) -> tuple[Sequence[Node], Node]:
    """Return the nodes of a locked shard and the recorded primary, or raise 409."""
    if shard.delete_requested:
        raise not_found()
    if shard.role != "db":
        raise conflict("Only a db shard has a primary that moves.")
    chosen = sa.select(Node).where(Node.shard_id == shard.id, Node.delete_requested.is_(False))
    nodes = session.scalars(chosen.order_by(Node.name)).all()
    primary = next((node for node in nodes if node.is_primary), None)
    if primary is None or len(nodes) < 2:
        raise conflict("The shard has no second node to which its primary could move.")
    if (job := operations.under_way(session, shard.id, MOVES)) is not None:
        raise conflict(f"The shard's servers change places, or one is rebuilt, already: job {job.id}.")
    return nodes, primary


def _named(nodes: Sequence[Node], primary: Node, node_id: uuid.UUID) -> Node:
    node = next((node for node in nodes if node.id == node_id), None)
    if node is None:
        raise conflict("The node is not a replica of this shard.", "node_id")
    if node is primary:
        raise conflict("The node is the shard's primary.", "node_id")
    if not _is_made(node):
        raise conflict("The node has not become a server of the shard yet.", "node_id")
    return node


def _best(session: Session, shard: Any, nodes: Sequence[Node], primary: Node) -> Node:
    """Return the replica that was seen to replicate with the least lag; the first one where nobody has looked."""
    replicas = [node for node in nodes if node is not primary and _is_made(node)]
    row = session.get(ShardHealth, shard.id)
    if row is not None and row.looked_at is not None:
        answers = {entry["node_id"]: entry["answer"] for entry in row.nodes}
        said = {node: (answers.get(str(node.id)) or {}).get("replication") for node in replicas}
        lags = {node: reply["lag"] or 0 for node, reply in said.items() if reply and reply["running"]}
        replicas = sorted(lags, key=lambda node: (lags[node], node.name))
    if not replicas:
        raise conflict("No replica of the shard is healthy; name one with node_id to try nevertheless.", "node_id")
    return replicas[0]


def _is_made(node: Node) -> bool:
    return node.generation > 1 or node.status == "active"
