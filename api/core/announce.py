"""What happened, for whoever wants to tell others: a signal within the transaction in which it happens."""

from __future__ import annotations

import uuid
from typing import Any

from blinker import Signal
from sqlalchemy.orm import Session

#: Receivers are called with the topic and ``session``, ``kind``, ``id`` and ``facts``; what they write is part of the
#: same transaction, and what they raise breaks it.
happened = Signal()

TOPICS = (
    "job_started",
    "job_successful",
    "job_failed",
    "approval_needed",
    "drift_found",
    "resource_active",
    "resource_failed",
)


def announce(session: Session, topic: str, kind: str, id_: uuid.UUID, facts: dict[str, Any]) -> None:
    """Tell that something of ``TOPICS`` happened to a row of ``kind``; ``facts`` is JSON and holds no secret."""
    happened.send(topic, session=session, kind=kind, id=id_, facts=facts)
