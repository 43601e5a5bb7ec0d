"""What operations share: how one is declared, begun, and what its end does.

An operation is a launch (a job without a shard, with the leases of its hosts) of one of the platform's own playbooks.
Its inventory is the hosts and the roles' variables of some shards, without the lists of resources. What its end means
is written in the transaction that ends the job, however that ends.
"""

from __future__ import annotations

import pkgutil
import uuid
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from functools import cache
from importlib import import_module
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.kind import registry
from api.jobs.models import READ, Job
from api.jobs.queue import DEFAULT
from api.launch.models import Launch
from api.launch.start import queue

#: What an operation gathered from the events of its run.
Heard = dict[str, Any]
#: What most playbooks tell with set_stats.
NOTHING_TOLD: dict[str, Any] = {}


@dataclass(frozen=True)
class Operation:
    """A playbook, and what follows from how its run ended."""

    name: str
    playbook: str
    #: (session, launch, reason, heard): in the transaction that ends the job. ``reason`` is empty for a success, else
    #: why it failed, or ``canceled``, or why it was abandoned; then nobody knows how far it came
    ended: Callable[[Session, Launch, str, Heard], None]
    #: (heard, event): sees every event of the run
    listen: Callable[[Heard, dict[str, Any]], None] | None = None
    #: it only reads, so it takes no leases and others may work on its hosts meanwhile; its jobs are not in the list
    #: unless it is asked for them, the audit does not record them, nobody is told of them, and a day later they go
    reads: bool = False


_operations: dict[str, Operation] = {}


def add(operation: Operation) -> Operation:
    """Declare an operation; the same name twice is a programming error."""
    if operation.name in _operations:
        raise ValueError(f"operation {operation.name} is declared twice")
    _operations[operation.name] = operation
    return operation


def find(name: str) -> Operation:
    """Return an operation by its name; KeyError if there is none."""
    _load()
    return _operations[name]


@cache
def _load() -> None:
    package = import_module("api.operations")
    for module in pkgutil.iter_modules(package.__path__):
        import_module(f"{package.__name__}.{module.name}")


def begin(
    session: Session,
    name: str,
    shards: Iterable[Any],
    variables: dict[str, Any],
    who: str,
    *,
    check: bool = False,
) -> Job:
    """Queue an operation over the nodes of some shards; ``who`` asked for it. The first shard's workers run it.

    ``variables`` become extra-vars: data, whatever stands in them.
    """
    operation, rows = find(name), list(shards)
    row = Launch(
        operation=name,
        shards=[str(shard.id) for shard in rows],
        template=name,
        playbook=operation.playbook,
        variables=variables,
        check=check,
        diff=check,
        requested_by=who,
        queue=queue_of(session, rows[0]),
    )
    return queue(session, row, operation.playbook, READ if operation.reads else "")[0]


def under_way(session: Session, shard_id: uuid.UUID, names: Iterable[str]) -> Job | None:
    """Return an operation of these names over a shard that waits or runs."""
    live = sa.select(Job, Launch.shards).join(Launch, Launch.job_id == Job.id)
    live = live.where(Job.state.in_(("queued", "running")), Launch.operation.in_(list(names)))
    return next((job for job, shards in session.execute(live) if str(shard_id) in shards), None)


def over(session: Session, job_id: uuid.UUID, reason: str, heard: Heard, data: dict[str, Any] | None) -> None:
    """A job without a shard has ended: keep what it told, and let its operation do what follows."""
    launch = session.get(Launch, job_id, populate_existing=True)
    if launch is None:
        return
    if data != NOTHING_TOLD:
        launch.data = data
        session.flush()
    if launch.operation:
        find(launch.operation).ended(session, launch, reason, heard)
        session.flush()


def queue_of(session: Session, shard: Any) -> str:
    """Return the queue whose workers reach the nodes of a shard."""
    cluster, region = registry["cluster"].model, registry["region"].model
    chosen = sa.select(region.queue).join(cluster, cluster.region_id == region.id).where(cluster.id == shard.cluster_id)
    return shard.queue or session.scalar(chosen) or DEFAULT
