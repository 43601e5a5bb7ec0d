"""What a run has to do with a plan: a launch may be its check, or carry it out."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.jobs.finish import Ending
from api.launch.models import Launch
from api.plan import inputs, life
from api.plan.models import Plan
from api.plan.revision import revision_of
from worker.context import Context
from worker.pattern import hosts_of
from worker.playbook import Stop
from worker.predict import Found
from worker.reporter import attempt


class Refused(Exception):
    """Something moved since the plan was made: ``parts`` names what, the text says more."""

    def __init__(self, parts: list[str], said: str = "") -> None:
        super().__init__(said)
        self.parts = parts


def verify(plan: Plan, found: Found) -> None:
    """Refuse a plan whose run would not change now what was approved."""
    if found.problem:
        raise Refused(["prediction"], f"the check ended {found.problem}")
    if found.prediction.hash() != plan.prediction:
        raise Refused(["prediction"], f"{len(found.prediction.entries)} changes now, {plan.total} then")


class Planned:
    """The plan of a launch, if it has one; without one nothing here does anything."""

    def __init__(self, session: Session, row: Launch, document: dict[str, Any]) -> None:
        mine = sa.or_(Plan.job_id == row.job_id, Plan.apply_job_id == row.job_id)
        self.plan: Plan | None = session.scalar(sa.select(Plan).where(mine))
        self._checks = self.plan is not None and self.plan.job_id == row.job_id
        self._hosts: list[str] = []
        self._parts: dict[str, str] = {}
        if self.plan is not None:
            self._hosts = hosts_of(document, row.limit)
            self._parts = inputs.of_launch(session, row, document, self._hosts)

    def take(self, found: Found, event: dict[str, Any]) -> None:
        """Look at an event of the run itself."""
        found.recap.take(event)
        if self._checks:
            found.prediction.take(event)

    def begin(self, context: Context, where: Path, commit: str, stop: Stop, again: Callable[[], Found]) -> None:
        """Let the run begin, unless it is that of a plan of which something moved; ``again`` checks. Raises Refused."""
        if self.plan is None:
            return
        plan = self.plan
        self._parts["revision"] = revision_of(where, commit)
        if self._checks:
            return
        if moved := inputs.moved(plan, self._parts):
            raise Refused(moved)
        found = again()
        if stop.reason:
            return
        verify(plan, found)
        if revision_of(where, commit) != plan.revision:
            raise Refused(["revision"])
        if not attempt(context, lambda session: life.began(session, plan)):
            raise Refused([], "it is not to be applied any longer")

    def end(self, session: Session, ending: Ending, found: Found, refused: Refused | None) -> None:
        """Write what the run means for the plan, next to its end."""
        if self.plan is None:
            return
        if refused is not None:
            ending.reason = life.refused(session, self.plan, refused.parts, str(refused))
        elif self._checks and not ending.reason:
            life.ready(session, self.plan, self._parts, found.prediction, self._hosts)
