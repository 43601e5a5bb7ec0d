"""Routes of plans: asking for one, reading it, deciding upon it, applying it. All are the platform's."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core.errors import not_found
from api.core.kind import registry
from api.core.mutation import Outcome, mutate
from api.core.reads import found, listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.service import find
from api.core.state import state
from api.core.wire import Blueprint, refuse_extras
from api.launch.body import DecisionBody, LaunchBody
from api.plan import start
from api.plan.models import Plan
from api.plan.schemas import PLAN, PLANS, SHOWN, PlanDetailSchema, PlanQuery, PlanSchema

plans = Blueprint("plans", __name__, url_prefix="/plans", description="What runs would change, and approvals.")
shards = Blueprint("planning", __name__, url_prefix="/shards", description="Plans of full converges.")
templates = Blueprint("template-plans", __name__, url_prefix="/templates", description="Plans of launches.")


@shards.route("/<uuid:id>/plan", methods=["POST"], endpoint="plan")
@require("plan:write", every_brand=True)
@errors(shards, 404, 409, 412, 422)
@shards.response(202, result_schema("ShardPlan", PlanSchema))
@shards.doc(operationId="plan_shard", summary="Plan a full converge of a shard", parameters=[IDEMPOTENCY])
def plan_shard(id: uuid.UUID) -> Response:
    """Check what a full converge would change, so that it can be approved and applied."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        row = find(session, registry["shard"], id, actor())
        if row.delete_requested:
            raise not_found()
        plan, job = start.plan_shard(session, row, actor().name, actor().id)
        return Outcome("plan", plan.id, shown(plan), jobs=[job], before={}, after={"shard": row.name})

    return mutate("plan", work)


@templates.route("/<uuid:id>/plan", methods=["POST"], endpoint="plan")
@require("plan:write", every_brand=True)
@templates.arguments(LaunchBody)
@errors(templates, 400, 404, 409, 412, 413, 415, 422)
@templates.response(202, result_schema("TemplatePlan", PlanSchema))
@templates.doc(operationId="plan_template", summary="Plan a launch of a template", parameters=[IDEMPOTENCY])
def plan_template(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Check what a launch with this body would change, so that it can be approved and applied."""

    def work(session: Session) -> Outcome:
        row = find(session, registry["template"], id, actor())
        if row.delete_requested:
            raise not_found()
        plan, job = start.plan_template(session, row, body, actor().name, actor().id)
        return Outcome("plan", plan.id, shown(plan), jobs=[job], before={}, after={"template": row.name})

    return mutate("plan", work)


@plans.route("", endpoint="list")
@require("plan:read", every_brand=True)
@plans.arguments(PlanQuery, location="query", unknown=ma.RAISE)
@errors(plans, 400, 422)
@plans.response(200, page_schema("Plan", PlanSchema))
@plans.doc(operationId="list_plans", summary="List plans")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of plans."""
    return listed(query, sa.select(*SHOWN), PLANS, PLAN.c)


@plans.route("/<uuid:id>", endpoint="get")
@require("plan:read", every_brand=True)
@errors(plans, 404)
@plans.response(200, PlanDetailSchema)
@plans.doc(operationId="get_plan", summary="Read one plan")
def get(id: uuid.UUID) -> Response:
    """Return a plan with its changes per host and resource."""
    return found(sa.select(*SHOWN, PLAN.c.changes).where(PLAN.c.id == id))


def _decision(id_: uuid.UUID, verdict: str, comment: str) -> Callable[[Session], Outcome]:
    def work(session: Session) -> Outcome:
        plan = start.locked(session, id_)
        before = {"state": plan.state}
        start.decide(session, plan, verdict, actor(), comment)
        after = {"state": verdict, "comment": comment, "hash": plan.hash, "subject": plan.subject}
        return Outcome("plan", id_, shown(plan), before=before, after=after)

    return work


@plans.route("/<uuid:id>/approve", methods=["POST"], endpoint="approve")
@require("plan:approve", every_brand=True)
@plans.arguments(DecisionBody)
@errors(plans, 400, 404, 409, 413, 415, 422)
@plans.response(202, result_schema("PlanApproval", PlanSchema))
@plans.doc(operationId="approve_plan", summary="Approve a plan", parameters=[IDEMPOTENCY])
def approve(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Let a plan be applied, as long as nothing that it was made of moves."""
    return mutate("approve", _decision(id, "approved", body["comment"]))


@plans.route("/<uuid:id>/reject", methods=["POST"], endpoint="reject")
@require("plan:approve", every_brand=True)
@plans.arguments(DecisionBody)
@errors(plans, 400, 404, 409, 413, 415, 422)
@plans.response(202, result_schema("PlanRejection", PlanSchema))
@plans.doc(operationId="reject_plan", summary="Reject a plan", parameters=[IDEMPOTENCY])
def reject(body: dict[str, Any], id: uuid.UUID) -> Response:
    """Let a plan never be applied; also one that was approved and is not being applied yet."""
    return mutate("reject", _decision(id, "rejected", body["comment"]))


@plans.route("/<uuid:id>/apply", methods=["POST"], endpoint="apply")
@require("plan:write", every_brand=True)
@errors(plans, 404, 409, 422)
@plans.response(202, result_schema("PlanApplication", PlanSchema))
@plans.doc(operationId="apply_plan", summary="Apply an approved plan", parameters=[IDEMPOTENCY])
def apply(id: uuid.UUID) -> Response:
    """Queue the run. It checks everything again under the hosts' leases, and runs only if nothing moved."""
    refuse_extras()

    def work(session: Session) -> Outcome:
        plan = start.locked(session, id)
        job = start.apply(session, plan, actor().name, state().settings.playbooks)
        after = {"state": plan.state, "hash": plan.hash, "subject": plan.subject}
        return Outcome("plan", id, shown(plan), jobs=[job], before={"state": "approved"}, after=after)

    return mutate("apply", work)


def shown(plan: Plan) -> dict[str, Any]:
    """Return a plan as it is shown, without its changes."""
    return {column.key: getattr(plan, column.key) for column in SHOWN}
