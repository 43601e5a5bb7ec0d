"""Routes of launches: launch, copy, ad-hoc runs, and the inventories for terminals. All are the platform's."""

from __future__ import annotations

import uuid
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core import service
from api.core.errors import invalid, not_found, policy
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.reads import found, listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.schema import columns_of, create_schema, is_read_only, view_schema
from api.core.state import state
from api.core.wire import Blueprint, answer, refuse_extras
from api.jobs.models import READ
from api.launch import documents
from api.launch.body import AdhocBody, CopyBody, LaunchBody
from api.launch.models import Launch
from api.launch.parts import credentials_of
from api.launch.schemas import JOB, LAUNCH, ORDER, SHOWN, LaunchQuery, LaunchSchema, audited, dump, shown
from api.launch.start import launch, queue

launches = Blueprint("launches", __name__, url_prefix="/launches", description="Runs of templates and modules.")
templates = Blueprint("launching", __name__, url_prefix="/templates", description="Launch and copy templates.")
adhoc = Blueprint("ad-hoc", __name__, url_prefix="/ad-hoc", description="Runs of one module.")
scripts = Blueprint("scripts", __name__, url_prefix="/inventories", description="Inventories for terminals.")


def _find(session: Session, kind: str, id_: uuid.UUID) -> Any:
    row = service.find(session, registry[kind], id_, actor())
    if row.delete_requested:
        raise not_found()
    return row


@templates.route("/<uuid:id>/launch", methods=["POST"], endpoint="launch")
@require("template:launch", every_brand=True)
@templates.arguments(LaunchBody)
@errors(templates, 400, 404, 409, 412, 413, 415, 422)
@templates.response(202, result_schema("Launch", LaunchSchema))
@templates.doc(operationId="launch_template", summary="Launch a template", parameters=[IDEMPOTENCY])
def start(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Queue a run; a field that the template does not ask for is refused by name."""

    def work(session: Session) -> Outcome:
        template = _find(session, "template", id)
        job, row = launch(session, template, body, actor().name)
        return Outcome("template", id, shown(job, row), jobs=[job], before={}, after=audited(row))

    return mutate("launch", work)


@templates.route("/<uuid:id>/copy", methods=["POST"], endpoint="copy")
@require("template:write", every_brand=True)
@templates.arguments(CopyBody)
@errors(templates, 400, 404, 409, 412, 413, 415, 422)
@templates.response(202, result_schema("TemplateCopy", view_schema(registry["template"])))
@templates.doc(operationId="copy_template", summary="Copy a template", parameters=[IDEMPOTENCY])
def copy(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Make a template like another one, under a new name."""
    kind = registry["template"]

    def work(session: Session) -> Outcome:
        row = _find(session, "template", id)
        values = {column.key: getattr(row, column.key) for column in columns_of(kind.model) if not is_read_only(column)}
        try:
            values["name"] = create_schema(kind).checks["name"](body["name"])  # type: ignore[attr-defined]
        except ValueError as error:
            raise invalid("name", str(error)) from None
        return service.create(session, kind, values, actor())

    return mutate("create", work)


@adhoc.route("", methods=["POST"], endpoint="create")
@require("ad_hoc:launch", every_brand=True)
@adhoc.arguments(AdhocBody)
@errors(adhoc, 400, 404, 409, 413, 415, 422)
@adhoc.response(202, result_schema("AdHoc", LaunchSchema))
@adhoc.doc(operationId="launch_ad_hoc", summary="Run one module", parameters=[IDEMPOTENCY])
def run_module(body: dict[str, Any]) -> Response:
    """Queue a run of a module that the operator allows, on the hosts of a pattern."""
    allowed = [name.strip() for name in state().settings.adhoc_modules.split(",")]
    if body["module"] not in allowed:
        raise policy("module", f"must be one of {', '.join(allowed)}")
    if not body["limit"]:
        raise invalid("limit", "is needed; all is every host")

    def work(session: Session) -> Outcome:
        inventory = body["inventory_id"]
        if inventory is not None and session.get(registry["inventory"].model, inventory) is None:
            raise not_found("inventory_id", "There is no such inventory.")
        credentials_of(session, body["credentials"])
        job, row = queue(session, Launch(**body, requested_by=actor().name), body["module"])
        after = {**audited(row), "arguments": sorted(row.arguments)}
        return Outcome("job", job.id, shown(job, row), jobs=[job], before={}, after=after)

    return mutate("ad_hoc", work)


@launches.route("", endpoint="list")
@require("job:read", every_brand=True)
@launches.arguments(LaunchQuery, location="query", unknown=ma.RAISE)
@errors(launches, 400, 422)
@launches.response(200, page_schema("Launch", LaunchSchema))
@launches.doc(operationId="list_launches", summary="List launches")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of launches."""
    return listed(query, _launches().where(JOB.c.purpose != READ), ORDER, LAUNCH.c, dump)


@launches.route("/<uuid:id>", endpoint="get")
@require("job:read", every_brand=True)
@errors(launches, 404)
@launches.response(200, LaunchSchema)
@launches.doc(operationId="get_launch", summary="Read one launch")
def get(id: uuid.UUID) -> Response:
    """Return what a job runs."""
    return found(_launches().where(JOB.c.id == id), dump)


def _launches() -> sa.Select[Any]:
    return sa.select(*SHOWN).join(LAUNCH, LAUNCH.c.job_id == JOB.c.id)


@scripts.route("/<uuid:id>/script", endpoint="script")
@require("inventory:read", every_brand=True)
@errors(scripts, 404, 422)
@scripts.response(200, ma.Schema.from_dict({"_meta": ma.fields.Dict(required=True)}, name="InventoryScript"))
@scripts.doc(operationId="get_inventory_script", summary="Read an inventory as Ansible's dynamic inventory")
def script(id: uuid.UUID) -> Response:
    """Return what an inventory script prints with ``--list``, the secrets of the roles included."""
    refuse_extras()
    # The document of the platform takes several statements that must agree.
    with state().maker() as session:
        try:
            return answer(documents.script(documents.document_of(session, id)))
        except LookupError:
            raise not_found() from None
