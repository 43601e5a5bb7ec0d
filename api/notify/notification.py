"""Notification: who is told of what, and how."""

from __future__ import annotations

import uuid
from collections.abc import Iterable
from typing import Any

import sqlalchemy as sa
from flask import has_request_context
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.auth.guard import actor
from api.core.crypto import Secret
from api.core.db import Base, Name, Resource, now
from api.core.errors import invalid, policy
from api.core.kind import Kind, registry
from api.core.state import state
from api.launch.grammar import label, prose
from api.notify import grammar
from api.notify.models import Notice
from api.notify.targets import Policy, Refused, origin, parse, policy_of

#: What all e-mail goes to, as far as failures are concerned.
MAIL = "mail"
#: The topic of a trial.
TEST = "test"


class Notification(Resource, Base):
    """Whom to tell by HTTP or e-mail what happened."""

    __tablename__ = "notification"
    __table_args__ = (sa.UniqueConstraint("brand_id", "name"),)

    #: whose it is: that brand's keys see and change it, and it is told of the brand's resources; null: the platform
    brand_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("brand.id"), info={"once": True, "description": "null: the platform's, told of everything"}
    )
    name: Mapped[str] = mapped_column(Name, info={"check": label, "example": "Portal"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": prose})
    type: Mapped[str] = mapped_column(sa.String(16), info={"choices": ("webhook", "email"), "once": True})
    url: Mapped[str | None] = mapped_column(
        sa.Text, info={"description": "of a webhook", "example": "https://portal.example.net/hooks/hostreeve"}
    )
    recipients: Mapped[list[str]] = mapped_column(
        default=list, info={"check": grammar.recipients, "description": "of e-mail", "example": ["ops@example.net"]}
    )
    topics: Mapped[list[str]] = mapped_column(
        info={"check": grammar.topics, "example": ["resource_active", "resource_failed"]}
    )
    #: filters; empty and null: all
    kinds: Mapped[list[str]] = mapped_column(
        default=list, info={"check": grammar.kinds, "description": "empty: all", "example": ["fqdn", "job"]}
    )
    tenant_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("tenant.id", ondelete="CASCADE"), info={"once": True}
    )
    template_id: Mapped[uuid.UUID | None] = mapped_column(
        sa.ForeignKey("template.id", ondelete="CASCADE"), info={"once": True}
    )
    body: Mapped[str | None] = mapped_column(
        sa.Text,
        info={
            "check": grammar.body,
            "description": "a Jinja template of the message; without one it is the facts as JSON, or as lines",
            "example": '{"text": {{ (topic ~ ": " ~ name) | tojson }}}',
        },
    )
    headers: Mapped[dict[str, Any]] = mapped_column(
        default=dict, info={"check": grammar.headers, "description": "of a webhook", "example": {"X-Team": "web"}}
    )
    authorization: Mapped[str | None] = mapped_column(
        Secret, info={"secret": True, "check": grammar.header_value, "description": "that header of a webhook"}
    )
    secret: Mapped[str] = mapped_column(
        Secret,
        info={"secret": True, "generated": True, "check": grammar.secret, "description": "signs what a webhook gets"},
    )
    enabled: Mapped[bool] = mapped_column(default=True)


def allowance(brand_id: uuid.UUID | None) -> Policy:
    """Return what a notification may reach: a brand's only the internet."""
    return policy_of(state().settings.notify_allow) if brand_id is None else Policy()


def target_of(row: Any) -> str:
    """Return what a failure of the notification's target speaks for."""
    return MAIL if row.type == "email" else origin(parse(row.url, Policy.everywhere()))


def validate(session: Session, row: Any) -> None:
    """Check what depends on several fields, on whose it is, and on the settings."""
    if row.brand_id is None and has_request_context() and actor().brands is not None:
        raise invalid("brand_id", "is needed: only keys of all brands make the platform's notifications")
    if row.type == "webhook":
        _webhook(row)
    else:
        _email(row)
    if row.brand_id is not None:
        _brand(session, row)
    known = {kind.name for kind in registry} | set(Base.metadata.tables)
    if unknown := [name for name in row.kinds if name not in known]:
        raise invalid("kinds", f"there is no kind {unknown[0]}")


def _webhook(row: Any) -> None:
    if row.url is None:
        raise invalid("url", "is needed for a webhook")
    if row.recipients:
        raise invalid("recipients", "are for the type email")
    try:
        parse(row.url, allowance(row.brand_id))
    except Refused as error:
        raise invalid("url", str(error)) from None


def _email(row: Any) -> None:
    for name in ("url", "headers", "authorization"):
        if getattr(row, name):
            raise invalid(name, "is for the type webhook")
    if not row.recipients:
        raise invalid("recipients", "are needed for e-mail")
    # Text of one's own to any address, from the platform's: a brand would be a mailing list.
    if row.brand_id is not None:
        raise policy("type", "e-mail is for the platform's notifications")


def _brand(session: Session, row: Any) -> None:
    if others := [topic for topic in row.topics if not topic.startswith("resource_")]:
        raise policy("topics", f"{others[0]} is about the platform, not about a brand")
    if row.template_id is not None:
        raise policy("template_id", "templates are the platform's")
    if row.tenant_id is not None:
        tenant = session.get(registry["tenant"].model, row.tenant_id)
        if tenant is None or tenant.brand_id != row.brand_id:
            raise policy("tenant_id", "is of another brand")


def trial(session: Session, row: Any) -> Iterable[Any]:
    """Send a notice that says nothing, as the others are sent."""
    facts = {"topic": TEST, "at": now().isoformat(), "kind": "notification", "id": str(row.id), "name": row.name}
    session.add(
        Notice(
            notification_id=row.id,
            target=target_of(row),
            topic=TEST,
            kind="notification",
            resource_id=row.id,
            brand_id=row.brand_id,
            payload=facts,
        )
    )
    return ()


KIND = registry.add(
    Kind(
        Notification,
        plural="notifications",
        filters=("brand_id", "type"),
        actions={"test": trial},
        validate=validate,
    )
)
