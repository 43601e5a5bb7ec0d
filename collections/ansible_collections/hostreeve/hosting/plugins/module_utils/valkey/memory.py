# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Whether the instances of a host fit into its memory together."""

from __future__ import annotations

from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config


def refuses(plan_, item):
    """Return why an instance gets no more memory, or None.

    What was given away before is not taken back. One that has moved needs none, until it is listed here again.
    """
    host, before = plan_.host, of(plan_.host, item.name)
    if plan_.given is None:
        plan_.given = given(host, host.moved | {work.name for work in plan_.work.values() if work.remove})
    more = item.memory_mb - before
    return full(host, plan_.given, more, plan_.settings["memory_percent"]) if more > 0 else None


def full(host, taken, more, share):
    """Return why a host of whose memory so many MiB are taken has no room for more, or None."""
    most = host.memory_mb * share // 100
    if taken + more <= most:
        return None
    text = "memory_mb: %d of %d MiB are given to instances of this host (%d %% of its memory), and it needs %d"
    return text % (taken, most, share, more)


def given(host, gone):
    """Return the MiB that the instances of a host may hold together, without those that are gone."""
    return sum(of(host, name) for name in host.instances if name not in gone)


def give(plan_, item):
    """Count the memory of an instance that refuses() let pass, once nothing else can refuse it."""
    plan_.given += item.memory_mb - (0 if item.name in plan_.host.moved else of(plan_.host, item.name))


def of(host, name):
    """Return the data that an instance may hold, in MiB; 0 if there is none."""
    value = host.instances.get(name, (None, {}))[1].get("maxmemory", "0")
    return int(value) // config.MIB if value.isdigit() else 0
