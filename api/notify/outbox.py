"""From what was announced to notices, in the same transaction.

A converge of thousands of resources asks once who listens, and per kind and step once which call-backs wait.
"""

from __future__ import annotations

import uuid
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.announce import Facts, happened
from api.core.db import now
from api.jobs.sql import chunks
from api.notify import callbacks
from api.notify.models import Notice
from api.notify.notification import KIND, Notification, target_of

#: Key of ``session.info``: the transaction, and who listens in it.
HEARD = "listeners"


@dataclass(frozen=True)
class Listener:
    """A notification, as far as it decides what it is told."""

    id: uuid.UUID
    target: str
    topics: frozenset[str]
    kinds: frozenset[str]
    brand_id: uuid.UUID | None
    #: name of a fact → the value that it must have
    wanted: dict[str, str]

    def listens(self, topic: str, kind: str) -> bool:
        """Tell whether it is about such things at all; its own making and changing is no news to anybody."""
        return topic in self.topics and (kind in self.kinds if self.kinds else kind != KIND.name)

    def hears(self, facts: dict[str, Any]) -> bool:
        """Tell whether a row of the right topic and kind is one to tell of."""
        return all(facts.get(name) == value for name, value in self.wanted.items())


def receive(topic: str, *, session: Session, kind: str, ids: Collection[uuid.UUID], facts: Any, **_: Any) -> None:
    """Write the notices of what was announced."""
    told = [listener for listener in _listeners(session) if listener.listens(topic, kind)]
    waiting = callbacks.waiting(session, topic, kind, ids)
    if not told and not waiting:
        return
    known: Facts = facts(ids if told else waiting)
    callbacks.settle(session, topic, kind, {id_: known[id_] for id_ in waiting if id_ in known})
    for part in chunks(_notices(topic, kind, known, told)):
        session.execute(sa.insert(Notice), part)


def _notices(topic: str, kind: str, known: Facts, told: list[Listener]) -> Iterator[dict[str, Any]]:
    moment = now()
    for id_, facts in known.items():
        for listener in told:
            if listener.hears(facts):
                yield {
                    "id": uuid.uuid4(),
                    "notification_id": listener.id,
                    "target": listener.target,
                    "topic": topic,
                    "kind": kind,
                    "resource_id": id_,
                    "brand_id": listener.brand_id,
                    "payload": callbacks.payload(topic, kind, id_, facts, moment),
                    "next_at": moment,
                    "created_at": moment,
                }


def _listeners(session: Session) -> list[Listener]:
    """Return who listens; asked once in a transaction."""
    transaction = session.get_transaction()
    kept = session.info.get(HEARD)
    if kept is None or kept[0] is not transaction or transaction is None:
        kept = session.info[HEARD] = (transaction, [_listener(row) for row in _enabled(session)])
    found: list[Listener] = kept[1]
    return found


def _enabled(session: Session) -> Any:
    names = ("id", "type", "url", "topics", "kinds", "brand_id", "tenant_id", "template_id")
    table = Notification.__table__
    return session.execute(
        sa.select(*(table.c[name] for name in names)).where(table.c.enabled, table.c.delete_requested.is_(False))
    )


def _listener(row: Any) -> Listener:
    filters = {name: getattr(row, name) for name in ("brand_id", "tenant_id", "template_id")}
    return Listener(
        row.id,
        target_of(row),
        frozenset(row.topics),
        frozenset(row.kinds),
        row.brand_id,
        {name: str(value) for name, value in filters.items() if value is not None},
    )


happened.connect(receive)
