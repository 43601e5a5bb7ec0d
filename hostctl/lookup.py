"""From what a person writes (an id or a name) to a resource."""

from __future__ import annotations

import ipaddress
import uuid
from itertools import islice
from typing import Any

import idna

from hostctl.client import Client
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kind, Kinds

#: rows that are walked where the list has no filter by name
WALKED = 10_000
NAMED = 10


def is_id(text: str) -> bool:
    """Tell whether a text is a UUID in its usual form."""
    try:
        return len(text) == 36 and bool(uuid.UUID(text))
    except ValueError:
        return False


def canonical(text: str) -> str:
    """Return an address, or an international host name, as the platform stores it; any other text as it is."""
    try:
        return str(ipaddress.ip_address(text))
    except ValueError:
        pass
    try:
        return text if text.isascii() else idna.encode(text).decode()
    except idna.IDNAError:
        return text


class Lookup:
    """Finds resources by id, by title (the unique name, where the kind has one), or by the identity's only field."""

    def __init__(self, client: Client, kinds: Kinds) -> None:
        self.client = client
        self.kinds = kinds

    def id(self, kind: Kind, text: str, **within: Any) -> str:
        """Return the id of what a text names; Failure if there is none or there are several."""
        return text.lower() if is_id(text) else str(self.one(kind, text, **within)["id"])

    def one(self, kind: Kind, name: str, **within: Any) -> dict[str, Any]:
        """Return the only resource of a name; ``within`` narrows it down by the list's filters."""
        found = self.named(kind, name, **within)
        if not found:
            raise Failure(f"There is no {kind.name} called {name}.", Exit.NOT_FOUND)
        if len(found) > 1:
            hints = [f"{row['id']}  {hint(kind, row)}" for row in found[:NAMED]]
            more = ["…"] if len(found) > NAMED else []
            raise Failure(f"{name} is ambiguous: several {kind.plural} are called so. Give the id.", Exit.USAGE,
                          hints + more)  # fmt: skip
        return found[0]

    def named(self, kind: Kind, name: str, **within: Any) -> list[dict[str, Any]]:
        """Return the resources of a name, a little more than can be shown at most."""
        writable = [item for item in kind.identity if item in kind.filters and item != kind.title]
        fields = [kind.title, *(writable if len(kind.identity) == 1 else ())]
        for text in dict.fromkeys((name, canonical(name))):
            for field in fields:
                if field and (found := self._where(kind, field, text, within)):
                    return found
        return []

    def _where(self, kind: Kind, field: str, text: str, within: dict[str, Any]) -> list[dict[str, Any]]:
        if field in kind.filters:
            return list(self.client.items(kind.path, limit=NAMED + 1, **{field: text}, **within))
        rows = islice(self.client.items(kind.path, **within), WALKED)
        return [row for row in rows if row.get(field) == text][: NAMED + 1]


def label(kind: Kind, row: dict[str, Any]) -> str:
    """Return what a resource is called in messages."""
    return str(row.get(kind.title or "") or row.get("id", ""))


def hint(kind: Kind, row: dict[str, Any]) -> str:
    """Return a few fields that tell resources of one name apart."""
    fields = [*kind.identity, *([kind.parent] if kind.parent else ())]
    return " ".join(f"{field}={row[field]}" for field in fields if row.get(field) and field != kind.title)
