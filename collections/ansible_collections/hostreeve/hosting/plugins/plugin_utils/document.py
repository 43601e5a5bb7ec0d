# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The inventory document: ``{"hosts": {name: {"groups": [..], "vars": {..}}}, "groups": {name: {"vars": {..}}}}``."""

from __future__ import annotations

import re

HOST = re.compile(r"[a-z0-9]([a-z0-9.-]{0,61}[a-z0-9])?")
GROUP = re.compile(r"[a-z][a-z0-9_]{0,99}")
VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,99}")
#: Everything else that begins with ansible_ could make Ansible run a program here.
CONNECTION = {
    "ansible_host": re.compile(r"[0-9A-Za-z][0-9A-Za-z.:-]{0,252}|::[0-9a-f.:]{0,40}"),
    "ansible_port": re.compile(r"[0-9]{1,5}"),
    "ansible_user": re.compile(r"[a-z_][a-z0-9_-]{0,31}"),
}


def checked(document):
    """Return (hosts, groups) of a document; ValueError names what does not fit."""
    if not isinstance(document, dict) or not set(document) <= {"hosts", "groups"}:
        raise ValueError("the document must hold hosts and groups, and nothing else")
    hosts, groups = document.get("hosts", {}), document.get("groups", {})
    for name, host in hosts.items():
        if not HOST.fullmatch(name):
            raise ValueError("%r cannot be the name of a host" % name)
        _variables(name, host)
        for group in host.get("groups", ()):
            groups.setdefault(group, {})
    for name, group in groups.items():
        if not GROUP.fullmatch(name):
            raise ValueError("%r cannot be the name of a group" % name)
        _variables(name, group)
    return hosts, groups


def _variables(name, entry):
    for key, value in entry.get("vars", {}).items():
        if not VARIABLE.fullmatch(key):
            raise ValueError("%s: %r cannot be the name of a variable" % (name, key))
        if key.startswith("ansible_"):
            pattern = CONNECTION.get(key)
            if pattern is None or isinstance(value, bool) or not pattern.fullmatch(str(value)):
                raise ValueError("%s: %s is refused" % (name, key))


def fill(inventory, hosts, groups):
    """Put hosts and groups into Ansible's inventory."""
    # json.loads makes plain strings, which ansible-core never takes for templates when they come this way.
    for name, group in groups.items():
        inventory.add_group(name)
        for key, value in group.get("vars", {}).items():
            inventory.set_variable(name, key, value)
    for name, host in hosts.items():
        inventory.add_host(name)
        for group in host.get("groups", ()):
            inventory.add_child(group, name)
        for key, value in host.get("vars", {}).items():
            inventory.set_variable(name, key, value)


def renew(entity, before, after):
    """Give a host or group of the inventory the variables of a newer document.

    ``before`` and ``after`` are its entries in the two documents. A variable that another source set stays.
    """
    old, new = before.get("vars", {}), after.get("vars", {})
    for key in old.keys() | new.keys():
        if key in entity.vars and (key not in old or entity.vars[key] != old[key]):
            continue
        entity.vars.pop(key, None)
        if key in new:
            entity.set_variable(key, new[key])
