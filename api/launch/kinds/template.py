"""Template: a playbook with everything that its launch needs, and what may be said at the launch."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils.grammar import slug
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, JsonObject, JsonObjects, Name, Resource
from api.core.errors import ApiError, invalid, not_found
from api.core.kind import Kind, registry
from api.core.state import state
from api.jobs.queue import DEFAULT
from api.launch import grammar
from api.launch.parts import ASKABLE, BOUNDS, credentials_of, playbooks_of
from api.launch.survey import questions

CONCURRENCY = ("parallel", "queue", "refuse")
#: Whether launches need an approved plan, and whether by somebody else than who asked for it.
APPROVAL = ("none", "required", "other")


class Template(Resource, Base):
    """A playbook, prepared for launches."""

    __tablename__ = "template"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": grammar.label, "example": "Deploy"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": grammar.prose})
    #: null: the platform's own playbooks
    project_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("project.id"))
    playbook: Mapped[str] = mapped_column(sa.String(200), info={"check": grammar.playbook, "example": "site.yml"})
    #: null: the whole platform
    inventory_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("inventory.id"))
    credentials: Mapped[list[str]] = mapped_column(default=list, info={"check": grammar.ids})
    variables: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict, info={"check": grammar.variables})
    limit: Mapped[str] = mapped_column(sa.Text, default="", info={"check": grammar.limit})
    tags: Mapped[list[str]] = mapped_column(default=list, info={"check": grammar.tags})
    skip_tags: Mapped[list[str]] = mapped_column(default=list, info={"check": grammar.tags})
    check: Mapped[bool] = mapped_column(default=False)
    diff: Mapped[bool] = mapped_column(default=False)
    verbosity: Mapped[int] = mapped_column(default=0, info={"range": BOUNDS["verbosity"]})
    #: hosts at the same time; 0: as many as the platform's own runs
    forks: Mapped[int] = mapped_column(default=0, info={"range": BOUNDS["forks"]})
    #: seconds; 0: HOSTREEVE_JOB_TIMEOUT, which is also the most
    timeout: Mapped[int] = mapped_column(default=0, info={"range": BOUNDS["timeout"]})
    #: which workers run its launches: those that were started with ``--queue`` of this name
    queue: Mapped[str] = mapped_column(
        sa.String(32), default=DEFAULT, server_default=DEFAULT, info={"check": slug, "example": "eu"}
    )
    ask: Mapped[list[str]] = mapped_column(
        default=list,
        info={"check": grammar.one_of(ASKABLE), "description": "fields that a launch may set", "example": ["limit"]},
    )
    survey: Mapped[list[dict[str, Any]]] = mapped_column(JsonObjects, default=list, info={"check": questions})
    #: what a launch does while another one of the template waits or runs
    concurrency: Mapped[str] = mapped_column(sa.String(16), default="parallel", info={"choices": CONCURRENCY})
    #: whether a launch must be planned and approved first; other: by somebody else than who asked for the plan
    approval: Mapped[str] = mapped_column(
        sa.String(16), default="none", server_default="none", info={"choices": APPROVAL}
    )


def validate(session: Session, row: Any) -> None:
    """Refuse a playbook, an inventory or a credential that is not there."""
    for name in ("project", "inventory"):
        id_ = getattr(row, f"{name}_id")
        if id_ is not None and session.get(registry[name].model, id_) is None:
            raise not_found(f"{name}_id", f"There is no such {name}.")
    credentials_of(session, row.credentials)
    if row.project_id is None and row.playbook not in (known := playbooks_of(state().settings.playbooks)):
        raise invalid("playbook", f"must be one of {', '.join(known)}, or of a project")


def before_delete(session: Session, row: Any) -> None:
    """Keep what workflows name."""
    used = session.scalars(sa.select(registry["workflow"].model.nodes))
    if any(node.get("template_id") == str(row.id) for nodes in used for node in nodes):
        raise ApiError(409, "This template is in use; take it out of the workflows first.",
                       details={"has": ["workflows"]})  # fmt: skip


KIND = registry.add(
    Kind(
        Template,
        plural="templates",
        platform=True,
        filters=("playbook",),
        validate=validate,
        before_delete=before_delete,
    )
)
