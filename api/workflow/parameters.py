"""What a launch of a step says: the node's parameters, then what earlier steps told, then the run's variables.

A template decides what it may be given, also here: what is told answers its survey, the rest are variables if it asks
for variables, and nothing else reaches it.
"""

from __future__ import annotations

import json
import uuid
from collections.abc import Iterable
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.errors import ApiError
from api.core.kind import registry
from api.launch.body import LaunchBody, merged
from api.launch.survey import MISSING
from api.workflow.graph import Node


def taken(template: Any, given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Return (answers, variables): what a template takes of what it is given."""
    asked = {question["variable"] for question in template.survey}
    answers = {name: value for name, value in given.items() if name in asked}
    if "variables" not in template.ask:
        return answers, {}
    return answers, {name: value for name, value in given.items() if name not in asked}


def body_of(template: Any, node: Node, secret_answers: str | None, given: dict[str, Any]) -> dict[str, Any]:
    """Return what the launch of a node says; marshmallow's ValidationError if the parameters are none."""
    body = dict(LaunchBody().load(node["parameters"]))
    secrets = json.loads(secret_answers).get(node["name"], {}) if secret_answers else {}
    answers, variables = taken(template, given)
    for name, more in (("answers", {**secrets, **answers}), ("variables", variables)):
        if more:
            body[name] = {**body.get(name, {}), **more}
    return body


def refusal(template: Any, node: Node, secret_answers: str | None, given: dict[str, Any], *, more_comes: bool) -> Any:
    """Return why a node could not be launched so, field by field; nothing if it could.

    With ``more_comes`` a question may be open: something that is not known yet may answer it.
    """
    try:
        merged(template, body_of(template, node, secret_answers, given))
    except ma.ValidationError as error:
        return error.messages
    except ApiError as error:
        found = dict(error.details["json"])
        answers = found.pop("answers", {})
        if more_comes:
            answers = {name: reasons for name, reasons in answers.items() if reasons != [MISSING]}
        return {**found, "answers": answers} if answers else found
    return {}


def templates_of(session: Session, nodes: Iterable[Node], *, keep: bool = False) -> dict[str, Any]:
    """Return id → template of some nodes, of those that are there; with ``keep`` locked against deletion."""
    model = registry["template"].model
    ids = sorted({node["template_id"] for node in nodes if node["type"] == "launch"})
    query = sa.select(model).where(model.id.in_(map(uuid.UUID, ids)), model.delete_requested.is_(False))
    if keep:
        query = query.order_by(model.id).with_for_update(read=True, key_share=True)
    return {str(row.id): row for row in session.scalars(query)}
