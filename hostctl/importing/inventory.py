"""Hosts, groups and variables of an export as a static inventory, which has no groups in groups.

A host is in the groups around its own too. Where Ansible would let an inner group win and the flat ones would not, the
host gets the value itself.
"""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
import tempfile
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from hostctl.importing.plan import NotCarried, Plan
from hostctl.importing.read import Node
from hostctl.importing.variables import carried, fits, plain

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
GROUP = re.compile(r"[a-z][a-z0-9_]{0,99}")
IMPLIED = ("all", "ungrouped")
#: what reading a text may take: seconds, those of a processor, and bytes of memory; web[1:99999999] is soon written
SECONDS, BUSY, MEMORY = 60, 15, 512 * 1024 * 1024
#: ansible-inventory within those bounds
BOUNDED = """
import resource, sys
from ansible.cli.inventory import main
for limit in (resource.RLIMIT_AS, resource.RLIMIT_CPU):
    most = int(sys.argv.pop(1))
    resource.setrlimit(limit, (most, most))
main()
"""


@dataclass
class Group:
    """A group as the export has it."""

    vars: dict[str, Any] = field(default_factory=dict)
    hosts: list[str] = field(default_factory=list)
    children: list[str] = field(default_factory=list)


@dataclass
class Tree:
    """An inventory as the export has it: names as they are there."""

    hosts: dict[str, dict[str, Any]] = field(default_factory=dict)
    groups: dict[str, Group] = field(default_factory=dict)
    variables: dict[str, Any] = field(default_factory=dict)

    def depths(self) -> dict[str, int]:
        """Return how deep each group lies; NotCarried if one contains itself."""
        parents: dict[str, list[str]] = {name: [] for name in self.groups}
        for name, group in self.groups.items():
            for child in group.children:
                if child in parents:
                    parents[child].append(name)
        found: dict[str, int] = {}

        def depth(name: str, above: tuple[str, ...]) -> int:
            if name in above:
                raise NotCarried(f"group {name} contains itself")
            if name not in found:
                found[name] = 1 + max((depth(parent, (*above, name)) for parent in parents[name]), default=0)
            return found[name]

        for name in self.groups:
            depth(name, ())
        return found

    def members(self) -> dict[str, set[str]]:
        """Return the groups of each host, those around its own included."""
        found: dict[str, set[str]] = {host: set() for host in self.hosts}

        def put(name: str, inner: str, seen: set[str]) -> None:
            if inner in seen or inner not in self.groups:
                return
            seen.add(inner)
            for host in self.groups[inner].hosts:
                found.setdefault(host, set()).add(name)
            for child in self.groups[inner].children:
                put(name, child, seen)

        for name in self.groups:
            put(name, name, set())
        return found


def flat(plan: Plan, where: str, tree: Tree) -> tuple[dict[str, Any], dict[str, str]]:
    """Return the fields of a static inventory, and the hosts and groups that are called otherwise here."""
    depths, members = tree.depths(), tree.members()
    hosts, groups = _names(plan, where, "host", members), _names(plan, where, "group", tree.groups)
    kept = {
        name: carried(plan, f"{where}, group {name}", _without_priority(group.vars), host=True)
        for name, group in tree.groups.items()
    }
    made: dict[str, Any] = {}
    for host, own in members.items():
        found = carried(plan, f"{where}, host {host}", tree.hosts.get(host, {}), host=True)
        nested = _merged(kept, sorted(own, key=lambda name: (depths[name], _priority(tree.groups[name]), name)))
        alike = _merged(kept, sorted(own, key=lambda name: groups[name]))
        found = {**{key: value for key, value in nested.items() if alike[key] != value}, **found}
        if not _reachable(found, host, hosts[host], tree):
            plan.note(f"{where}, host {host}", "is left out: without its address another machine might be meant")
            continue
        made[hosts[host]] = {"groups": sorted(groups[name] for name in own), "vars": found}
    fields = {
        "source": "static",
        "hosts": made,
        "groups": {groups[name]: {"vars": kept[name]} for name in tree.groups},
        "variables": carried(plan, where, tree.variables),
    }
    return fields, {old: new for old, new in (*hosts.items(), *groups.items()) if old != new}


def _reachable(found: dict[str, Any], host: str, here: str, tree: Tree) -> bool:
    """Give a host that is called otherwise here the address that its name was; tell whether it has the right one."""
    own = tree.hosts.get(host, {})
    if "ansible_host" not in found and here != host and fits("ansible_host", host):
        found["ansible_host"] = host
    wanted = here != host or "ansible_host" in own or "ansible_ssh_host" in own
    return "ansible_host" in found or not wanted


