"""Making what a plan holds: by name, what is there already stays as it is."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from typing import Any

from hostctl.base import App
from hostctl.errors import Exit, Failure
from hostctl.importing.plan import SINGULAR, Item, NotCarried, Plan, Ref

#: Refusals that concern everything, not an item.
FATAL = (Exit.AUTH, Exit.UNREACHABLE, Exit.USAGE)
#: The id of what a dry run did not make.
NEW = "00000000-0000-0000-0000-000000000000"


class Sender:
    """Makes resources, and remembers those of each name."""

    def __init__(self, app: App, *, dry: bool) -> None:
        self.app, self.dry = app, dry
        #: what was looked up or made: the row, or None if there is none
        self._rows: dict[Ref, dict[str, Any] | None] = {}
        #: why an item of the plan is not there
        self._missing: dict[Ref, str] = {}

    def send(self, plan: Plan, told: Callable[[Item], None]) -> None:
        """Make every item that can be made; each is told as it is done."""
        for item in plan.ordered():
            ref = Ref(item.plural, item.name)
            if not item.action:
                try:
                    self._make(item, ref)
                except NotCarried as error:
                    item.action, item.message = "blocked", str(error)
                except Failure as error:
                    if error.code in FATAL:
                        raise
                    item.action, item.message = "failed", "; ".join(error.lines) or error.message
            if item.action in ("failed", "blocked", "not carried over"):
                self._missing[ref] = item.action
            told(item)

    def _make(self, item: Item, ref: Ref) -> None:
        fields = self._resolved(item.fields)
        row = self._row(ref)
        if row is not None:
            different = sorted(name for name, value in fields.items() if not self._same(row, name, value, fields))
            item.action = "differs" if different else "unchanged"
            item.message = f"another one of this name is there: {', '.join(different)}" if different else ""
        elif self.dry:
            item.action = "would create"
            self._rows[ref] = {"id": NEW}
        else:
            self._rows[ref] = self.app.client.mutate("POST", f"/{item.plural}", fields)["resource"]
            item.action = "created"

    def _row(self, ref: Ref) -> dict[str, Any] | None:
        if ref not in self._rows:
            kind = self.app.kinds.get(ref.plural)
            if kind is None:
                raise Failure(f"This server has no {ref.plural}, or the key may not see them.", Exit.AUTH)
            found = self.app.lookup.named(kind, ref.name)
            self._rows[ref] = found[0] if found else None
        return self._rows[ref]

    def _resolved(self, value: Any) -> Any:
        """Return a value with ids instead of references; NotCarried if one is not there."""
        if isinstance(value, Ref):
            row = self._row(value)
            if row is None:
                reason = self._missing.get(value, "not there")
                why = f"which {reason}" if reason == "failed" else f"which is {reason}"
                raise NotCarried(f"needs the {SINGULAR[value.plural]} {value.name}, {why}")
            return row["id"]
        if isinstance(value, dict):
            return {name: self._resolved(inner) for name, inner in value.items()}
        return value

    def _same(self, row: dict[str, Any], name: str, value: Any, fields: dict[str, Any]) -> bool:
        """Tell whether a field stands as it would be made."""
        there = row.get(name)
        if name == "ask":
            return set(there or ()) == set(value)
        if name == "starts_at":
            return isinstance(there, str) and datetime.fromisoformat(there) == datetime.fromisoformat(value)
        if name == "rule" and there != value:
            # Cron becomes a rule; the same times are the same.
            return self._times(value, fields, row) == self._times(str(there), fields, row)
        return bool(there == value)

    def _times(self, rule: str, fields: dict[str, Any], row: dict[str, Any]) -> Any:
        query = {"rule": rule, "timezone": fields["timezone"], "starts_at": row.get("starts_at")}
        return self.app.client.get("/schedules/preview", **query)
