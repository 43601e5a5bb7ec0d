"""Sending: take a notice that is due, send it, note how that ended.

Any number of senders may look. Who moves ``next_at`` and ``tries`` on by a conditional update has the notice until that
time; if it dies, another one takes it then. So a notice is sent at least once, under the same id.
"""

from __future__ import annotations

import random
import uuid
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from api.auth.models import ApiKey
from api.core.db import Maker, now
from api.core.settings import Settings
from api.jobs.sql import clock
from api.notify import mail
from api.notify.http import Client, Declined, Unreachable
from api.notify.message import Unfit, mail_of, request_of
from api.notify.models import CallbackSecret, Notice, is_open
from api.notify.notification import Notification
from api.notify.targets import Policy, Refused, policy_of

log = structlog.get_logger(__name__)

#: Seconds that a sender has for one notice; the longest message, its template included, takes less.
LEASE = 90
#: Seconds to the next try after the first, second … failure; then it is given up.
PAUSES = (5, 30, 120, 600, 3600, 6 * 3600, 12 * 3600)
#: Notices of one target that are sent at the same time by one sender, so that a slow one cannot have them all.
SIDE_BY_SIDE = 2
#: Targets that one look takes in.
MOST = 200
#: Notices that are deleted in one transaction.
MOST_FORGOTTEN = 10_000


@dataclass(frozen=True)
class Taken:
    """A notice that is ours until its lease ends."""

    id: uuid.UUID
    target: str
    tries: int


@dataclass(frozen=True)
class End:
    """How an attempt ended; ``silent``: the target did not answer, so nothing else needs to try now."""

    state: str
    answer: str
    silent: bool = False


def due(session: Session, room: int, busy: Counter[str] | None = None) -> list[tuple[uuid.UUID, str, int]]:
    """Return notices to take, (id, target, tries): at most ``room``, fairly from all targets, the oldest first.

    ``busy`` counts what is being sent to each target already.
    """
    ready = sa.and_(is_open(), Notice.next_at <= clock(session))
    targets = session.execute(
        sa.select(Notice.target, sa.func.min(Notice.next_at).label("since"))
        .where(ready)
        .group_by(Notice.target)
        .order_by(sa.text("since"))
        .limit(MOST)
    ).all()
    rounds: list[list[tuple[uuid.UUID, str, int]]] = [[] for _ in range(SIDE_BY_SIDE)]
    for target, _ in targets:
        free = SIDE_BY_SIDE - (busy or Counter())[target]
        if free <= 0 or len(rounds[0]) >= room:
            continue
        found = session.execute(
            sa.select(Notice.id, Notice.target, Notice.tries)
            .where(ready, Notice.target == target)
            .order_by(Notice.next_at)
            .limit(free)
        )
        for number, row in enumerate(found):
            rounds[number].append((row.id, row.target, row.tries))
    return [entry for round_ in rounds for entry in round_][:room]


def take(session: Session, id_: uuid.UUID, target: str, tries: int) -> Taken | None:
    """Make a due notice ours; None if somebody else took it."""
    done = session.execute(
        sa.update(Notice)
        .where(Notice.id == id_, is_open(), Notice.tries == tries, Notice.next_at <= clock(session))
        .values(tries=tries + 1, next_at=clock(session, LEASE))
        .execution_options(synchronize_session=False)
    )
    return Taken(id_, target, tries + 1) if done.rowcount == 1 else None  # type: ignore[attr-defined]


class Unwanted(Exception):
    """Nobody wants this any longer."""


