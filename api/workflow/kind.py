"""Workflow: launches and approvals in a graph."""

from __future__ import annotations

import json
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.crypto import Secret
from api.core.db import Base, JsonObjects, Name, Resource
from api.core.errors import invalid
from api.core.kind import Kind, registry
from api.launch.grammar import label, prose
from api.launch.survey import secret_answers
from api.workflow.nodes import nodes
from api.workflow.parameters import refusal, templates_of

EXAMPLE = [
    {"name": "build", "template_id": "00000000-0000-4000-8000-000000000001", "success": ["release"]},
    {"name": "release", "type": "approval", "question": "Release it?", "timeout": 3600},
]


class Workflow(Resource, Base):
    """Launches and approvals that follow one another."""

    __tablename__ = "workflow"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": label, "example": "Release"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": prose})
    nodes: Mapped[list[dict[str, Any]]] = mapped_column(
        JsonObjects, info={"check": nodes, "description": "launches and approvals", "example": EXAMPLE}
    )
    #: {node: {variable: answer}} of questions of the type password
    secret_answers: Mapped[str | None] = mapped_column(Secret, info={"secret": True, "check": secret_answers})


def validate(session: Session, row: Any) -> None:
    """Refuse nodes that could not be launched now, but for what earlier steps or the launch may tell."""
    launches = {node["name"]: node for node in row.nodes if node["type"] == "launch"}
    secrets = json.loads(row.secret_answers) if row.secret_answers else {}
    if not all(isinstance(answers, dict) for answers in secrets.values()):
        raise invalid("secret_answers", "must be an object as JSON text: node → {variable: answer}")
    templates = templates_of(session, row.nodes, keep=True)
    for name, node in launches.items():
        template = templates.get(node["template_id"])
        if template is None:
            raise invalid("nodes", f"node {name}: template_id: there is no such template")
        given = node["parameters"].get("answers")
        hidden = {question["variable"] for question in template.survey if question["type"] == "password"}
        if open_ := hidden & (given.keys() if isinstance(given, dict) else set()):
            raise invalid("nodes", f"node {name}: {min(open_)} is a secret; it belongs into secret_answers")
        if refused := refusal(template, node, row.secret_answers, {}, more_comes=True):
            raise invalid("nodes", f"node {name}: parameters: {said(refused)}")
    if unknown := secrets.keys() - launches.keys():
        raise invalid("secret_answers", f"{min(unknown)!r:.64} is no node that launches")


def said(refused: dict[str, Any]) -> str:
    """Return in one line what ``refusal`` names."""
    return "; ".join(f"{name}: {_text(reasons)}" for name, reasons in sorted(refused.items()))


def _text(reasons: Any) -> str:
    if isinstance(reasons, dict):
        return said(reasons)
    return ", ".join(map(str, reasons)) if isinstance(reasons, list) else str(reasons)


KIND = registry.add(Kind(Workflow, plural="workflows", platform=True, validate=validate))
