"""What a check-mode run says that a run would change.

An entry: ``{host, task, kind, resource_id, name, message, failed, handler, diff: [{what, before, after}]}``. A change
of a resource has its kind and id; a thing that is in no list and would be removed has only a name; any other task that
would change something is called by its own. ``before`` is what is there, ``after`` what would be.

The hash covers everything that was told, however long; what is kept of it is bounded.
"""

from __future__ import annotations

import hashlib
from typing import Any

import orjson

#: Entries that are kept, bytes of all of them, differences of one, and characters of a text.
MOST, MOST_BYTES, MOST_DIFFERENCES, LONGEST_TEXT, LONGEST_NAME = 2000, 1_000_000, 20, 4000, 300
#: Only these modules' results are reports of resources.
MODULES = tuple(f"hostreeve.hosting.{role}_resources" for role in ("web", "lb", "dns", "db", "valkey"))
#: What changes nothing on a host, whatever it says.
TELLING = ("ansible.builtin.debug", "debug")

Entry = dict[str, Any]


def digest(value: Any) -> str:
    """Return the SHA-256 of a JSON value in hex."""
    data = orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str)
    return hashlib.sha256(data).hexdigest()


class Prediction:
    """Gathers what ansible-runner's events of a check-mode run say."""

    def __init__(self) -> None:
        self.entries: list[Entry] = []
        self.cut = False
        #: host → hashes of what it told, in the order of its tasks
        self._told: dict[str, list[str]] = {}
        #: tasks that are handlers
        self._handlers: set[str] = set()

    def take(self, event: dict[str, Any]) -> None:
        """Look at an event."""
        name, data = event.get("event"), event.get("event_data") or {}
        if name == "playbook_on_task_start" and data.get("is_conditional"):
            # ansible-runner's way to tell a handler.
            self._handlers.add(str(data.get("task_uuid")))
        host, result = data.get("host"), data.get("res")
        if name != "runner_on_ok" or not isinstance(host, str) or not isinstance(result, dict):
            return
        role, task = str(data.get("role") or ""), str(data.get("task") or "")
        shown = _fit(f"{role}: {task}" if role else task, LONGEST_NAME)
        action = data.get("resolved_action") or data.get("task_action")
        if action in MODULES:
            self._report(host, shown, result)
        elif result.get("changed"):
            # A task that only tells handlers of a change is none itself.
            follows = action in TELLING or str(data.get("task_uuid")) in self._handlers
            self._task(host, shown, result, follows)

    def hash(self) -> str:
        """Return the SHA-256 of everything that was told."""
        return digest(self._told)

    def bounded(self) -> list[Entry]:
        """Return the entries by host and task, as many as have room; ``cut`` tells whether some have not."""
        kept: list[Entry] = []
        room = MOST_BYTES
        for entry in self.entries:
            room -= len(orjson.dumps(entry))
            if len(kept) == MOST or room < 0:
                self.cut = True
                break
            kept.append(entry)
        return kept

    def _report(self, host: str, task: str, result: dict[str, Any]) -> None:
        resources = result.get("resources")
        if not isinstance(resources, dict):
            return
        rows = []
        for id_, told in sorted(resources.items()):
            if not isinstance(told, dict) or not (told.get("changed") or told.get("failed")):
                continue
            failed = bool(told.get("failed"))
            rows.append([id_, failed, told.get("msg")])
            self._add(host, task, id_, told.get("msg"), _list(told.get("diff")), failed=failed)
        if rows:
            # The differences themselves are bounded on the host; its hash of them is not.
            self._told.setdefault(host, []).append(digest([task, rows, result.get("digest")]))

    def _task(self, host: str, task: str, result: dict[str, Any], handler: bool) -> None:
        items = _list(result.get("results")) or [result]
        differences: list[dict[str, Any]] = []
        for item in items:
            if isinstance(item, dict) and item.get("changed"):
                differences += _differences(item.get("diff"))
        self._told.setdefault(host, []).append(digest([task, differences]))
        self._add(host, task, "", None, differences, handler=handler)

    def _add(
        self,
        host: str,
        task: str,
        id_: str,
        message: Any,
        differences: list[Any],
        *,
        failed: bool = False,
        handler: bool = False,
    ) -> None:
        if len(differences) > MOST_DIFFERENCES:
            self.cut = True
        self.entries.append(
            {
                "host": host,
                "task": task,
                "kind": "",
                "resource_id": None,
                "name": _fit(id_, LONGEST_NAME) or task,
                "message": _fit(message or "", LONGEST_TEXT),
                "failed": failed,
                "handler": handler,
                "diff": [self._short(told) for told in differences[:MOST_DIFFERENCES] if isinstance(told, dict)],
            }
        )

    def _short(self, told: dict[str, Any]) -> dict[str, str]:
        texts = {name: _text(told.get(name)) for name in ("what", "before", "after")}
        if any(len(text) > LONGEST_TEXT for text in texts.values()):
            self.cut = True
        return {name: _fit(text, LONGEST_TEXT) for name, text in texts.items()}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _differences(told: Any) -> list[dict[str, Any]]:
    """Return the differences of a task as ``{what, before, after}``.

    Not the header of what comes after: it names a temporary file of the control node, which is another one each time.
    """
    found = told if isinstance(told, list) else [told]
    return [
        {
            "what": one.get("before_header") or "",
            # Some modules say it in one text.
            "before": one.get("before", ""),
            "after": one.get("after", one.get("prepared", "")),
        }
        for one in found
        if isinstance(one, dict) and one
    ]


def _text(value: Any) -> str:
    if isinstance(value, str) or value is None:
        return value or ""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS | orjson.OPT_NON_STR_KEYS, default=str).decode()


def _fit(value: Any, longest: int) -> str:
    """Return a text that can be stored."""
    text = str(value).replace("\0", "").encode("utf-8", "replace").decode()
    return text if len(text) <= longest else text[: longest - 1] + "…"
