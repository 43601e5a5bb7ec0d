"""Routes of leases: a terminal run takes its hosts, renews and gives back; and who holds what."""

from __future__ import annotations

import uuid
from typing import Any

import marshmallow as ma
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core.errors import conflict, not_found
from api.core.fields import Text
from api.core.mutation import Outcome, mutate
from api.core.paging import Order, PageQuery, page
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.state import reading, state
from api.core.wire import Blueprint, answer, refuse_extras
from api.jobs import terminal
from api.jobs.models import Lease
from api.jobs.sql import clock
from api.jobs.terminal import TerminalRun

blp = Blueprint("leases", __name__, url_prefix="/leases", description="Who runs Ansible on which host.")

#: A run over more hosts than this takes them shard by shard.
MOST = 5000
ORDER = Order("host", [Lease.__table__.c.host])


def _printable(text: str) -> None:
    # It is shown in other people's terminals.
    if not text.isprintable():
        raise ma.ValidationError("must be printable")


class LeaseCreate(ma.Schema):
    """Which hosts, for whom and what for."""

    hosts = ma.fields.List(
        Text(validate=ma.validate.Length(1, 64)),
        required=True,
        validate=ma.validate.Length(1, MOST),
        metadata={"description": "names of nodes; all of them are taken, or none", "example": ["web1", "web2"]},
    )
    owner = Text(
        required=True,
        validate=[ma.validate.Length(1, 128), _printable],
        metadata={"description": "who else is told to whom the hosts belong", "example": "ops@laptop"},
    )
    reason = Text(
        required=True,
        validate=[ma.validate.Length(1, 128), _printable],
        metadata={"description": "what is run", "example": "site.yml"},
    )


class LeaseSchema(ma.Schema):
    """The leases of a terminal run."""

    id = ma.fields.UUID(required=True)
    owner = ma.fields.String(required=True)
    reason = ma.fields.String(required=True)
    key_name = ma.fields.String(required=True)
    created_at = ma.fields.AwareDateTime(required=True)
    hosts = ma.fields.Dict(
        keys=ma.fields.String(),
        values=ma.fields.Integer(),
        required=True,
        metadata={"description": "host → fencing token, which goes to the host as `hostreeve_fence`"},
    )
    seconds = ma.fields.Integer(
        required=True, metadata={"description": "how long they live from now on; renew them after a quarter of it"}
    )


class HeldSchema(ma.Schema):
    """A host that is held, by a job or by a terminal run."""

    host = ma.fields.String(required=True)
    token = ma.fields.Integer(required=True)
    expires_at = ma.fields.AwareDateTime(required=True)
    holder = ma.fields.UUID(required=True, metadata={"description": "id of the job, or of the terminal run's leases"})
    held_by = ma.fields.String(required=True, metadata={"description": "the holder's name, for people"})
    job_id = ma.fields.UUID(required=True, allow_none=True)
    shard = ma.fields.String(required=True, allow_none=True, metadata={"description": "of the job; null: a launch"})
    playbook = ma.fields.String(required=True, allow_none=True, metadata={"description": "of the job"})
    owner = ma.fields.String(required=True, allow_none=True)
    reason = ma.fields.String(required=True, allow_none=True)
    key_name = ma.fields.String(required=True, allow_none=True)
    since = ma.fields.AwareDateTime(required=True, allow_none=True)


def _dump(run: TerminalRun) -> dict[str, Any]:
    shown = {name: getattr(run, name) for name in ("id", "owner", "reason", "key_name", "created_at", "hosts")}
    return {**shown, "seconds": state().settings.lease_seconds}


def _run(session: Session, id_: uuid.UUID) -> TerminalRun:
    run = session.get(TerminalRun, id_, with_for_update=True)
    if run is None:
        raise not_found()
    return run


@blp.route("", endpoint="list")
@require("lease:read", every_brand=True)
@blp.arguments(PageQuery, location="query", unknown=ma.RAISE)
@errors(blp, 400, 422)
@blp.response(200, page_schema("Held", HeldSchema))
@blp.doc(operationId="list_leases", summary="List the hosts that are held, and by whom")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of the hosts on which somebody may run Ansible now."""
    with reading() as session:
        chosen = terminal.holding().where(Lease.expires_at > clock(session), Lease.host.not_like("%:%"))
        return answer(page(session, chosen, ORDER, **query, dump=lambda row: {**row, "held_by": terminal.name_of(row)}))


@blp.route("", methods=["POST"], endpoint="create")
@require("lease:write", every_brand=True)
@blp.arguments(LeaseCreate)
@errors(blp, 400, 404, 409, 413, 415, 422)
@blp.response(201, result_schema("Lease", LeaseSchema))
@blp.doc(operationId="create_lease", summary="Take hosts for a terminal run", parameters=[IDEMPOTENCY])
def create(body: dict[str, Any]) -> Response:
    """Take all of the hosts or, if one is held, none: the refusal names the holders."""

    def work(session: Session) -> Outcome:
        run = terminal.begin(session, **body, key=actor(), seconds=state().settings.lease_seconds)
        after = {"owner": run.owner, "reason": run.reason, "hosts": run.hosts}
        return Outcome("lease", run.id, _dump(run), before=None, after=after, status=201)

    return mutate("create", work)


@blp.route("/<uuid:id>/renew", methods=["POST"], endpoint="renew")
@require("lease:write", every_brand=True)
@errors(blp, 404, 409, 422)
@blp.response(200, LeaseSchema)
@blp.doc(operationId="renew_lease", summary="Keep the hosts of a terminal run")
def renew(id: uuid.UUID) -> Response:
    """Prolong the leases; after 404 and 409 the run must stop. The audit keeps only the beginning and the end."""
    refuse_extras()
    with state().maker() as session, session.begin():
        run = _run(session, id)
        if not terminal.renew(session, run, state().settings.lease_seconds):
            raise conflict("The lease of a host has ended.")
        return answer(_dump(run))


@blp.route("/<uuid:id>", methods=["DELETE"], endpoint="delete")
@require("lease:write", every_brand=True)
@errors(blp, 404, 409, 422)
@blp.response(200, result_schema("EndedLease", LeaseSchema))
@blp.doc(operationId="delete_lease", summary="Give the hosts of a terminal run back", parameters=[IDEMPOTENCY])
def delete(id: uuid.UUID) -> Response:
    """End the leases; the jobs that waited for the hosts begin. A run that still lives learns it when it renews."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        run = _run(session, id)
        terminal.end(session, run)
        before = {"owner": run.owner, "hosts": run.hosts}
        return Outcome("lease", id, _dump(run), before=before, after=None, status=200)

    return mutate("delete", work)
