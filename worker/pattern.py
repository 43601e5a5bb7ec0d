"""Which hosts a pattern means, asked of ansible-core itself: the leases are those of the hosts that it runs on."""

from __future__ import annotations

from typing import Any

from ansible.inventory.manager import InventoryManager
from ansible.parsing.dataloader import DataLoader
from ansible_collections.hostreeve.hosting.plugins.plugin_utils.document import checked, fill


def hosts_of(document: dict[str, Any], limit: str) -> list[str]:
    """Return the hosts of an inventory document that a limit leaves."""
    bare: dict[str, Any] = {
        "hosts": {name: {"groups": host.get("groups", [])} for name, host in document["hosts"].items()},
        "groups": {name: {} for name in document["groups"]},
    }
    manager = InventoryManager(DataLoader(), parse=False)
    fill(manager._inventory, *checked(bare))
    manager._inventory.reconcile_inventory()
    manager.subset(limit or None)
    return sorted(str(host.name) for host in manager.list_hosts("all"))
