"""Routes of jobs: what ran, what it did, a full converge, and the inventory of a terminal run.

A key of all brands sees every job. A brand's key sees the jobs that carry or carried a resource of its brands, with
only those resources and counts of only those; the list of jobs, hosts, events and output are the platform's.
"""

from __future__ import annotations

import uuid
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core.errors import not_found
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.paging import PageQuery, page
from api.core.reads import listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.schema import view_schema
from api.core.service import find, resource_of
from api.core.state import reading, state
from api.core.wire import Blueprint, answer
from api.jobs import steer, visibility
from api.jobs.dispatch import ensure_job
from api.jobs.document import inventory_of
from api.jobs.models import READ, Job, JobHost, JobResource
from api.jobs.schemas import (
    ORDERS,
    RESOURCES,
    InventoryDocumentSchema,
    InventoryQuery,
    JobDetailSchema,
    JobQuery,
    JobResourceSchema,
    JobSchema,
    RelaunchSchema,
)

jobs = Blueprint("jobs", __name__, url_prefix="/jobs", description="Runs of playbooks.")
shards = Blueprint("converge", __name__, url_prefix="/shards", description="Converge everything of a shard.")
inventory = Blueprint("inventory", __name__, url_prefix="/inventory", description="Desired state for Ansible.")

SCOPE = "job:read"
TABLE, HOST, RESOURCE = Job.__table__, JobHost.__table__, JobResource.__table__
SHOWN = [column for column in TABLE.c if column.key not in ("published", "published_at", "worker")]


def dump(row: Any) -> dict[str, Any]:
    begun, ended = row["started_at"], row["ended_at"]
    return {**row, "seconds": round((ended - begun).total_seconds(), 3) if begun and ended else None}


def job_of(session: Session, id_: uuid.UUID) -> dict[str, Any]:
    """Return a job's columns; 404 if it is absent or nothing in it is the actor's."""
    row = session.execute(sa.select(*SHOWN).where(TABLE.c.id == id_)).mappings().first()
    if row is None or not visibility.may_see(session, row, actor()):
        raise not_found()
    return dump(row)


@jobs.route("", endpoint="list")
@require(SCOPE, every_brand=True)
@jobs.arguments(JobQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 400, 422)
@jobs.response(200, page_schema("Job", JobSchema))
@jobs.doc(operationId="list_jobs", summary="List jobs")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of jobs."""
    chosen = sa.select(*SHOWN)
    if resource_id := query.pop("resource_id", None):
        chosen = chosen.where(sa.exists().where(visibility.carried(TABLE.c.id, resource_id)))
    if "purpose" not in query:
        # They come every few minutes and change nothing.
        chosen = chosen.where(TABLE.c.purpose != READ)
    return listed(query, chosen, ORDERS, TABLE.c, dump)


@jobs.route("/<uuid:id>", endpoint="get")
@require(SCOPE)
@errors(jobs, 404)
@jobs.response(200, JobDetailSchema)
@jobs.doc(operationId="get_job", summary="Read one job")
def get(id: uuid.UUID) -> Response:
    """Return a job with its hosts."""
    with reading() as session:
        job = job_of(session, id)
        if actor().brands is not None:
            return answer({**job, **visibility.own_counts(session, id, actor()), "reason": "", "hosts": []})
        hosts = session.execute(
            sa.select(*(column for column in HOST.c if column.key != "job_id"))
            .where(HOST.c.job_id == id)
            .order_by(HOST.c.host)
        ).mappings()
        return answer({**job, "hosts": [dict(host) for host in hosts]})


@jobs.route("/<uuid:id>/resources", endpoint="resources")
@require(SCOPE)
@jobs.arguments(PageQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 400, 404, 422)
@jobs.response(200, page_schema("JobResource", JobResourceSchema))
@jobs.doc(operationId="list_job_resources", summary="List what a job did to each resource")
def resources(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Return a page of a job's resources; a full converge lists only what changed or failed."""
    # Differences show how a host is configured, which is the platform's.
    shown = [column for column in RESOURCE.c if column.key not in ("job_id", "diff")]
    diff = RESOURCE.c.diff if actor().brands is None else sa.null().label("diff")
    chosen = sa.select(*shown, diff).where(RESOURCE.c.job_id == id)
    with reading() as session:
        job_of(session, id)
        chosen = chosen.where(*visibility.own(actor()))
        return answer(page(session, chosen, RESOURCES, limit=query["limit"], cursor=query["cursor"]))