class Sender:
    """Sends notices; its client and its mail server come from the settings unless given."""

    def __init__(self, settings: Settings, maker: Maker, *, client: Client | None = None, server: Any = None) -> None:
        self._settings, self._maker = settings, maker
        self._ours = client or Client(policy_of(settings.notify_allow))
        #: for what a brand asks for: what the operator allows is not for everybody
        self._theirs = Client(Policy(), self._ours.resolver, self._ours.tls)
        self._server = server or mail.server_of(settings.smtp_url)

    def send(self, taken: Taken) -> None:
        """Send a notice that was taken, and note how that ended; never raises."""
        try:
            with self._maker() as session:
                notice = session.get(Notice, taken.id)
                session.expunge_all()
            if notice is None:
                return
            end = self._attempt(notice)
        except Exception:
            log.exception("notice could not be sent", notice=str(taken.id))
            end = End("failed", "an error of ours; the worker's log has it")
        try:
            with self._maker.begin() as session:
                settle(session, taken, end)
            if end.silent:
                with self._maker.begin() as session:
                    rest(session, taken.target)
        except sa.exc.SQLAlchemyError:
            # The lease ends, and somebody sends it again.
            log.exception("notice could not be noted", notice=str(taken.id))

    def _attempt(self, notice: Notice) -> End:
        try:
            answer = self._callback(notice) if notice.notification_id is None else self._notification(notice)
        except (Unfit, Unwanted, Refused) as error:
            return End("given_up", str(error))
        except Unreachable as error:
            return End("failed", str(error), silent=True)
        except Declined as error:
            return End("failed", str(error))
        return End("sent", answer)

    def _notification(self, notice: Notice) -> str:
        with self._maker() as session:
            row = session.get(Notification, notice.notification_id)
        if row is None or not row.enabled:
            raise Unwanted("the notification is disabled")
        if row.type == "email":
            if self._server is None:
                raise Declined("HOSTREEVE_SMTP_URL is not set")
            return mail.send(self._server, mail_of(notice, self._settings.mail_from, row.recipients, row.body))
        headers, body = request_of(notice, row.secret, row.body, row.headers)
        kept = set(row.headers)
        if row.authorization is not None:
            headers["Authorization"] = row.authorization
            kept.add("Authorization")
        client = self._ours if row.brand_id is None else self._theirs
        return client.post(str(row.url), headers, body, kept)

    def _callback(self, notice: Notice) -> str:
        with self._maker() as session:
            key, secret = session.get(ApiKey, notice.key_id), session.get(CallbackSecret, notice.key_id)
        if key is None or secret is None or key.revoked_at is not None:
            raise Unwanted("the API key that asked for it was revoked")
        headers, body = request_of(notice, secret.secret)
        client = self._ours if key.brands == ["*"] else self._theirs
        return client.post(str(notice.url), headers, body)


def settle(session: Session, taken: Taken, end: End) -> None:
    """Note how an attempt ended, unless the lease was lost."""
    mine = sa.and_(Notice.id == taken.id, Notice.tries == taken.tries, is_open())
    before = session.scalar(sa.select(Notice.tries_before).where(mine))
    if before is None:
        return
    state, failures = end.state, taken.tries - before
    if state == "failed" and failures > len(PAUSES):
        state = "given_up"
    values: dict[str, Any] = {"state": state, "answer": end.answer}
    if state == "failed":
        # Not all at the same moment, when a target comes back.
        pause = PAUSES[failures - 1] * random.uniform(1, 1.2)  # noqa: S311 - no secret
        values["next_at"] = clock(session, pause)
    else:
        values["ended_at"] = clock(session)
    session.execute(sa.update(Notice).where(mine).values(values).execution_options(synchronize_session=False))


def rest(session: Session, target: str) -> None:
    """Let what is due for a target wait for its first pause: each would only wait for the same silence."""
    waiting = sa.select(Notice.id).where(Notice.target == target, is_open(), Notice.next_at <= clock(session))
    session.execute(
        sa.update(Notice)
        .where(Notice.id.in_(waiting.with_for_update(skip_locked=True)))
        .values(next_at=clock(session, PAUSES[0]))
        .execution_options(synchronize_session=False)
    )


def redeliver(session: Session, notice: Notice) -> None:
    """Let a notice be sent again, from the first pause on."""
    notice.state, notice.next_at, notice.ended_at = "pending", now(), None
    notice.tries_before = notice.tries


def forget(session: Session, days: int) -> int:
    """Delete the notices that ended more than ``days`` days ago, if ``days`` is not 0; return how many."""
    if not days:
        return 0
    old = sa.select(Notice.id).where(Notice.ended_at < now() - timedelta(days=days)).limit(MOST_FORGOTTEN)
    ids: Iterable[uuid.UUID] = session.scalars(old).all()
    done = session.execute(sa.delete(Notice).where(Notice.id.in_(ids)).execution_options(synchronize_session=False))
    return int(done.rowcount)  # type: ignore[attr-defined]
