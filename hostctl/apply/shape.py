"""From the file to items, checked against the server's description before anything is sent.

A kind's items stand in a list of its name, at the top or inside their parent; in there they need not name the parent.
References go by name: ``shard: web-a``. An item that is only a text is its name: ``regions: [eu-1]``.
"""

from __future__ import annotations

import difflib
import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from jsonschema import Draft202012Validator

from hostctl.apply.load import File, Path_, spelled
from hostctl.errors import Exit, Failure
from hostctl.kinds import Field, Fields, Kind, Kinds
from hostctl.lookup import canonical

#: characters of a reason; it may quote the value
REASON = 200
FILE = "_file"


@dataclass(eq=False)
class Item:
    """A resource that should exist, and what becomes of it."""

    kind: Kind
    path: Path_
    parent: Item | None = None
    #: field → value; only what the file says
    values: dict[str, Any] = field(default_factory=dict)
    #: field → name or id of what it refers to, later the item or the id
    references: dict[str, Any] = field(default_factory=dict)
    #: secret field → file that holds it
    secrets: dict[str, str] = field(default_factory=dict)
    #: the name that the platform gave, where it gives names
    given_name: str = ""
    children: list[Item] = field(default_factory=list)

    row: dict[str, Any] | None = None
    #: created, updated, unchanged, failed, blocked; with --dry-run also "would create", "would update"
    action: str = ""
    message: str = ""

    @property
    def writes_title(self) -> bool:
        """Tell whether people, and not the platform, name such a resource."""
        return bool(self.kind.create and self.kind.title in self.kind.create)

    @property
    def name(self) -> str:
        """What the item is called in messages."""
        if self.row is not None and self.kind.title and not self.kind.identity:
            return str(self.row.get(self.kind.title, ""))
        parts = [str(self.values[name]) for name in (*self.kind.identity, self.kind.title or "") if name in self.values]
        return " ".join(dict.fromkeys(parts)) or self.given_name or (self.children[0].name if self.children else "")

    @property
    def id(self) -> str | None:
        """The id, once it exists."""
        return None if self.row is None else str(self.row["id"])

    def fail(self, *reasons: str) -> None:
        """Give up on the item; each reason names its place."""
        self.action = "failed"
        self.message = "; ".join(reasons)

    def place(self, name: str = "") -> str:
        """Return where the item, or a field of it, stands in the file."""
        fields = self.kind.create or {}
        return spelled((*self.path, fields[name].short if name in fields else name) if name else self.path)

    @property
    def is_bad(self) -> bool:
        """Tell whether it came to no good end."""
        return self.action in ("failed", "blocked") or (self.row or {}).get("status") == "failed"


