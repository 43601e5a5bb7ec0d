"""A host's report settles what the host owed.

Only deliveries that this very job carries (``job_id`` and ``running``) are touched: what was wished meanwhile is
pending again, without a job, and neither a late nor a stale report can reach it.
"""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.audit import record
from api.core.kind import registry
from api.jobs.dispatch import announce
from api.jobs.document import Sent
from api.jobs.models import Delivery, Job, JobResource
from api.jobs.report import Result
from api.jobs.sql import chunks, clock, insert
from api.jobs.status import Gone, Touched, recompute, touch

#: Seconds to the first new try of a host that did not answer, and the longest pause.
FIRST_RETRY, LONGEST_RETRY = 15, 300


@dataclass(frozen=True)
class Run:
    """A claimed job, as far as settling needs it."""

    job_id: uuid.UUID
    shard_id: uuid.UUID
    #: the hosts were given all of their resources, not only what the job carries
    everything: bool


def settle_report(session: Session, run: Run, host: str, sent: Sent, result: Result) -> None:
    """Settle the resources of one host by its report."""
    carried = _carried(session, run, sent.node_id, nodes=False)
    concerned = {kind: set(ids) for kind, ids in carried.items()}
    for text in result.failed if run.everything else ():
        concerned.setdefault(sent.items[text], set()).add(uuid.UUID(text))
    touched = touch(session, concerned)
    rows = []
    for kind, ids in carried.items():
        failed = {id_: result.failed.get(str(id_)) for id_ in ids}
        for message, members in _by_message(failed).items():
            mine = _mine(run, sent.node_id, kind)
            for part in chunks(members):
                these = sa.and_(mine, Delivery.resource_id.in_(part))
                if message is None:
                    session.execute(sa.delete(Delivery).where(these))
                else:
                    session.execute(sa.update(Delivery).where(these).values(state="failed", message=message))
        rows += [_row(kind, id_, generation, result) for id_, generation in ids.items()]
    if run.everything:
        for kind, id_, generation in _besides(session, sent, result, carried):
            rows.append(_row(kind, id_, generation, result))
            if rows[-1]["failed"]:
                _owe_again(session, run, sent.node_id, rows[-1])
    rows = [{"job_id": run.job_id, "host": host, **row} for row in rows]
    if rows:
        session.execute(insert(session, JobResource.__table__).on_conflict_do_nothing(), rows)
    audit_gone(session, run.job_id, recompute(session, touched, run.job_id))


def settle_node(session: Session, run: Run, node_id: uuid.UUID) -> None:
    """The play ended well on a host: the nodes that it had to learn about are carried."""
    carried = _carried(session, run, node_id, nodes=True)
    touched = touch(session, {kind: set(ids) for kind, ids in carried.items()})
    session.execute(sa.delete(Delivery).where(_mine(run, node_id, "node")))
    if node_id in carried.get("node", ()):
        announce(session, node_id)
    audit_gone(session, run.job_id, recompute(session, touched, run.job_id))


def fail_host(
    session: Session, run: Run, node_id: uuid.UUID, message: str, *, again: bool = False, nodes: bool | None = None
) -> int:
    """Everything that the job still carries to a host has failed; return how much that was.

    ``again`` lets the sweeper try it later, each time after twice the pause. ``nodes`` True: only the kind node.
    """
    carried = _carried(session, run, node_id, nodes)
    if not carried:
        return 0
    touched = touch(session, {kind: set(ids) for kind, ids in carried.items()})
    mine = sa.and_(
        Delivery.job_id == run.job_id,
        Delivery.state == "running",
        Delivery.node_id == node_id,
        Delivery.kind.in_(carried),
    )
    levels = session.scalars(sa.select(Delivery.tries).where(mine).distinct()).all() if again else [None]
    for tries in levels:
        values: dict[str, Any] = {"state": "failed", "message": message}
        if tries is not None:
            pause = min(LONGEST_RETRY, FIRST_RETRY * 2 ** min(tries, 10))
            values |= {"retry_at": clock(session, pause), "tries": tries + 1}
        level = sa.true() if tries is None else Delivery.tries == tries
        session.execute(
            sa.update(Delivery).where(mine, level).values(values).execution_options(synchronize_session=False)
        )
    audit_gone(session, run.job_id, recompute(session, touched, run.job_id))
    return sum(len(ids) for ids in carried.values())