@jobs.route("/<uuid:id>/cancel", methods=["POST"], endpoint="cancel")
@require("job:cancel", every_brand=True)
@errors(jobs, 404, 409, 422)
@jobs.response(202, result_schema("JobCancel", JobSchema))
@jobs.doc(operationId="cancel_job", summary="Cancel a job", parameters=[IDEMPOTENCY])
def cancel(id: uuid.UUID) -> Response:
    """End a job that waits at once; one that runs is `canceled` when its last process is gone."""

    def work(session: Session) -> Outcome:
        row = _find(session, id)
        before = {"state": row.state}
        steer.cancel(session, row, actor().name)
        return Outcome("job", id, _shown(row), before=before, after={"state": row.state, "cancel_requested": True})

    return mutate("cancel", work)


@jobs.route("/<uuid:id>/relaunch", methods=["POST"], endpoint="relaunch")
@require("job:relaunch", every_brand=True)
@jobs.arguments(RelaunchSchema, unknown=ma.RAISE)
@errors(jobs, 404, 409, 422)
@jobs.response(202, result_schema("JobRelaunch", JobSchema))
@jobs.doc(operationId="relaunch_job", summary="Do a job's work again", parameters=[IDEMPOTENCY])
def relaunch(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Send what a job carried again, in its present form, or launch again; `jobs` is empty if nothing is left."""

    def work(session: Session) -> Outcome:
        row = _find(session, id)
        queued = steer.relaunch(session, row, body["hosts"] == "failed", actor().name)
        return Outcome("job", id, _shown(row), jobs=queued, before={}, after={"hosts": body["hosts"]})

    return mutate("relaunch", work)


def _find(session: Session, id_: uuid.UUID) -> Job:
    row = session.get(Job, id_)
    if row is None:
        raise not_found()
    return row


def _shown(row: Job) -> dict[str, Any]:
    return dump({column.key: getattr(row, column.key) for column in SHOWN})


@shards.route("/<uuid:id>/converge", methods=["POST"], endpoint="converge")
@require("shard:converge", every_brand=True)
@errors(shards, 404, 409, 412, 422)
@shards.response(202, result_schema("ShardConverge", view_schema(registry["shard"])))
@shards.doc(operationId="converge_shard", summary="Converge everything of a shard", parameters=[IDEMPOTENCY])
def converge(id: uuid.UUID) -> Response:
    """Make the hosts of a shard equal to all that is wished, and remove what is ours and in no list."""

    def work(session: Session) -> Outcome:
        kind = registry["shard"]
        row = find(session, kind, id, actor())
        job = ensure_job(session, row.id, full=True)
        return Outcome(kind.name, row.id, resource_of(kind, row), jobs=[job], before={}, after={})

    return mutate("converge", work)


@inventory.route("", endpoint="read")
@require("inventory:read", every_brand=True)
@inventory.arguments(InventoryQuery, location="query", unknown=ma.RAISE)
@errors(inventory, 404, 422)
@inventory.response(200, InventoryDocumentSchema)
@inventory.doc(operationId="get_platform_inventory", summary="Read the desired state as an Ansible inventory")
def read(query: dict[str, Any]) -> Response:
    """Return hosts, groups and variables, the secrets of the roles included."""
    shard = registry["shard"].model
    chosen = sa.select(shard).order_by(shard.name)
    if query["shard"] is not None:
        chosen = chosen.where(shard.name == query["shard"])
    with state().maker() as session:
        found = session.scalars(chosen).all()
        if query["shard"] is not None and not found:
            raise not_found("shard", "There is no such shard.")
        return answer(inventory_of(session, found), headers={"Cache-Control": "no-store"})
