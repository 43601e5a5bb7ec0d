# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The texts of an instance's files; every value in them has passed its grammar."""

from __future__ import annotations

import re

from ansible_collections.hostreeve.hosting.plugins.module_utils.files import MARK

ETC, DATA, RUN = "/etc/hostreeve/valkey", "/srv/valkey", "/run/hostreeve-valkey"

#: Settings that a running instance takes over at once. Every other one needs a restart.
LIVE = ("bind", "port", "maxclients", "maxmemory", "maxmemory-policy", "save", "appendonly", "timeout")
#: The settings of each choice of persistence.
PERSISTENCE = {
    "none": {"save": "", "appendonly": "no"},
    "rdb": {"save": "900 1 300 10 60 10000", "appendonly": "no"},
    "aof": {"save": "", "appendonly": "yes"},
}
MIB = 1024 * 1024

_OWNER = re.compile(r"# tenant (t_[a-z0-9]{10})")


def settings(item, listen, maxclients, more=()):
    """Return {setting: value} of an instance, both as Valkey spells them; ``more``: pairs for high availability."""
    return {
        "bind": " ".join(listen),
        "port": str(item.port),
        "unixsocket": socket(item.name),
        # Who may reach it is decided by its directory, which only the tenant's group may enter.
        "unixsocketperm": "770",
        "protected-mode": "yes",
        "supervised": "systemd",
        "dir": "%s/%s" % (DATA, item.name),
        "aclfile": "%s/%s.acl" % (ETC, item.name),
        "databases": "16",
        # For the platform's user alone: compares a copy with its source.
        "enable-debug-command": "local",
        "maxclients": str(maxclients),
        "timeout": "0",
        "maxmemory": str(item.memory_mb * MIB),
        "maxmemory-policy": item.eviction,
        # What RESTORE is given comes from customers.
        "sanitize-dump-payload": "clients",
        **PERSISTENCE[item.persistence],
        **dict(more),
    }


def render(tenant, values):
    """Return the configuration file of an instance."""
    lines = ["%s %s" % (name, value or '""') for name, value in sorted(values.items())]
    return MARK + "\n".join(["# tenant %s" % tenant, *lines, ""])


def parse(text):
    """Return (tenant, {setting: value}) of a configuration file of ours; the tenant is None if it is not one."""
    tenant, values = None, {}
    for row in (text or "").splitlines()[1:]:
        owner = _OWNER.fullmatch(row)
        if owner:
            tenant = owner.group(1)
        elif row and not row.startswith("#"):
            name, _, value = row.partition(" ")
            values[name] = "" if value == '""' else value
    return tenant, values


def persistence(values):
    """Return which choice of persistence a file's settings are, or None."""
    chosen = (values.get("save"), values.get("appendonly"))
    return next((name for name, one in PERSISTENCE.items() if (one["save"], one["appendonly"]) == chosen), None)


def socket(name):
    """Return the path of an instance's socket."""
    return "%s/%s/valkey.sock" % (RUN, name)


def memory_max(memory_mb, persistence_):
    """Return what the kernel lets an instance have, in MiB.

    Besides its data there are buffers and holes in the memory, and a snapshot's process has a copy of every page that
    changes while it writes.
    """
    return memory_mb + memory_mb // 4 + 32 if persistence_ == "none" else 2 * memory_mb + 32


def without_secrets(text):
    """Return a configuration file as people may see it."""
    return re.sub(r"(?m)^(masterauth) .*$", r"\1 (hidden)", text or "")


def drop_in(name, tenant, memory, more=""):
    """Return what an instance's unit is told beyond the template.

    Its socket lies in a directory of the tenant's group; its settings are for its own group, and its data for its user.
    """
    rows = ["[Service]", "User=%s" % name, "Group=%s" % tenant, "SupplementaryGroups=%s" % name]
    rows += ["Slice=hostreeve-tenant-%s.slice" % tenant, "MemoryMax=%dM" % memory, ""]
    return MARK + "\n".join(rows) + more


def limit_of(text):
    """Return the memory that a drop-in gives, in MiB; 0 where there is none."""
    found = re.search(r"(?m)^MemoryMax=(\d+)M$", text or "")
    return int(found.group(1)) if found else 0


def slice_(limits):
    """Return the drop-in of a tenant's slice, or None where the host's defaults hold.

    Memory and tasks are those of each instance; a tenant's own limits of them are for the programs of its sites.
    """
    return MARK + "[Slice]\nCPUQuota=%d%%\n" % limits["cpu_percent"] if "cpu_percent" in limits else None
