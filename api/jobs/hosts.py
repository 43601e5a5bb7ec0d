"""The variables of a host that do not come from its resources: how to reach it, and what its role is told."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.models import Delivery


def reach(shard: Any, node: Any) -> dict[str, Any]:
    """Return how Ansible reaches a node, and what it is within its shard.

    ValueError names a field that does not hold what it should: the API has checked these fields, but a row
    that got into the database by another way must not reach an ssh command.
    """
    for name in ("name", "address", "ssh_user"):
        check = node.__table__.c[name].info["check"]
        try:
            fine = check(getattr(node, name)) == getattr(node, name)
        except ValueError:
            fine = False
        if not fine:
            raise ValueError(f"the {name} of the node is not well-formed")
    variables = {"ansible_host": node.address, "ansible_port": node.ssh_port, "ansible_user": node.ssh_user}
    if shard.role == "dns":
        variables["dns_mode"] = "primary" if node.is_primary else "secondary"
    return variables


def groups_of(shard: Any, node: Any) -> list[str]:
    """Return the groups of a host besides its shard's."""
    if shard.role == "dns":
        return ["dns", "dns_primary" if node.is_primary else "dns_secondary"]
    return [shard.role]


def role_variables(session: Session, shard: Any) -> dict[str, Any]:
    """Return what the role of a shard is told about other machines."""
    if shard.role == "lb":
        return {"lb_shards": _back_ends(session, shard), "lb_tcp": _client_ports(session, shard)}
    if shard.role == "dns":
        return _name_servers(session, shard)
    if shard.role == "db":
        return _database_servers(session, shard)
    if shard.role == "valkey":
        return {"valkey_nodes": _members(session, shard)}
    if shard.role == "web":
        return {"web_trusted_proxies": _load_balancers(session, shard)}
    return {}


def _load_balancers(session: Session, shard: Any) -> list[str]:
    """Return the addresses whose word about a client's address is believed."""
    node, other = registry["node"].model, registry["shard"].model
    return list(
        session.scalars(
            sa.select(node.address)
            .join(other, node.shard_id == other.id)
            .where(other.cluster_id == shard.cluster_id, other.role == "lb", node.delete_requested.is_(False))
            .order_by(node.name)
        )
    )


def _back_ends(session: Session, shard: Any) -> list[dict[str, Any]]:
    """Return the web shards of the cluster with their nodes.

    A node that was never converged is left out, since it would answer 404 for names that it does not have yet.
    """
    node, other = registry["node"].model, registry["shard"].model
    raw = sa.exists().where(Delivery.kind == "node", Delivery.resource_id == node.id, Delivery.node_id == node.id)
    rows = session.execute(
        sa.select(other.name, node.name.label("node"), node.address)
        .join(node, node.shard_id == other.id)
        .where(
            other.cluster_id == shard.cluster_id,
            other.role == "web",
            node.delete_requested.is_(False),
            sa.or_(node.generation > 1, ~raw),
        )
        .order_by(other.name, node.name)
    )
    shards: dict[str, list[dict[str, str]]] = {}
    for row in rows:
        shards.setdefault(row.name, []).append({"name": row.node, "address": row.address})
    return [{"name": name, "nodes": nodes} for name, nodes in shards.items()]


def _client_ports(session: Session, shard: Any) -> list[dict[str, Any]]:
    """Return the ports at which clients find the db shards of the cluster; the recorded primary comes first.

    Which one takes writes its health responder says, so clients follow a failover before anybody is told of it.
    """
    node, other = registry["node"].model, registry["shard"].model
    rows = session.execute(
        sa.select(other.name, other.client_port, node.name.label("node"), node.address)
        .join(node, node.shard_id == other.id)
        .where(other.cluster_id == shard.cluster_id, other.client_port.is_not(None), node.delete_requested.is_(False))
        .order_by(other.name, node.is_primary.desc(), node.name)
    )
    ports: dict[str, dict[str, Any]] = {}
    for row in rows:
        new = {"name": row.name, "port": row.client_port, "proxy": True, "nodes": []}
        new["check"] = {"port": 9105, "path": "/primary"}
        ports.setdefault(row.name, new)["nodes"].append({"name": row.node, "address": row.address, "port": 3306})
    return list(ports.values())


def _name_servers(session: Session, shard: Any) -> dict[str, Any]:
    """Return who transfers zones from whom, and with which key."""
    node = registry["node"].model
    nodes = session.scalars(
        sa.select(node).where(node.shard_id == shard.id, node.delete_requested.is_(False)).order_by(node.name)
    ).all()
    return {
        "dns_primary": next((row.address for row in nodes if row.is_primary), ""),
        "dns_secondaries": [row.address for row in nodes if not row.is_primary],
        "dns_tsig_name": "hostreeve",
        "dns_tsig_secret": shard.tsig_secret,
    }


def _members(session: Session, shard: Any) -> list[dict[str, str]]:
    """Return the nodes of a shard by name and address."""
    node = registry["node"].model
    chosen = sa.select(node.name, node.address).where(node.shard_id == shard.id, node.delete_requested.is_(False))
    return [{"name": row.name, "address": row.address} for row in session.execute(chosen.order_by(node.name))]


def _database_servers(session: Session, shard: Any) -> dict[str, Any]:
    """Return who replicates from whom, and with which password."""
    node = registry["node"].model
    nodes = session.scalars(
        sa.select(node).where(node.shard_id == shard.id, node.delete_requested.is_(False)).order_by(node.name)
    ).all()
    return {
        "db_primary": next((row.name for row in nodes if row.is_primary), ""),
        "db_nodes": [{"name": row.name, "address": row.address} for row in nodes],
        "db_replication_password": shard.replication_password,
        "db_trusted_proxies": _load_balancers(session, shard),
    }