class Shape:
    """Checks a file and collects its items; ``problems`` are (path, reason)."""

    def __init__(self, kinds: Kinds) -> None:
        self.kinds = {kind.key: kind for kind in kinds.values() if kind.applicable and kind.create is not None}
        self.items: list[Item] = []
        self.problems: list[tuple[Path_, str]] = []

    def read(self, data: Any) -> None:
        """Read the whole file."""
        if not isinstance(data, dict) or not data:
            self.problems.append(((), f"must hold lists of resources: {', '.join(self.kinds)}"))
            return
        for key, value in data.items():
            if key in self.kinds:
                self._list(self.kinds[key], value, (key,), None)
            else:
                self._unknown((), key, self.kinds)

    def below(self, kind: Kind) -> dict[str, Kind]:
        """Return the kinds that stand inside a kind's items, by key."""
        return {key: other for key, other in self.kinds.items() if other.parent_kind == kind.plural}

    def _list(self, kind: Kind, values: Any, path: Path_, parent: Item | None) -> None:
        if not isinstance(values, list):
            self.problems.append((path, "must be a list"))
            return
        for number, value in enumerate(values):
            self._item(kind, value, (*path, number), parent)

    def _item(self, kind: Kind, value: Any, path: Path_, parent: Item | None) -> None:
        item = Item(kind, path, parent)
        if isinstance(value, str) and item.writes_title and not kind.identity:
            value = {kind.title: value}
        if not isinstance(value, dict):
            self.problems.append((path, "must be a mapping of fields"))
            return
        self.items.append(item)
        if parent is not None:
            parent.children.append(item)
        fields = {field.short: field for field in (kind.create or {}).values() if not self._implied(field, item)}
        below = self.below(kind)
        titles = {} if item.writes_title or not kind.title else {kind.title: Field(kind.title, {"type": "string"})}
        known = {field.short + FILE if field.secret else key: field for key, field in {**fields, **titles}.items()}
        for key, inner in value.items():
            if key in known:
                self._value(item, known[key], inner, (*path, key))
            elif key in below:
                self._list(below[key], inner, (*path, key), item)
            else:
                self._unknown(path, key, {**known, **below})
        self._missing(item, fields, value)

    @staticmethod
    def _implied(field: Field, item: Item) -> bool:
        return item.parent is not None and field.name == item.kind.parent

    def _unknown(self, path: Path_, key: Any, known: Any) -> None:
        near = difflib.get_close_matches(str(key), list(known), 1)
        hint = f"; did you mean {near[0]}?" if near else f"; known here: {', '.join(known)}"
        self.problems.append(((*path, str(key)), f"is not known here{hint}"))

    def _missing(self, item: Item, fields: Fields, value: dict[str, Any]) -> None:
        for key, found in fields.items():
            if found.required and key not in value:
                self.problems.append(((*item.path, key), "is missing"))
        if not item.writes_title and item.kind.identity and not item.given_name:
            for name in item.kind.identity:
                if name in fields and not value.get(name):
                    self.problems.append(((*item.path, name), f"is missing: it identifies the {item.kind.name}"))

    def _value(self, item: Item, field: Field, value: Any, path: Path_) -> None:
        schema: dict[str, Any] = {"type": "string", "minLength": 1}
        if not field.refers_to and not field.secret:
            schema = {name: part for name, part in field.schema.items() if not name.startswith("x-")}
        if field.nullable and value is None:
            item.values[field.name] = None
            return
        if reasons := [problem.message[:REASON] for problem in Draft202012Validator(schema).iter_errors(value)]:
            self.problems.extend((path, reason) for reason in reasons)
        elif field.refers_to:
            item.references[field.name] = value
        elif field.secret:
            item.secrets[field.name] = value
        elif field.name == item.kind.title and not item.writes_title:
            item.given_name = value
        else:
            item.values[field.name] = value

    def check_findable(self) -> None:
        """Refuse what could not be found again: it would be made anew each time."""
        for item in self.items:
            if item.writes_title or item.kind.identity or item.given_name:
                continue
            if not any(child.writes_title and not child.kind.identity for child in item.children):
                inside = ", ".join(key for key, kind in self.below(item.kind).items() if kind.create)
                self.problems.append((item.path, f"needs one of {inside}, or its {item.kind.title}, to be found by"))

    def check_secrets(self, directory: Path) -> None:
        """Refuse secrets whose file cannot be read: half of the rest would be made before that shows."""
        for item in self.items:
            for name, path in item.secrets.items():
                if not os.access(directory / path, os.R_OK):
                    place = (*item.path, (item.kind.create or {})[name].short + FILE)
                    self.problems.append((place, f"{directory / path} cannot be read"))

    def check_twins(self) -> None:
        """Refuse two items that mean the same resource."""
        seen: dict[Any, Item] = {}
        for item in self.items:
            for key in _keys(item):
                first = seen.setdefault(key, item)
                if first is not item:
                    self.problems.append((item.path, f"is the same {item.kind.name} as {spelled(first.path)}"))


def _keys(item: Item) -> Iterator[Any]:
    """Yield what no other item may have: what it is found by."""
    kind = item.kind
    if item.given_name:
        yield kind.plural, item.given_name
    elif kind.identity:
        parent = id(item.parent) if item.parent else item.references.get(kind.parent or "")
        yield kind.plural, parent, *(str(item.values.get(name)) for name in kind.identity)
    elif item.writes_title and kind.title in item.values:
        yield kind.plural, canonical(str(item.values[kind.title]))


def check(file: File, shape: Shape) -> None:
    """Failure (refused) with every problem: file, line, path, reason."""
    if not shape.problems:
        return
    found = sorted((file.line(path), spelled(path), reason) for path, reason in shape.problems)
    message = f"{file.name} is not valid; nothing was sent."
    details = [{"path": path, "line": line, "reason": reason} for line, path, reason in found]
    lines = [f"{file.name}:{line}: {path or 'file'}: {reason}" for line, path, reason in found]
    raise Failure(message, Exit.REFUSED, lines, {"code": "INVALID_FILE", "message": message, "details": details})