def audit_gone(session: Session, job_id: uuid.UUID | None, gone: Iterable[Gone]) -> None:
    """Record the end of resources."""
    for row in gone:
        record(
            session,
            actor="worker",
            action="deleted",
            kind=row.kind,
            resource_id=row.id,
            brand_id=row.brand_id,
            before={registry[row.kind].title: row.title},
            after=None,
            result="successful",
            duration_ms=0,
            job_ids=[] if job_id is None else [job_id],
        )


def still_running(session: Session, job_id: uuid.UUID) -> bool:
    """Tell whether the job was not ended by somebody else."""
    return session.scalar(sa.select(Job.state).where(Job.id == job_id)) == "running"


def _carried(
    session: Session, run: Run, node_id: uuid.UUID, nodes: bool | None = None
) -> dict[str, dict[uuid.UUID, int]]:
    """Return kind → id → generation of what the job carries to a node; ``nodes``: only, or all but, the kind node."""
    kinds = sa.true() if nodes is None else (Delivery.kind == "node") if nodes else (Delivery.kind != "node")
    carried: dict[str, dict[uuid.UUID, int]] = {}
    for kind, id_, generation in session.execute(
        sa.select(Delivery.kind, Delivery.resource_id, Delivery.generation).where(
            Delivery.job_id == run.job_id, Delivery.state == "running", Delivery.node_id == node_id, kinds
        )
    ):
        carried.setdefault(kind, {})[id_] = generation
    return carried


def _mine(run: Run, node_id: uuid.UUID, kind: str) -> sa.ColumnElement[bool]:
    return sa.and_(
        Delivery.job_id == run.job_id,
        Delivery.state == "running",
        Delivery.node_id == node_id,
        Delivery.kind == kind,
    )


def _by_message(failed: dict[uuid.UUID, str | None]) -> dict[str | None, list[uuid.UUID]]:
    groups: dict[str | None, list[uuid.UUID]] = {}
    for id_, message in failed.items():
        groups.setdefault(message, []).append(id_)
    return groups


def _besides(
    session: Session, sent: Sent, result: Result, carried: dict[str, dict[uuid.UUID, int]]
) -> Iterator[tuple[str, uuid.UUID, int]]:
    """Give (kind, id, generation) of what changed or failed though no delivery waited for it."""
    found: Touched = {}
    for text in [*result.failed, *result.changed]:
        kind, id_ = sent.items[text], uuid.UUID(text)
        if id_ not in carried.get(kind, {}):
            found.setdefault(kind, set()).add(id_)
    for kind, ids in found.items():
        model = registry[kind].model
        for part in chunks(sorted(ids)):
            for id_, generation in session.execute(sa.select(model.id, model.generation).where(model.id.in_(part))):
                yield kind, id_, generation


def _owe_again(session: Session, run: Run, node_id: uuid.UUID, row: dict[str, Any]) -> None:
    """Let a resource that was thought to be fine owe the host its present generation, as failed."""
    session.execute(
        insert(session, Delivery)
        .values(
            kind=row["kind"],
            resource_id=row["resource_id"],
            node_id=node_id,
            shard_id=run.shard_id,
            generation=row["generation"],
            state="failed",
            message=row["message"],
        )
        # Something newer waits already: its own run will tell.
        .on_conflict_do_nothing()
    )


def _row(kind: str, id_: uuid.UUID, generation: int, result: Result) -> dict[str, Any]:
    failure = result.failed.get(str(id_))
    return {
        "kind": kind,
        "resource_id": id_,
        "generation": generation,
        "changed": failure is None and str(id_) in result.changed,
        "failed": failure is not None,
        "message": failure or "",
        "diff": result.diffs.get(str(id_)) if failure is None else None,
    }
