"""What an export comes to: resources to make, what is not carried over and why, and the secrets that are missing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any

from hostctl.errors import Failure
from hostctl.importing.read import Malformed

#: In this order: what others refer to comes first.
KINDS = ("projects", "inventories", "templates", "schedules")
SINGULAR = {"projects": "project", "inventories": "inventory", "templates": "template", "schedules": "schedule"}
LONGEST_NAME, LONGEST_TEXT = 100, 2000


class NotCarried(Exception):
    """An item cannot be carried over; the text says why."""


@dataclass(frozen=True)
class Ref:
    """Another resource, by its name on the platform."""

    plural: str
    name: str


@dataclass
class Item:
    """A resource to make. ``fields`` may hold a ``Ref`` where the API wants an id."""

    plural: str
    #: what it is called here, and in the export
    name: str
    source: str
    fields: dict[str, Any]
    #: created, unchanged, differs, failed, blocked, "not carried over", "would create"
    action: str = ""
    message: str = ""


@dataclass(frozen=True)
class Note:
    """Something to know about a part of the export: ``where`` names it."""

    where: str
    what: str


@dataclass
class Plan:
    """The whole import."""

    items: list[Item] = field(default_factory=list)
    #: what of the items is not carried over, or means something else here
    notes: list[Note] = field(default_factory=list)
    #: what somebody must make by hand, since no export holds it
    secrets: list[Note] = field(default_factory=list)

    def note(self, where: str, what: str) -> None:
        """Note what somebody should know."""
        self.notes.append(Note(where, what))

    def secret(self, where: str, what: str) -> None:
        """Note a secret that is left out, and what to do."""
        if (found := Note(where, what)) not in self.secrets:
            self.secrets.append(found)

    def leave(self, plural: str, name: str, reason: str) -> None:
        """Note that an item is not carried over."""
        self.items.append(Item(plural, name, name, {}, "not carried over", reason))

    @contextmanager
    def item(self, plural: str, name: str, source: str) -> Iterator[dict[str, Any]]:
        """Collect the fields of an item; if that cannot be done, it alone is left out, with the reason."""
        fields: dict[str, Any] = {"name": name}
        try:
            yield fields
        except (NotCarried, Malformed, Failure) as error:
            reason = error.message if isinstance(error, Failure) else str(error)
            self.items.append(Item(plural, name, source, {}, "not carried over", reason))
        else:
            self.items.append(Item(plural, name, source, fields))
            if name != source:
                self.note(f"{SINGULAR[plural]} {source}", f"is called {name} here")

    def ordered(self) -> list[Item]:
        """Return the items, what others refer to first."""
        rank = {plural: number for number, plural in enumerate(KINDS)}
        return sorted(self.items, key=lambda item: rank.get(item.plural, len(rank)))


class Names:
    """From the items of a kind in the export to names that are allowed here and used once."""

    def __init__(self, keys: Iterable[tuple[str, str]], prefix: str = "") -> None:
        """``keys``: (what holds it, its name) of every item; the holder tells items of one name apart."""
        keys = list(dict.fromkeys(keys))
        count = Counter(printable(name) for _, name in keys)
        self._found: dict[tuple[str, str], str] = {}
        taken: set[str] = set()
        for key in keys:
            holder, name = printable(key[0]), printable(key[1])
            text = f"{holder} / {name}" if count[name] > 1 and holder else name
            text = shortened(prefix + (text or "unnamed"), key)
            if text in taken:
                text = shortened(text + " " * LONGEST_NAME, key)
            taken.add(text)
            self._found[key] = text

    def __call__(self, holder: str, name: str) -> str:
        """Return the name here; that of an item which the export does not hold is the same."""
        return self._found.get((holder, name)) or shortened(printable(name), (holder, name))


def shortened(text: str, key: Any) -> str:
    """Return a text that is not too long for a name; what is cut off is told apart by a hash."""
    if len(text) <= LONGEST_NAME:
        return text
    return f"{text[: LONGEST_NAME - 9].strip()}~{sha256(repr(key).encode()).hexdigest()[:8]}"


def printable(text: str) -> str:
    """Return a name in one line, without what cannot be printed and without spaces around it."""
    return " ".join("".join(char if char.isprintable() else " " for char in text).split())


def prose(text: str) -> str:
    """Return a description as the API takes it."""
    return "".join(char if char.isprintable() or char == "\n" else " " for char in text)[:LONGEST_TEXT]
