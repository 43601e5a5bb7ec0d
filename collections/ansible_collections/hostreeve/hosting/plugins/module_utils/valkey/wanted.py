# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the three lists of a Valkey host ask for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.items import REQUIRED, TENANTS, Items, Kind, choice
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl


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
    """``tenants``, ``instances`` and ``users`` by name."""

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
        for item in list(self.users.values()):
            reason = _odd(item)
            if reason:
                self.refuse("users", item, reason)


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
