"""Endpoints: where the clients of a database or a Valkey instance connect to."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Sequence
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.ha import BELOW

from api.core.kind import Item, registry

#: Port of every MariaDB.
MARIADB = 3306


class Endpoint(ma.Schema):
    """Where clients connect to."""

    host = ma.fields.String(required=True, metadata={"description": "the first of the hosts"})
    port = ma.fields.Integer(required=True)
    hosts = ma.fields.List(
        ma.fields.String(),
        required=True,
        metadata={"description": "all addresses that lead there; for clients that try more than one"},
    )


class ValkeyEndpoint(Endpoint):
    """Where clients connect to; those of a highly available instance ask its Sentinels on the same hosts first."""

    sentinel_port = ma.fields.Integer(
        required=True,
        allow_none=True,
        metadata={"description": "of a highly available instance, which they know by the instance's name"},
    )


def endpoint(hosts: Sequence[str], port: int | None) -> Item | None:
    """Return an endpoint; None where there is nothing to connect to yet."""
    return {"host": hosts[0], "port": port, "hosts": list(hosts)} if hosts and port else None


def lb_hosts(session: Any, cluster_ids: Iterable[uuid.UUID]) -> dict[uuid.UUID, list[str]]:
    """Return cluster id → the addresses of its load balancers, oldest first."""
    table = registry["lb_address"].model.__table__
    found: dict[uuid.UUID, list[str]] = {}
    for row in session.execute(
        sa.select(table.c.cluster_id, table.c.address)
        .where(table.c.cluster_id.in_(set(cluster_ids)), table.c.delete_requested.is_(False))
        .order_by(table.c.created_at, table.c.id)
    ):
        found.setdefault(row.cluster_id, []).append(row.address)
    return found


def of_databases(session: Any, rows: Sequence[Item]) -> list[Item | None]:
    """Return where the clients of databases connect to: the load balancers, or the primary itself where there are none.

    Two or three statements, for any number of databases.
    """
    shard, node = registry["shard"].model.__table__, registry["node"].model.__table__
    ids = {row["shard_id"] for row in rows}
    columns = (shard.c.id, shard.c.cluster_id, shard.c.client_port)
    shards = {row.id: row for row in session.execute(sa.select(*columns).where(shard.c.id.in_(ids)))}
    balanced = lb_hosts(session, {row.cluster_id for row in shards.values()})
    direct = [id_ for id_, row in shards.items() if row.cluster_id not in balanced]
    primaries = {}
    if direct:
        chosen = sa.select(node.c.shard_id, node.c.address).where(node.c.shard_id.in_(direct), node.c.is_primary)
        primaries = {row.shard_id: row.address for row in session.execute(chosen)}
    found = {
        id_: endpoint(balanced[row.cluster_id], row.client_port)
        if row.cluster_id in balanced
        else endpoint([primaries[id_]] if id_ in primaries else [], MARIADB)
        for id_, row in shards.items()
    }
    return [found[row["shard_id"]] for row in rows]


def of_instances(session: Any, rows: Sequence[Item]) -> list[Item | None]:
    """Return where the clients of Valkey instances connect to: their node, or all nodes of a highly available one.

    One statement, for any number of instances.
    """
    node = registry["node"].model.__table__
    wanted = sa.or_(
        node.c.id.in_({row["node_id"] for row in rows}),
        node.c.shard_id.in_({row["shard_id"] for row in rows if row["highly_available"]}),
    )
    chosen = sa.select(node.c.id, node.c.shard_id, node.c.address).where(wanted, node.c.delete_requested.is_(False))
    nodes = session.execute(chosen.order_by(node.c.name)).all()
    found: list[Item | None] = []
    for row in rows:
        everywhere = row["highly_available"]
        mine = (one.shard_id == row["shard_id"] if everywhere else one.id == row["node_id"] for one in nodes)
        made = endpoint([one.address for one, is_mine in zip(nodes, mine, strict=True) if is_mine], row["port"])
        if made is not None:
            made["sentinel_port"] = row["port"] - BELOW if everywhere else None
        found.append(made)
    return found
