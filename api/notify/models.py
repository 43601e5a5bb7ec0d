"""Tables of the outbox: what others are told, and the secrets with which call-backs are signed."""

from __future__ import annotations

import uuid
from datetime import datetime
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.crypto import Secret
from api.core.db import Base, Id, JsonObject, now

#: States that wait for a sender; a call-back is ``waiting`` until its resource has settled.
OPEN = ("pending", "failed")
STATES = ("waiting", *OPEN, "sent", "given_up")
_OPEN = sa.text("state in ('pending', 'failed')")
_WAITING = sa.text("state = 'waiting'")


class Notice(Base):
    """One message to one receiver, and how far it is: of a notification, or a call-back of a request.

    waiting ──► pending ──► sent
                   └──► failed (tried again at ``next_at``) ──► sent | given_up
    """

    __tablename__ = "notice"

    #: stays the same however often it is sent, so that receivers can tell repetitions
    id: Mapped[Id]
    notification_id: Mapped[uuid.UUID | None] = mapped_column(sa.ForeignKey("notification.id", ondelete="CASCADE"))
    #: of a call-back: the API key that asked for it, and where to
    key_id: Mapped[uuid.UUID | None]
    url: Mapped[str | None] = mapped_column(Secret)
    #: what one failure speaks for: scheme, host and port; ``mail`` for all e-mail
    target: Mapped[str] = mapped_column(sa.String(300))
    topic: Mapped[str] = mapped_column(sa.String(32))
    kind: Mapped[str] = mapped_column(sa.String(32))
    resource_id: Mapped[uuid.UUID]
    #: of a call-back: the wish that it waits for
    generation: Mapped[int] = mapped_column(default=0)
    #: whose keys see it; null: only keys of all brands
    brand_id: Mapped[uuid.UUID | None]
    payload: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict)
    state: Mapped[str] = mapped_column(sa.String(16), default="pending")
    #: attempts, the present one included; the fence of a sender that was thought dead
    tries: Mapped[int] = mapped_column(default=0)
    #: attempts before it was last redelivered
    tries_before: Mapped[int] = mapped_column(default=0)
    #: when it is due; while a sender has it, when others may take it for dead
    next_at: Mapped[datetime] = mapped_column(default=now)
    #: how the last attempt ended
    answer: Mapped[str] = mapped_column(sa.Text, default="")
    created_at: Mapped[datetime] = mapped_column(default=now)
    ended_at: Mapped[datetime | None]

    __table_args__ = (
        sa.Index("ix_notice_due", "target", "next_at", sqlite_where=_OPEN, postgresql_where=_OPEN),
        sa.Index("ix_notice_waiting", "kind", "resource_id", sqlite_where=_WAITING, postgresql_where=_WAITING),
        sa.Index(None, "ended_at"),
        sa.Index(None, "created_at", "id"),
        sa.Index(None, "notification_id", "created_at", "id"),
        sa.Index(None, "brand_id", "created_at", "id"),
    )


def is_open() -> sa.ColumnElement[bool]:
    """Return the condition for notices that wait for a sender, so written that their index serves it."""
    return Notice.state.in_(sa.bindparam("open", OPEN, expanding=True, literal_execute=True))


def is_waiting() -> sa.ColumnElement[bool]:
    """Return the condition for call-backs that wait for their resource, so written that their index serves it."""
    return Notice.state == sa.literal("waiting", literal_execute=True)


class CallbackSecret(Base):
    """The secret that signs the call-backs of an API key."""

    __tablename__ = "callback_secret"

    key_id: Mapped[uuid.UUID] = mapped_column(sa.ForeignKey("api_key.id"), primary_key=True)
    secret: Mapped[str] = mapped_column(Secret)
    created_at: Mapped[datetime] = mapped_column(default=now)
