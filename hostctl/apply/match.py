"""Which resource of the server an item of the file means, and what differs.

* A unique name (region, cluster, shard, node, brand, zone, FQDN, LB address) names one resource of the platform.
* Where the platform makes up the names, people tell rows apart by the kind's identity within the parent: a tenant by
  its label. ``name: t_…`` in the file names the row itself.
* A kind without either (a webroot) is found by what stands inside it: the webroot that its FQDNs belong to.
"""

from __future__ import annotations

from typing import Any

import dns.exception
import dns.name
import dns.rdata

from hostctl.apply.load import spelled
from hostctl.apply.shape import Item
from hostctl.client import Client
from hostctl.errors import Exit, Failure
from hostctl.lookup import Lookup, canonical

Row = dict[str, Any]


class Finder:
    """Finds rows; the rows of one parent are read once."""

    def __init__(self, client: Client, lookup: Lookup) -> None:
        self._client = client
        self._lookup = lookup
        self._siblings: dict[tuple[str, str], list[Row]] = {}
        self._claimed: dict[str, Item] = {}

    def find(self, item: Item) -> Row | None:
        """Return the row that an item means, or None; Failure if several could be meant, or an item before has it."""
        kind = item.kind
        # Some kinds have rows without a parent; one that is named and not there yet has no rows.
        if kind.parent and (item.parent or kind.parent in item.references) and parent_of(item) is None:
            return None
        row: Row | None
        if item.given_name:
            row = self._lookup.one(kind, item.given_name)
        elif kind.identity:
            row = self._by_identity(item)
        elif item.writes_title:
            row = _only(item, self._lookup.named(kind, str(item.values[kind.title or ""])))
        else:
            row = self._by_children(item)
        if row is not None and (first := self._claimed.setdefault(str(row["id"]), item)) is not item:
            raise Failure(f"is the same {kind.name} as {spelled(first.path)}", Exit.REFUSED)
        return row

    def _rows(self, item: Item) -> list[Row]:
        """Return the rows that share the item's parent; without those that the platform keeps itself."""
        kind, parent = item.kind, parent_of(item) or ""
        key = (kind.plural, parent)
        if key not in self._siblings:
            where: dict[str, Any] = {kind.parent: parent} if kind.parent and kind.parent in kind.filters else {}
            rows = self._client.items(kind.path, **where)
            self._siblings[key] = [
                row
                for row in rows
                if row.get("managed_by", "user") == "user" and (not kind.parent or row[kind.parent] == parent)
            ]
        return self._siblings[key]

    def _by_identity(self, item: Item) -> Row | None:
        names = item.kind.identity
        equal = [row for row in self._rows(item) if all(same(item, row, name) for name in names)]
        if equal or len(names) < 2:
            return _only(item, equal)
        # One that is alike but for the last field, here as there: that field was changed in the file.
        alike = [row for row in self._rows(item) if all(same(item, row, name) for name in names[:-1])]
        twins = [
            other
            for other in (item.parent.children if item.parent else ())
            if other.kind is item.kind and all(other.values.get(n) == item.values.get(n) for n in names[:-1])
        ]
        return alike[0] if len(alike) == 1 and len(twins) == 1 and names[-1] in (item.kind.update or {}) else None

    def _by_children(self, item: Item) -> Row | None:
        found = set()
        for child in item.children:
            if child.writes_title and not child.kind.identity and child.kind.parent:
                rows = self._lookup.named(child.kind, str(child.values[child.kind.title or ""]))
                found |= {row[child.kind.parent] for row in rows}
        return _only(item, [row for row in self._rows(item) if row["id"] in found])


def _only(item: Item, rows: list[Row]) -> Row | None:
    if len(rows) > 1:
        ids = ", ".join(str(row["id"]) for row in rows[:5])
        hint = "" if item.writes_title else "; say which by its name"
        raise Failure(f"is ambiguous, the server has several: {ids}{hint}", Exit.REFUSED)
    return rows[0] if rows else None


def parent_of(item: Item) -> str | None:
    """Return the id of an item's parent, or None while there is none."""
    return item.parent.id if item.parent else referred(item, item.kind.parent or "")


def referred(item: Item, name: str) -> str | None:
    """Return the id that a reference holds, or None while it does not exist."""
    target = item.references.get(name)
    return target.id if isinstance(target, Item) else target


def differences(item: Item, row: Row) -> tuple[Row, dict[str, str]]:
    """Return what an update must change, and what differs and cannot be changed: {field: reason}."""
    changes: Row = {}
    fixed: dict[str, str] = {}
    wanted = {name: value for name, value in item.values.items() if not same(item, row, name)}
    wanted |= {name: referred(item, name) for name in item.references if row[name] != referred(item, name)}
    for name, value in wanted.items():
        if name in (item.kind.update or {}):
            changes[name] = value
        else:
            fixed[name] = f"is {row[name]} on the server and cannot be changed"
    if item.parent is not None and item.kind.parent and row[item.kind.parent] != item.parent.id:
        fixed[item.kind.parent] = f"belongs to another {item.parent.kind.name}, {row[item.kind.parent]}"
    return changes, fixed


def same(item: Item, row: Row, name: str) -> bool:
    """Tell whether a field of the row is what the file says, however it is spelled."""
    ours, theirs = item.values.get(name), row.get(name)
    if ours == theirs or not isinstance(ours, str) or not isinstance(theirs, str):
        return bool(ours == theirs)
    if item.kind.plural == "records" and name == "content":
        return _same_content(str(row["type"]), ours, theirs)
    return canonical(ours) == theirs


def _same_content(type_: str, ours: str, theirs: str) -> bool:
    """Compare as name servers do: case of names, the dot at their end, leading zeros. A TXT is compared as it is."""
    if type_ == "TXT":
        return False
    try:
        one, other = (dns.rdata.from_text("IN", type_, text, origin=dns.name.root) for text in (ours, theirs))
    except (dns.exception.DNSException, ValueError):
        return False
    return bool(one == other)
