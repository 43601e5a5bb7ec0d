# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the instances of a host fit into its memory together."""

from __future__ import annotations

from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config


def refuses(plan_, item):
    """Return why an instance gets no more memory, or None.

    What was given away before is not taken back. One that has moved needs none, until it is listed here again.
    """
    host, share = plan_.host, plan_.settings["memory_percent"]
    if plan_.given is None:
        gone = host.moved | {work.name for work in plan_.work.values() if work.remove}
        plan_.given = sum(of(host, name) for name in host.instances if name not in gone)
    before = of(host, item.name)
    most = host.memory_mb * share // 100
    if item.memory_mb > before and plan_.given + item.memory_mb - before > most:
        text = "memory_mb: %d of %d MiB are given to instances of this host (%d %% of its memory)"
        return text % (plan_.given, most, share)
    return None


def give(plan_, item):
    """Count the memory of an instance that refuses() let pass, once nothing else can refuse it."""
    plan_.given += item.memory_mb - (0 if item.name in plan_.host.moved else of(plan_.host, item.name))


def of(host, name):
    """Return the data that an instance may hold, in MiB; 0 if there is none."""
    value = host.instances.get(name, (None, {}))[1].get("maxmemory", "0")
    return int(value) // config.MIB if value.isdigit() else 0
