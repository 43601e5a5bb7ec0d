"""An export of AWX as a whole, and the names that its objects have there and here."""

from __future__ import annotations

from typing import Any

from hostctl.importing.plan import Names, NotCarried, Plan
from hostctl.importing.read import Node


class Export:
    """An export, the plan that it fills, and what its items are called here."""

    def __init__(self, top: Node, plan: Plan, prefix: str, branch: str) -> None:
        self.top, self.plan, self.branch = top, plan, branch
        self.names = {
            plural: Names(self._keys(plural), prefix) for plural in ("projects", "inventory", "job_templates")
        }
        self.prefix = prefix
        #: name of an inventory here → hosts and groups that are called otherwise
        self.renamed: dict[str, dict[str, str]] = {}

    def _keys(self, plural: str) -> list[tuple[str, str]]:
        """Return (organization, name) of every item that has a name."""
        found = []
        for item in self.top.items(plural):
            if isinstance(item, dict) and isinstance(item.get("name"), str):
                found.append((_holder(item), item["name"]))
        return found

    def named(self, plural: str, key: Node | None) -> str:
        """Return the name here of what a natural key names; empty without one."""
        return self.names[plural](_holder(key.value), key.text("name")) if key is not None else ""

    def own(self, plural: str, node: Node) -> str:
        """Return the name here of an item."""
        return self.names[plural](_holder(node.value), name_of(node))


def name_of(node: Node) -> str:
    """Return an item's name, which it must have."""
    if not (name := node.text("name")):
        raise NotCarried(f"{node.at('name')}: must be a text")
    return name


def _holder(item: dict[str, Any]) -> str:
    """Return the name of the organization of an item or natural key."""
    organization = item.get("organization")
    if not isinstance(organization, dict):
        key = item.get("natural_key")
        organization = key.get("organization") if isinstance(key, dict) else None
    name = organization.get("name") if isinstance(organization, dict) else None
    return name if isinstance(name, str) else ""
