"""Carrying a file out: what is missing is created, what differs is changed, then everything is followed."""

from __future__ import annotations

import hashlib
import json
import uuid
from collections.abc import Callable, Iterable
from graphlib import TopologicalSorter
from pathlib import Path
from typing import Any

from hostctl import waiting
from hostctl.apply import match
from hostctl.apply.shape import Item, Shape
from hostctl.client import Client
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kind
from hostctl.lookup import Lookup, is_id
from hostctl.options import read_secret

Told = Callable[[Item], None]


def resolve(shape: Shape, lookup: Lookup) -> None:
    """Put what references name in their place: items of the file, or ids of the server's resources."""
    for item in shape.items:
        for name, text in item.references.items():
            target = lookup.kinds[str((item.kind.create or {})[name].refers_to)]
            try:
                item.references[name] = _target(shape, lookup, target, text)
            except Failure as failure:
                if failure.code not in (Exit.NOT_FOUND, Exit.USAGE):
                    raise
                short = (item.kind.create or {})[name].short
                missing = f"there is no {target.name} called {text}, neither in the file nor on the server"
                why = missing if failure.code is Exit.NOT_FOUND else failure.message
                shape.problems.append(((*item.path, short), why))


def _target(shape: Shape, lookup: Lookup, kind: Kind, text: str) -> Item | str:
    names = [kind.title, *(kind.identity if len(kind.identity) == 1 else ())]
    ours = [
        item
        for item in shape.items
        if item.kind is kind and text in (item.given_name, *(item.values.get(name or "") for name in names))
    ]
    if len(ours) > 1:
        raise Failure(f"{text} is ambiguous: several {kind.plural} of the file are called so", Exit.USAGE)
    return ours[0] if ours else text.lower() if is_id(text) else lookup.id(kind, text)


def in_order(items: Iterable[Item]) -> list[Item]:
    """Return items so that what others need comes first; within a kind they keep the file's order."""
    by_kind: dict[str, list[Item]] = {}
    graph: dict[str, set[str]] = {}
    for item in items:
        by_kind.setdefault(item.kind.plural, []).append(item)
        fields = (item.kind.create or {}).values()
        graph[item.kind.plural] = {str(field.refers_to) for field in fields if field.refers_to} - {item.kind.plural}
    return [item for plural in TopologicalSorter(graph).static_order() for item in by_kind.get(plural, ())]


class Run:
    """One application of a file. ``told`` hears of every item whose state changed."""

    def __init__(
        self, client: Client, lookup: Lookup, items: Iterable[Item], directory: Path, told: Told, *, dry: bool = False
    ) -> None:
        self.items = in_order(items)
        self._client = client
        self._finder = match.Finder(client, lookup)
        self._directory = directory
        self._told = told
        self._dry = dry

    def send(self, *, retry: bool = False) -> None:
        """Create and change; an item that is refused blocks only what needs it. Failure ends it all."""
        for item in self.items:
            needs = [item.parent, *item.references.values()]
            lacking = [need for need in needs if isinstance(need, Item) and need.action in ("failed", "blocked")]
            if lacking:
                item.action, item.message = "blocked", f"needs {lacking[0].place()}, which failed"
            else:
                self._try(item, retry)
            self._told(item)

    def _try(self, item: Item, retry: bool) -> None:
        try:
            row = self._finder.find(item)
            if row is None:
                self._create(item)
            else:
                item.row = row
                self._update(item, row)
                if retry and item.action == "unchanged" and row.get("status") == "failed" and not self._dry:
                    self._take(item, "retried", self._client.mutate("POST", f"{item.kind.path}/{row['id']}/retry"))
        except Failure as failure:
            if failure.code is Exit.UNREACHABLE or failure.error.get("code") == "AUTHENTICATION_ERROR":
                raise
            item.fail(*_reasons(item, failure))

    def _create(self, item: Item) -> None:
        if self._dry:
            item.action = "would create"
            return
        body = {**item.values, **{name: match.referred(item, name) for name in item.references}}
        body |= {name: read_secret(str(self._directory / path)) for name, path in item.secrets.items()}
        if item.parent is not None and item.kind.parent:
            body[item.kind.parent] = item.parent.id
        # The same item by two operators at once, or again after a run that was cut off, is made once.
        inside = sorted(child.name for child in item.children)
        text = json.dumps([item.kind.plural, body, inside], sort_keys=True)
        key = f"apply-{hashlib.sha256(text.encode()).hexdigest()}"
        answer = self._client.send("POST", item.kind.path, body, key=key)
        result = self._client.parsed(answer)
        if answer.headers.get("Idempotency-Replayed") == "true":
            row = waiting.look(self._client, item.kind, str(result["resource"]["id"]))
            if row is None or row.get("delete_requested"):
                # It was made and deleted again within a day: the file still wants it.
                result = self._client.mutate("POST", item.kind.path, body, key=f"apply-{uuid.uuid4().hex}")
            else:
                result["resource"] = row
        self._take(item, "created", result)

    def _update(self, item: Item, row: dict[str, Any]) -> None:
        changes, fixed = match.differences(item, row)
        if row.get("delete_requested"):
            item.fail(f"{item.place()}: is being deleted; apply again when it is gone")
        elif fixed:
            item.fail(*(f"{item.place(name)}: {why}" for name, why in fixed.items()))
        elif not changes:
            item.action = "unchanged"
        elif self._dry:
            item.action, item.message = "would update", ", ".join(changes)
        else:
            result = self._client.mutate("PATCH", f"{item.kind.path}/{row['id']}", changes)
            # What was only spelled differently is no change to the server, and then none to us.
            moved = result["resource"].get("generation") != row.get("generation")
            self._take(item, "updated" if moved else "unchanged", result)

    @staticmethod
    def _take(item: Item, action: str, result: dict[str, Any]) -> None:
        item.action, item.row = action, result["resource"]

    def wait(self, seconds: float) -> None:
        """Follow all items until nothing is under way. Failure (timed out) names how many are left."""
        patience = waiting.Patience(seconds)
        while left := [item for item in self.items if item.row is not None and not waiting.is_settled(item.row)]:
            patience.wait(f"{len(left)} of {len(self.items)} resources")
            # A host that did not answer is tried again meanwhile, so what failed may still become active.
            for item in [*left, *(item for item in self.items if (item.row or {}).get("status") == "failed")]:
                self._look(item)

    def _look(self, item: Item) -> None:
        before = item.row or {}
        row = waiting.look(self._client, item.kind, str(before["id"]))
        if row is None:
            item.row = None
            item.fail(f"{item.place()}: was deleted meanwhile")
            self._told(item)
        elif row != before:
            item.row = row
            self._told(item)


def _reasons(item: Item, failure: Failure) -> list[str]:
    """Return why an item was refused; a field is named by its path in the file."""
    details = failure.error.get("details")
    fields = details.get("json") if isinstance(details, dict) else None
    if not isinstance(fields, dict) or not fields:
        return [f"{item.place()}: {failure.message}"]
    found = []
    for name, reasons in fields.items():
        texts = reasons if isinstance(reasons, list) else [json.dumps(reasons)]
        found += [f"{item.place(str(name))}: {text}" for text in texts]
    return found
