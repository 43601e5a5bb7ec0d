"""Shard: nodes of one role that carry the same resources."""

from __future__ import annotations

import base64
import secrets
import uuid
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core import shown_once
from api.core.crypto import Secret
from api.core.db import Base, Name, Resource
from api.core.errors import conflict, invalid
from api.core.kind import Kind, registry
from api.jobs import dispatch
from api.jobs.models import Job
from api.jobs.sql import read_clock
from api.kinds.cluster import Cluster

#: Bytes of a key for hmac-sha256.
KEY_BYTES = 32
ROLES = ("web", "lb", "dns", "db", "valkey")
DRIFT = ("off", "report", "repair", "ask")
#: For the API's description.
DRIFT_POLICY = "what becomes of drift: only told, repaired at once, or offered as a plan to approve; off: nobody looks"
#: Ports of the load balancers that lead to db shards: one for each shard of a cluster.
CLIENT_PORTS = range(30000, 31000)
#: For the API's description.
CLIENT_PORT = "db only: the port of the cluster's load balancers at which clients find the shard's primary"
USAGE_EVERY = "minutes between two looks at what its resources use; 0: nobody looks"
#: Minutes.
QUARTER, DAY = 15, 1440


def tsig_secret(value: str) -> str:
    """Return a base64 key of 16 to 64 bytes."""
    try:
        if 16 <= len(base64.b64decode(value, validate=True)) <= 64:
            return value
    except ValueError:
        pass
    raise ValueError("must be the base64 of 16 to 64 bytes")


class Shard(Resource, Base):
    """Nodes of one role that carry the same resources."""

    __tablename__ = "shard"
    __table_args__ = (sa.Index(None, "cluster_id", "client_port", unique=True),)

    cluster_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("cluster.id"), info={"once": True})
    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.slug, "once": True, "example": "web-a"})
    role: Mapped[str] = mapped_column(sa.String(16), info={"choices": ROLES, "once": True})
    #: dns only: the key between the primary and its secondaries; made when it is not given
    tsig_secret: Mapped[str | None] = mapped_column(Secret, info={"secret": True, "check": tsig_secret})
    #: db only: the password with which replicas copy and follow the primary
    replication_password: Mapped[str | None] = mapped_column(Secret, info={"hidden": True, "secret": True})
    client_port: Mapped[int | None] = mapped_column(info={"ro": True, "description": CLIENT_PORT})
    #: the workers of this queue run its jobs, and not those of its region's
    queue: Mapped[str | None] = mapped_column(sa.String(32), info={"check": grammar.slug, "example": "eu-gpu"})
    #: whether its hosts are searched for drift, every so many minutes, and what becomes of what is found
    drift_policy: Mapped[str] = mapped_column(
        sa.String(8), default="report", server_default="report", info={"choices": DRIFT, "description": DRIFT_POLICY}
    )
    drift_every: Mapped[int] = mapped_column(
        default=DAY, server_default=str(DAY), info={"range": (5, 30 * DAY), "description": "minutes"}
    )
    drift_at: Mapped[datetime | None] = mapped_column(info={"ro": True, "description": "when it is searched next"})
    #: db only (``api.watch``)
    automatic_failover: Mapped[bool] = mapped_column(
        default=False, server_default=sa.false(), info={"description": "promote a replica when the primary is gone"}
    )
    failover_after: Mapped[int] = mapped_column(
        default=20, server_default="20", info={"range": (10, 600), "description": "seconds for which it must be gone"}
    )
    lag_seconds: Mapped[int] = mapped_column(
        default=30, server_default="30", info={"range": (1, DAY * 60), "description": "lag above which health suffers"}
    )
    #: how often the use of its resources is read
    usage_every: Mapped[int] = mapped_column(
        default=QUARTER, server_default=str(QUARTER), info={"range": (0, DAY), "description": USAGE_EVERY}
    )
    usage_at: Mapped[datetime | None] = mapped_column(info={"ro": True, "description": "when its use is read next"})


