# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The map of host names to shards: what a list asks for, what a map file holds, and how the two differ.

Nothing here touches the host. A *table* is ``{name: [shard, ...]}``, because a map that somebody edited by hand can
hold a name twice; a *target* is ``{name: shard}`` with None where the name must go.
"""

from __future__ import annotations

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar

HEADER = "# Managed by Hostreeve: host name, shard. Changes made here are overwritten.\n"
FIELDS = {"id", "fqdn", "shard", "state"}


def read_items(items, shards, report):
    """Validate the list and return ``(ids, target, keep)``.

    ``ids`` is {name: id}; ``keep`` holds names that a refused item claims: they stay as they are, whatever purge says.
    shards: the names that HAProxy knows. Refused items are reported as failed and are not in the target.
    """
    ids, target, keep, taken = {}, {}, set(), set()
    for index, item in enumerate(items):
        id_ = f"fqdns[{index}]"
        try:
            if not isinstance(item, dict):
                raise ValueError("must be a mapping")
            own = item.get("id", item.get("fqdn"))
            if isinstance(own, str) and own and own not in taken:
                id_ = own
                taken.add(own)
            name, shard = _item(item, shards)
            if name in ids:
                raise ValueError(f"fqdn: {name} stands twice in the list")
            if id_ != own:
                raise ValueError("id: must be text that no other item of the list has")
            ids[name], target[name] = id_, shard
        except ValueError as error:
            # A repeated id is reported under its place in the list: the item that came first has not failed.
            report.failed(id_, str(error))
            if isinstance(item, dict) and isinstance(item.get("fqdn"), str):
                keep.add(item["fqdn"])
    return ids, target, keep - set(target)


def _item(item, shards):
    """Return (name, shard), where shard is None for a name that must go; raise ValueError."""
    unknown = sorted(str(key) for key in item if key not in FIELDS)
    if unknown:
        raise ValueError(f"unknown field: {', '.join(unknown)}")
    try:
        name = grammar.fqdn(item.get("fqdn"))
    except ValueError as error:
        raise ValueError(f"fqdn: {error}") from None
    state = item.get("state", "present")
    if state == "absent":
        return name, None
    if state != "present":
        raise ValueError("state: must be present or absent")
    try:
        shard = grammar.slug(item.get("shard"))
    except ValueError as error:
        raise ValueError(f"shard: {error}") from None
    if shard not in shards:
        raise ValueError(f"shard: this load balancer has no shard {shard}")
    return name, shard


def parse(text):
    """Read a map file into a table; a line without a value counts as a name with an empty shard."""
    table = {}
    for line in (text or "").splitlines():
        name, _, shard = line.strip().partition(" ")
        if name and not name.startswith("#"):
            table.setdefault(name, []).append(shard.strip())
    return table


def render(table):
    """Write a table as a map file; of a name that stands twice the first entry stays, as HAProxy reads it."""
    return HEADER + "".join(f"{name} {shards[0]}\n" for name, shards in sorted(table.items()) if shards[0])


def differing(table, target):
    """Return the part of a target that a table does not fulfil."""
    return {
        name: shard
        for name, shard in target.items()
        if (set(table[name]) != {shard} if name in table else shard is not None)
    }


def merge(table, target):
    """Return the table after the target was carried out."""
    merged = {name: shards for name, shards in table.items() if name not in target}
    merged.update({name: [shard] for name, shard in target.items() if shard is not None})
    return merged


def line(name, shards):
    """Show one name of a table in a diff; nothing for a name without an entry."""
    return "".join(f"{name} {shard}\n" for shard in shards or [])
