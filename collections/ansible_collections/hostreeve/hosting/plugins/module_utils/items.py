# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Lists of resources become checked items; what does not fit fails alone."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, ClassVar

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar

#: The default of a field that an item must have, unless it is absent.
REQUIRED = object()


@dataclass
class Tenant:
    """A Linux user with a slice."""

    kind = "tenant"
    id: str
    name: str
    state: str
    uid: int = 0
    limits: dict = field(default_factory=dict)


@dataclass(frozen=True)
class Kind:
    """How the items of a list are made: the class, what checks the name, the other fields {field: (check, default)}.

    ``key`` is what items call their name, ``parent`` the field that names an item of an earlier list.
    """

    make: Any
    name: Callable[[Any], str]
    states: tuple = ("present", "absent")
    fields: dict = field(default_factory=dict)
    key: str = "name"
    parent: str | None = None


TENANTS = Kind(
    Tenant,
    grammar.tenant_name,
    ("present", "suspended", "absent"),
    {"uid": (grammar.uid, REQUIRED), "limits": (grammar.limits, {})},
)


def choice(*choices):
    """Return a check for one of these values."""

    def check(value):
        if not isinstance(value, str) or value not in choices:
            raise ValueError("must be " + " or ".join(choices))
        return value

    return check


class Items:
    """The items of some lists that are well-formed: each list is an attribute, {name: item}.

    ``named`` holds every name that any item mentions, well-formed or not: a purge leaves those alone. ``refused`` maps
    list and name of what is left out to the reason, which the report has too.
    """

    KINDS: ClassVar = {}

    def __init__(self, lists, report):
        for kind in self.KINDS:
            setattr(self, kind, {})
        self.report, self.named, self.refused = report, set(), {kind: {} for kind in self.KINDS}
        rows = [(kind, index, row) for kind in self.KINDS for index, row in enumerate(lists.get(kind) or ())]
        ids = Counter(self._id(*row) for row in rows)
        for kind, index, row in rows:
            id_ = self._id(kind, index, row)
            try:
                item = _item(self.KINDS[kind], id_, row)
                if ids[id_] > 1:
                    raise ValueError("id: stands %d times in this call" % ids[id_])
                _add(getattr(self, kind), item)
            except ValueError as error:
                report.failed(id_, str(error))
                self.refused[kind][str(self._name(kind, row))] = str(error)
            if isinstance(row, dict):
                fields = {"name", *(one for kind_ in self.KINDS.values() for one in (kind_.key, kind_.parent) if one)}
                self.named.update(row[one] for one in fields if isinstance(row.get(one), str))
        if "tenants" in self.KINDS:
            self.distinct("tenants", "uid")
        self.check()
        self._children = {}
        for kind, spec in self.KINDS.items():
            for item in getattr(self, kind).values() if spec.parent else ():
                self._children.setdefault(getattr(item, spec.parent), []).append(item)

    def children(self, item):
        """Return the items of the next list whose parent is this one."""
        return self._children.get(item.name, ())

    def check(self):
        """Refuse what no field alone can tell."""

    def refuse(self, kind, item, reason):
        """Take an item out of its list."""
        self.refused[kind][item.name] = reason
        self.report.failed(item.id, reason)
        del getattr(self, kind)[item.name]

    def distinct(self, kind, field_):
        """Refuse items whose number another item of the list has."""
        seen = {}
        for item in list(getattr(self, kind).values()):
            number = getattr(item, field_)
            if item.state != "absent" and seen.setdefault(number, item.name) != item.name:
                self.refuse(kind, item, "%s: %d is the %s of %s" % (field_, number, field_, seen[number]))

    def _name(self, kind, row):
        return row.get(self.KINDS[kind].key) if isinstance(row, dict) else None

    def _id(self, kind, index, row):
        """Return what the report calls an item: its id, else its name, else its place."""
        if isinstance(row, dict):
            for value in (row.get("id"), self._name(kind, row)):
                if isinstance(value, str) and 0 < len(value) <= 253:
                    return value
        return "%s[%d]" % (kind, index)


def _add(known, item):
    if item.name in known:
        raise ValueError("%s stands twice in the list" % item.name)
    known[item.name] = item


def _item(kind, id_, row):
    """Return the checked item; ValueError names the field."""
    if not isinstance(row, dict):
        raise ValueError("must be a mapping")
    unknown = sorted(str(one) for one in set(row) - {"id", kind.key, "state"} - set(kind.fields))
    if unknown:
        raise ValueError("unknown field: " + ", ".join(unknown))
    given = {one: value for one, value in row.items() if value is not None}
    item = kind.make(
        id_,
        _checked(kind.key, kind.name, given.get(kind.key, "")),
        _checked("state", choice(*kind.states), given.get("state", "present")),
    )
    if item.state != "absent":  # all that a removal needs is the name
        for one, (check, default) in kind.fields.items():
            if default is REQUIRED and one not in given:
                raise ValueError("%s: is missing" % one)
            setattr(item, one, _checked(one, check, given.get(one, default)))
    return item


def _checked(key, check, value):
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise ValueError("%s: %s" % (key, error)) from None