def _names(plan: Plan, where: str, kind: str, given: Any) -> dict[str, str]:
    """Return the names here; NotCarried if two become the same."""
    found: dict[str, str] = {}
    for name in given:
        new = name
        if kind == "host" and not HOST.fullmatch(name):
            new = re.sub(r"[^a-z0-9.-]+", "-", name.lower()).strip("-.")[:63].strip("-.")
        elif kind == "group" and (not GROUP.fullmatch(name) or name.startswith("hostreeve_")):
            new = re.sub(r"[^a-z0-9_]+", "_", name.lower())[:98]
            new = new if GROUP.fullmatch(new) and not new.startswith("hostreeve_") else f"g_{new}"
        if not new or new in found.values():
            raise NotCarried(f"{kind} {name} would be called {new or 'nothing'} here, as another one is")
        if new != name:
            plan.note(f"{where}, {kind} {name}", f"is called {new} here; change playbooks that name it")
        found[name] = new
    return found


def _merged(groups: dict[str, dict[str, Any]], order: list[str]) -> dict[str, Any]:
    found: dict[str, Any] = {}
    for name in order:
        found.update(groups[name])
    return found


def _priority(group: Group) -> int:
    try:
        return int(group.vars.get("ansible_group_priority", 1))
    except (TypeError, ValueError):
        return 1


def _without_priority(found: dict[str, Any]) -> dict[str, Any]:
    return {name: value for name, value in found.items() if name != "ansible_group_priority"}


def from_text(where: str, text: str, kind: str) -> Tree:
    """Return an inventory of a text (``kind``: ini or yaml), as Ansible's own parser reads it; nothing is evaluated."""
    with tempfile.TemporaryDirectory() as name:
        directory = Path(name)
        (directory / "ansible.cfg").touch()
        source = directory / ("hosts.yml" if kind == "yaml" else "hosts")
        source.touch(0o600)
        source.write_text(text, "utf-8")
        env = {
            **{name: os.environ[name] for name in ("PATH", "LANG", "LC_ALL") if name in os.environ},
            "HOME": str(directory),
            "ANSIBLE_CONFIG": str(directory / "ansible.cfg"),
            "ANSIBLE_LOCAL_TEMP": str(directory / "tmp"),
            "ANSIBLE_INVENTORY_ENABLED": f"ansible.builtin.{kind}",
            "ANSIBLE_INVENTORY_ANY_UNPARSED_IS_FAILED": "true",
            "ANSIBLE_NOCOLOR": "1",
        }
        command = [sys.executable, "-c", BOUNDED, str(MEMORY), str(BUSY), "-i", str(source), "--list", "--export"]
        try:
            done = subprocess.run(
                command, cwd=directory, env=env, stdin=subprocess.DEVNULL, capture_output=True, text=True,
                check=False, timeout=SECONDS,
            )  # fmt: skip
        except subprocess.TimeoutExpired:
            raise NotCarried(f"Ansible did not read it in {SECONDS} seconds") from None
    if done.returncode:
        # Not what Ansible prints: it quotes the text, which may hold passwords.
        raise NotCarried(f"Ansible cannot read it as {kind.upper()}")
    return from_document(where, json.loads(done.stdout))


def from_document(where: str, document: Any) -> Tree:
    """Return an inventory of what ``ansible-inventory --list --export`` prints."""
    top = Node(document, where)
    meta = top.node("_meta")
    given = (meta.node("hostvars") if meta else None) or Node({}, where)
    tree = Tree({host: plain(found) for host, found in given.value.items()})
    for name in top.value:
        if name == "_meta":
            continue
        found = Node(top.value[name], f"{where}.{name}")
        inner = found.node("vars")
        group = Group(plain(inner.value) if inner else {}, found.texts("hosts"), found.texts("children"))
        for host in group.hosts:
            tree.hosts.setdefault(host, {})
        if name == "all":
            tree.variables.update(group.vars)
        elif name not in IMPLIED:
            tree.groups[name] = group
        for child in group.children:
            if child not in top.value and child not in IMPLIED:
                tree.groups.setdefault(child, Group())
    return tree


def renamed(pattern: str, names: dict[str, str]) -> str:
    """Return a host pattern with the names of here."""
    return "".join(names.get(part, part) for part in re.split(r"([,:&!])", pattern))
