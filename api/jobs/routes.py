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
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.schema import view_schema
from api.core.service import find, shown
from api.core.state import reading, state
from api.core.wire import Blueprint, answer
from api.jobs import files, visibility
from api.jobs.dispatch import ensure_job
from api.jobs.document import inventory_of
from api.jobs.models import Job, JobHost, JobResource
from api.jobs.schemas import (
    ORDERS,
    RESOURCES,
    EventQuery,
    EventsSchema,
    InventoryQuery,
    InventorySchema,
    JobDetailSchema,
    JobQuery,
    JobResourceSchema,
    JobSchema,
)

jobs = Blueprint("jobs", __name__, url_prefix="/jobs", description="Runs of playbooks.")
shards = Blueprint("converge", __name__, url_prefix="/shards", description="Converge everything of a shard.")
inventory = Blueprint("inventory", __name__, url_prefix="/inventory", description="Desired state for Ansible.")
blueprints = [jobs, shards, inventory]

SCOPE = "job:read"
TABLE, HOST, RESOURCE = Job.__table__, JobHost.__table__, JobResource.__table__
SHOWN = [column for column in TABLE.c if column.key not in ("published", "published_at", "worker")]
DONE = ("successful", "failed", "abandoned")


def _dump(row: Any) -> dict[str, Any]:
    begun, ended = row["started_at"], row["ended_at"]
    return {**row, "seconds": round((ended - begun).total_seconds(), 3) if begun and ended else None}


def _job(session: Session, id_: uuid.UUID) -> dict[str, Any]:
    """Return a job's columns; 404 if it is absent or nothing in it is the actor's."""
    row = session.execute(sa.select(*SHOWN).where(TABLE.c.id == id_)).mappings().first()
    if row is None or not visibility.may_see(session, row, actor()):
        raise not_found()
    return _dump(row)


@jobs.route("", endpoint="list")
@require(SCOPE, every_brand=True)
@jobs.arguments(JobQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 400, 422)
@jobs.response(200, page_schema("Job", JobSchema))
@jobs.doc(operationId="list_jobs", summary="List jobs")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of jobs."""
    limit, cursor, order = query.pop("limit"), query.pop("cursor"), ORDERS[query.pop("sort")]
    chosen = sa.select(*SHOWN)
    if resource_id := query.pop("resource_id", None):
        chosen = chosen.where(sa.exists().where(visibility.carried(TABLE.c.id, resource_id)))
    chosen = chosen.where(*(TABLE.c[name] == value for name, value in query.items()))
    with reading() as session:
        return answer(page(session, chosen, order, limit=limit, cursor=cursor, dump=_dump))


@jobs.route("/<uuid:id>", endpoint="get")
@require(SCOPE)
@errors(jobs, 404)
@jobs.response(200, JobDetailSchema)
@jobs.doc(operationId="get_job", summary="Read one job")
def get(id: uuid.UUID) -> Response:
    """Return a job with its hosts."""
    with reading() as session:
        job = _job(session, id)
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
    chosen = sa.select(*(column for column in RESOURCE.c if column.key != "job_id")).where(RESOURCE.c.job_id == id)
    with reading() as session:
        _job(session, id)
        chosen = chosen.where(*visibility.own(actor()))
        return answer(page(session, chosen, RESOURCES, limit=query["limit"], cursor=query["cursor"]))


@jobs.route("/<uuid:id>/events", endpoint="events")
@require(SCOPE, every_brand=True)
@jobs.arguments(EventQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 400, 404, 422)
@jobs.response(200, EventsSchema)
@jobs.doc(operationId="list_job_events", summary="Read a job's events from an offset on")
def events(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Return events; ask again with ``next_offset`` until ``ended``."""
    with reading() as session:
        # Before the file is read: what is written after this answer was asked for must not be missed.
        ended = _job(session, id)["state"] in DONE
    items, offset, more = files.events(state().settings.data_dir, id, query["offset"], query["limit"])
    return answer({"items": items, "next_offset": offset, "ended": ended and not more})


@jobs.route("/<uuid:id>/output", endpoint="output")
@require(SCOPE, every_brand=True)
@errors(jobs, 404)
@jobs.response(200, {"type": "string"}, content_type="text/plain")
@jobs.doc(operationId="get_job_output", summary="Read what ansible-playbook printed")
def output(id: uuid.UUID) -> Response:
    """Return the output so far, as plain text."""
    with reading() as session:
        _job(session, id)
    return Response(files.output(state().settings.data_dir, id), mimetype="text/plain")


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
        resource = {column.key: getattr(row, column.key) for column in shown(kind)}
        return Outcome(kind.name, row.id, resource, jobs=[job], before={}, after={})

    return mutate("converge", work)


@inventory.route("", endpoint="read")
@require("inventory:read", every_brand=True)
@inventory.arguments(InventoryQuery, location="query", unknown=ma.RAISE)
@errors(inventory, 404, 422)
@inventory.response(200, InventorySchema)
@inventory.doc(operationId="get_inventory", summary="Read the desired state as an Ansible inventory")
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
