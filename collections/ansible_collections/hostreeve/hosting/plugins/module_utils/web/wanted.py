# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the three lists ask for, item by item; what does not fit fails alone."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar


@dataclass
class Tenant:
    """A Linux user with a slice."""

    kind = "tenant"
    id: str
    name: str
    state: str
    uid: int = 0
    limits: dict = field(default_factory=dict)


@dataclass
class Webroot:
    """A folder of a tenant that is served."""

    kind = "webroot"
    id: str
    name: str
    state: str
    tenant: str = ""
    runtime: str = "static"
    public_folder: str = "public"
    env: dict = field(default_factory=dict)


@dataclass
class Fqdn:
    """A host name that a webroot answers to."""

    kind = "fqdn"
    id: str
    name: str
    state: str
    webroot: str = ""
    directives: str = ""


def _directives(value):
    if not isinstance(value, str) or "\0" in value:
        raise ValueError("must be text")
    return value


def _choice(*choices):
    def check(value):
        if value not in choices:
            raise ValueError("must be " + " or ".join(choices))
        return value

    return check


_REQUIRED = object()

#: {list: (class, what the item's name is called, states, {field: (check, default)}, the field that names the parent)}
_KINDS = {
    "tenants": (
        Tenant,
        "name",
        grammar.tenant_name,
        ("present", "suspended", "absent"),
        {"uid": (grammar.uid, _REQUIRED), "limits": (grammar.limits, {})},
    ),
    "webroots": (
        Webroot,
        "name",
        grammar.webroot_name,
        ("present", "absent"),
        {
            "tenant": (grammar.tenant_name, _REQUIRED),
            "runtime": (_choice("static", "php"), "static"),
            "public_folder": (grammar.public_folder, "public"),
            "env": (grammar.environment, {}),
        },
    ),
    "fqdns": (
        Fqdn,
        "fqdn",
        grammar.fqdn,
        ("present", "absent"),
        {"webroot": (grammar.webroot_name, _REQUIRED), "directives": (_directives, "")},
    ),
}


class Wanted:
    """The items of the three lists that are well-formed, by name.

    ``tenants``, ``webroots`` and ``fqdns`` map a name to its item. ``named`` holds every name that any item mentions,
    well-formed or not: a purge leaves those alone. ``refused`` maps the name of what is left out to the reason, which
    the report has too.
    """

    def __init__(self, lists, report):
        self.tenants, self.webroots, self.fqdns = {}, {}, {}
        self.named, self.refused = set(), {}
        rows = [(kind, index, row) for kind in _KINDS for index, row in enumerate(lists.get(kind) or ())]
        ids = Counter(_id(*row) for row in rows)
        for kind, index, row in rows:
            id_ = _id(kind, index, row)
            try:
                item = _item(kind, id_, row)
                if ids[id_] > 1:
                    raise ValueError("id: stands %d times in this call" % ids[id_])
                self._add(getattr(self, kind), item)
            except ValueError as error:
                report.failed(id_, str(error))
                self.refused[str(_name(kind, row))] = str(error)
            if isinstance(row, dict):
                self.named.update(row[key] for key in ("name", "fqdn", "tenant", "webroot") if _is_text(row.get(key)))
        self._uids(report)
        self._children = {}
        for item in self.webroots.values():
            self._children.setdefault(item.tenant, []).append(item)
        for item in self.fqdns.values():
            self._children.setdefault(item.webroot, []).append(item)

    def children(self, item):
        """Return the items of the next list whose parent is this one."""
        return self._children.get(item.name, ())

    @staticmethod
    def _add(known, item):
        if item.name in known:
            raise ValueError("%s stands twice in the list" % item.name)
        known[item.name] = item

    def _uids(self, report):
        seen = {}
        for item in list(self.tenants.values()):
            if item.state != "absent" and seen.setdefault(item.uid, item.name) != item.name:
                self.refused[item.name] = "uid: %d is the uid of %s" % (item.uid, seen[item.uid])
                report.failed(item.id, self.refused[item.name])
                del self.tenants[item.name]


def _is_text(value):
    return isinstance(value, str)


def _name(kind, row):
    return row.get(_KINDS[kind][1]) if isinstance(row, dict) else None


def _id(kind, index, row):
    """Return what the report calls an item: its id, else its name, else its place."""
    if isinstance(row, dict):
        for value in (row.get("id"), _name(kind, row)):
            if _is_text(value) and 0 < len(value) <= 253:
                return value
    return "%s[%d]" % (kind, index)


def _item(kind, id_, row):
    """Return the checked item; ValueError names the field."""
    make, key, name, states, fields = _KINDS[kind]
    if not isinstance(row, dict):
        raise ValueError("must be a mapping")
    unknown = sorted(str(one) for one in set(row) - {"id", key, "state"} - set(fields))
    if unknown:
        raise ValueError("unknown field: " + ", ".join(unknown))
    given = {one: value for one, value in row.items() if value is not None}
    item = make(
        id_,
        _checked(key, name, given.get(key, "")),
        _checked("state", _choice(*states), given.get("state", "present")),
    )
    if item.state != "absent":  # all that a removal needs is the name
        for one, (check, default) in fields.items():
            if default is _REQUIRED and one not in given:
                raise ValueError("%s: is missing" % one)
            setattr(item, one, _checked(one, check, given.get(one, default)))
    return item


def _checked(key, check, value):
    try:
        return check(value)
    except (TypeError, ValueError) as error:
        raise ValueError("%s: %s" % (key, error)) from None
