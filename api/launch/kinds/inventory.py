"""Inventory: the hosts that a launch may touch."""

from __future__ import annotations

import copy
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.plugin_utils import document
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, JsonObject, Name, Resource
from api.core.errors import invalid
from api.core.kind import Kind, registry
from api.launch.grammar import COMPUTED, label, no_marks, prose, variables

SOURCES = ("platform", "static", "constructed")
FILTERS = ("regions", "clusters", "shards", "roles", "hosts")
MOST = 5000


def hosts(value: dict[str, Any]) -> dict[str, Any]:
    """Return ``{name: {groups: [..], vars: {..}}}``."""
    return _entries(value, "hosts", {"groups", "vars"})


def groups(value: dict[str, Any]) -> dict[str, Any]:
    """Return ``{name: {vars: {..}}}``."""
    return _entries(value, "groups", {"vars"})


def _entries(value: dict[str, Any], what: str, allowed: set[str]) -> dict[str, Any]:
    if len(value) > MOST:
        raise ValueError(f"must be at most {MOST}")
    for name, entry in value.items():
        if not isinstance(entry, dict) or not entry.keys() <= allowed:
            raise ValueError(f"{name}: must be an object with {' and '.join(sorted(allowed))}")
        members, own = entry.get("groups", []), entry.get("vars", {})
        if not isinstance(members, list) or not all(isinstance(member, str) for member in members):
            raise ValueError(f"{name}: groups must be a list of texts")
        if not isinstance(own, dict):
            raise ValueError(f"{name}: vars must be an object")
        no_marks(own)
        for key in own:
            if key.startswith("hostreeve_") or key in COMPUTED:
                raise ValueError(f"{name}: {key} is not for users to set")
        for group in [*members, *(value if what == "groups" else ())]:
            if group.startswith("hostreeve_") or group in ("all", "ungrouped"):
                raise ValueError(f"{group} is not for users to set")
    # The plugin that reads it on the worker has the last word, so it is asked now.
    document.checked({what: copy.deepcopy(value)})
    return value


def filter_(value: dict[str, Any]) -> dict[str, Any]:
    """Return ``{regions, clusters, shards, roles, hosts}`` with lists of names."""
    for name, names in value.items():
        if name not in FILTERS:
            raise ValueError(f"{name} is none of {', '.join(FILTERS)}")
        if not isinstance(names, list) or not names or len(names) > MOST:
            raise ValueError(f"{name} must be a list of names")
        for item in names:
            grammar.slug(item)
    return value


class Inventory(Resource, Base):
    """Hosts for launches: the platform's, some of the platform's, or others."""

    __tablename__ = "inventory"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": label, "example": "Web servers"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": prose})
    #: platform: all nodes, as they should be now; constructed: those that the filter leaves; static: what stands here
    source: Mapped[str] = mapped_column(sa.String(16), info={"choices": SOURCES, "once": True})
    hosts: Mapped[dict[str, Any]] = mapped_column(
        JsonObject,
        default=dict,
        info={"check": hosts, "example": {"web1": {"groups": ["web"], "vars": {"ansible_host": "10.0.0.11"}}}},
    )
    groups: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict, info={"check": groups})
    filter: Mapped[dict[str, Any]] = mapped_column(
        JsonObject, default=dict, info={"check": filter_, "example": {"roles": ["web"], "regions": ["eu-1"]}}
    )
    variables: Mapped[dict[str, Any]] = mapped_column(JsonObject, default=dict, info={"check": variables})


def validate(session: Session, row: Any) -> None:
    """Refuse what is for another source."""
    for name, source in (("hosts", "static"), ("groups", "static"), ("filter", "constructed")):
        if getattr(row, name) and row.source != source:
            raise invalid(name, f"is for the source {source}")
    if row.source == "constructed" and not row.filter:
        raise invalid("filter", "is needed; the source platform has all nodes")


KIND = registry.add(Kind(Inventory, plural="inventories", platform=True, filters=("source",), validate=validate))