def validate(session: Session, row: Any) -> None:
    """Make the secret that the nodes of a dns or db shard share; no other role has one."""
    if row.role != "dns" and row.tsig_secret is not None:
        raise invalid("tsig_secret", "is for shards of the role dns")
    if row.role == "dns" and row.tsig_secret is None:
        row.tsig_secret = base64.b64encode(secrets.token_bytes(KEY_BYTES)).decode()
    if row.role != "db" and row.automatic_failover:
        raise invalid("automatic_failover", "is for shards of the role db")
    if row.role == "db" and row.replication_password is None:
        row.replication_password = shown_once.generate()
    if row.role == "db" and row.client_port is None:
        row.client_port = _free_port(session, row.cluster_id)
    roles = {kind.usage.role for kind in registry if kind.usage}
    _turn(session, row, "drift", wanted=row.drift_policy != "off")
    _turn(session, row, "usage", wanted=row.usage_every > 0 and row.role in roles)


def _free_port(session: Session, cluster_id: uuid.UUID) -> int:
    """Return the lowest port that no shard of the cluster has."""
    # Two concurrent requests must not both find the same.
    session.execute(sa.select(Cluster.id).where(Cluster.id == cluster_id).with_for_update(key_share=True))
    taken = set(session.scalars(sa.select(Shard.client_port).where(Shard.cluster_id == cluster_id)))
    for port in CLIENT_PORTS:
        if port not in taken:
            return port
    raise conflict("The cluster has no port left for another db shard.", "cluster_id")


def _turn(session: Session, row: Any, what: str, *, wanted: bool) -> None:
    """Say when a shard is looked at: a new one after its first interval, one with new wishes soon."""
    attributes, at, every = sa.inspect(row).attrs, f"{what}_at", f"{what}_every"
    wishes = [name for name in (every, f"{what}_policy") if name in attributes]
    if not wanted:
        setattr(row, at, None)
    elif not sa.inspect(row).persistent:
        setattr(row, at, read_clock(session) + timedelta(minutes=getattr(row, every)))
    elif any(attributes[name].history.has_changes() for name in wishes):
        setattr(row, at, read_clock(session))


def tell_nodes(session: Session, row: Any) -> Iterable[Job]:
    """Configure the nodes of a dns shard again: its key may have changed."""
    if row.generation == 1 or row.delete_requested or row.role != "dns":
        return ()
    kind = registry["node"]
    jobs: dict[uuid.UUID, Job] = {}
    for node in session.scalars(
        sa.select(kind.model)
        .where(kind.model.shard_id == row.id, kind.model.delete_requested.is_(False))
        .order_by(kind.model.id)
    ):
        node.generation += 1
        jobs |= {job.id: job for job in dispatch.deliver(session, kind, node)}
    return list(jobs.values())


def least_filled(session: Session, role: str, model: Any, *where: Any) -> uuid.UUID | None:
    """Return the shard of a role, among those that fulfil ``where``, that carries the fewest rows of ``model``."""
    found: uuid.UUID | None = session.scalar(
        sa.select(Shard.id)
        .outerjoin(model, model.shard_id == Shard.id)
        .where(Shard.role == role, Shard.delete_requested.is_(False), *where)
        .group_by(Shard.id, Shard.name)
        .order_by(sa.func.count(model.id), Shard.name)
        .limit(1)
    )
    return found


def nearest(session: Session, role: str, model: Any, web: Shard, *among: Any) -> uuid.UUID:
    """Return the shard of a role for a tenant of a web shard: the emptiest of its cluster, else of its region.

    ``among``: conditions that the shard must fulfil.
    """
    region = session.get_one(Cluster, web.cluster_id).region_id
    nearby = sa.select(Cluster.id).where(Cluster.region_id == region)
    for where in (Shard.cluster_id == web.cluster_id, Shard.cluster_id.in_(nearby)):
        if found := least_filled(session, role, model, where, *among):
            return found
    fit = " that has the nodes for it" if among else ""
    raise conflict(f"There is no {role} shard{fit} in the tenant's region yet.", "shard_id")


def balancers(session: Session, cluster_id: uuid.UUID) -> Sequence[Shard]:
    """Return the load balancer shards of a cluster; asked once per transaction, for any number of names."""
    known: dict[uuid.UUID, Sequence[Shard]] = session.info.setdefault("balancers", {})
    if cluster_id not in known:
        query = sa.select(Shard).where(Shard.cluster_id == cluster_id, Shard.role == "lb")
        known[cluster_id] = session.scalars(query).all()
    return known[cluster_id]


KIND = registry.add(
    Kind(
        Shard,
        plural="shards",
        parent="cluster_id",
        platform=True,
        filters=("cluster_id", "role"),
        validate=validate,
        after_change=tell_nodes,
    )
)
