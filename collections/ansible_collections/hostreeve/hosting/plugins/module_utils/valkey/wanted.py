# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the three lists of a Valkey host ask for."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.items import REQUIRED, TENANTS, Items, Kind, choice
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl

_NODE = re.compile(r"[A-Za-z0-9]([A-Za-z0-9._-]{0,252})")
_SECRET = re.compile(r"[A-Za-z0-9_-]{16,128}")


def _node(value):
    if not isinstance(value, str) or (value and not _NODE.fullmatch(value)):
        raise ValueError("must be the name of a node")
    return value


def _flag(value):
    if not isinstance(value, bool):
        raise ValueError("must be true or false")
    return value


def _secret(value):
    if not isinstance(value, str) or (value and not _SECRET.fullmatch(value)):
        raise ValueError("must be 16 to 128 letters, digits, dashes or underscores")
    return value


@dataclass
class Instance:
    """A Valkey of a tenant."""

    kind = "instance"
    id: str
    name: str
    state: str
    tenant: str = ""
    port: int = 0
    memory_mb: int = 0
    eviction: str = ""
    persistence: str = ""
    node: str = ""
    highly_available: bool = False
    replication_password: str = ""


@dataclass
class User:
    """Who may do what in an instance."""

    kind = "user"
    id: str
    name: str
    state: str
    instance: str = ""
    access: str = ""
    rules: str = ""
    password_sha256: str = ""


class Wanted(Items):
    """``tenants``, ``instances`` and ``users`` by name; ``elsewhere`` holds what other nodes of the shard carry.

    here: this node's name; nodes: {name: address} of all nodes of the shard, or nothing where it has one.
    """

    def __init__(self, lists, report, here="", nodes=None):
        self.here, self.nodes, self.elsewhere = here, nodes or {}, {}
        super().__init__(lists, report)

    KINDS: ClassVar = {
        "tenants": TENANTS,
        "instances": Kind(
            Instance,
            grammar.valkey_name,
            fields={
                "tenant": (grammar.tenant_name, REQUIRED),
                "port": (grammar.whole(*grammar.VALKEY_PORTS), REQUIRED),
                "memory_mb": (grammar.whole(*grammar.VALKEY_MEMORY_MB), REQUIRED),
                "eviction": (choice(*grammar.VALKEY_EVICTIONS), "noeviction"),
                "persistence": (choice(*grammar.VALKEY_PERSISTENCES), "rdb"),
                "node": (_node, ""),
                "highly_available": (_flag, False),
                "replication_password": (_secret, ""),
            },
            parent="tenant",
        ),
        "users": Kind(
            User,
            grammar.valkey_user,
            fields={
                "instance": (grammar.valkey_name, REQUIRED),
                "access": (choice(*acl.ACCESSES), "all"),
                "rules": (acl.rules, ""),
                "password_sha256": (grammar.sha256, REQUIRED),
            },
            parent="instance",
        ),
    }

    def check(self):
        """Refuse a port that stands twice, and users whose fields do not go together."""
        self.distinct("instances", "port")
        for item in list(self.instances.values()):
            reason = self._misplaced(item)
            if reason:
                self.refuse("instances", item, reason)
            elif item.state == "present" and item.node not in ("", self.here) and not item.highly_available:
                self.elsewhere[item.name] = self.instances.pop(item.name)
        for item in list(self.users.values()):
            reason = _odd(item)
            if reason:
                self.refuse("users", item, reason)
            elif item.instance in self.elsewhere:
                self.elsewhere[item.name] = self.users.pop(item.name)

    def _misplaced(self, item):
        """Return why an instance cannot be where it should, or None."""
        if item.state == "absent":
            return None
        if item.node and self.nodes and item.node not in self.nodes:
            return "node: there is no node %s among valkey_nodes" % item.node
        if not item.highly_available:
            return None
        if len(self.nodes) < grammar.VALKEY_QUORATE or self.here not in self.nodes:
            return (
                "highly_available: needs %d nodes or more in valkey_nodes, this one among them" % grammar.VALKEY_QUORATE
            )
        if not (item.node and item.replication_password):
            return "highly_available: needs node and replication_password"
        return None


def _odd(item):
    """Return why the fields of a user do not go together, or None."""
    if item.state == "absent":
        item.instance = instance_of(item.name)
    elif item.instance != instance_of(item.name):
        return "name: must start with the name of its instance, %s" % item.instance
    elif item.access == "custom" and not item.rules:
        return "rules: are missing"
    elif item.access != "custom" and item.rules:
        return "rules: are for the access custom"
    return None


def instance_of(user):
    """Return the name of the instance that a user's name begins with."""
    return user[:13]
