#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the tenants, instances and users of a Valkey host equal to three lists."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: valkey_resources
short_description: Make Valkey instances and their users equal to lists
version_added: 0.2.0
description:
  - Makes one Valkey per instance, as a user of its own and in its tenant's slice, with its own port, socket,
    configuration, data and limit of memory, and its users by an ACL file.
  - A highly available instance follows, or is followed by, those of the other nodes, and has a Sentinel of its own on
    each. Who is the primary is theirs to say.
  - Changes that Valkey takes over while it runs are made without a restart. What needs one is in docs/valkey.md.
  - An item that is not well-formed, or that Valkey refuses, fails alone and keeps its previous version; what depends on
    it (instances of a tenant, users of an instance) fails with it. A failed item does not fail the task.
  - Needs what the role P(hostreeve.hosting.valkey#role) installs and configures. In check mode it also predicts for a
    host where that has not been done yet.
author:
  - Hostreeve maintainers
extends_documentation_fragment:
  - hostreeve.hosting.run
  - hostreeve.hosting.run.noted
options:
  tenants:
    description:
      - A list of mappings, or (much faster for thousands of items) the name of a variable that holds it.
      - >-
        Keys: C(name) (V(t_) and ten lower-case letters or digits), C(uid), C(limits) (a mapping; C(cpu_percent) counts
        here), C(state) (V(present), the default, V(suspended) or V(absent)) and C(id) (what the report calls it; the
        name by default).
      - A tenant is a Linux user of the host for as long as it has an instance there. The instances of a suspended
        tenant are stopped, and keep data and users; those of an absent one are removed.
    type: json
    default: "[]"
  instances:
    description:
      - A list of mappings, or the name of a variable that holds it.
      - >-
        Keys: C(name) (V(kv_) and ten lower-case letters or digits), C(tenant), C(port) (20000 to 29999), C(memory_mb)
        (for data; the unit gets more), C(eviction) (V(noeviction), the default, or another of Valkey's policies),
        C(persistence) (V(none), V(rdb), the default, or V(aof)), C(node) (the name of the node of O(nodes) that carries
        it; each that gets the list, by default), C(highly_available) (V(true): all nodes carry it, and C(node) is the
        first primary), C(replication_password) (for that: 16 to 128 letters and digits, the same on all nodes),
        C(state) (V(present) or V(absent)) and C(id).
      - An absent instance is removed with its users; its data are kept for O(keep_days).
    type: json
    default: "[]"
  users:
    description:
      - A list of mappings, or the name of a variable that holds it.
      - >-
        Keys: C(name) (the instance's name, an underscore and a suffix), C(instance), C(access) (V(all), the default,
        V(read-write), V(read-only), V(pubsub) or V(custom)), C(rules) (with V(custom): Valkey's rules about keys,
        channels and commands), C(password_sha256), C(state) (V(present) or V(absent)) and C(id).
      - Whatever the rules, administration and C(MIGRATE) are denied.
    type: json
    default: "[]"
  purge:
    description: Remove what Hostreeve made and no item names, also if a list is empty. Strangers' files and users stay.
    type: bool
    default: false
  listen:
    description: Addresses that instances listen on, as in Valkey's C(bind).
    type: list
    elements: str
    default: ["*", "-::*"]
  maxclients:
    description: Connections of each instance.
    type: int
    default: 1000
  keep_days:
    description: Days for which the data of a removed instance are kept in C(/srv/valkey/.removed).
    type: int
    default: 7
  memory_percent:
    description: Share of the host's memory that all C(memory_mb) together may be; an instance beyond it is refused.
    type: int
    default: 90
  node:
    description: Name of this node.
    type: str
    default: ""
  nodes:
    description: All nodes of the shard. Needed for highly available instances, which need three.
    type: list
    elements: dict
    default: []
    suboptions:
      name:
        description: Name of the node.
        type: str
        required: true
      address:
        description: IP address by which the others and the clients reach it.
        type: str
        required: true
attributes:
  check_mode:
    support: full
    description: Reports exactly what a run would change, and tries new rules on a Valkey that holds nothing.
  diff_mode:
    support: full
    description: Shows the files; hashes of passwords are left out.
"""

EXAMPLES = r"""
- name: Make an instance with a user
  hostreeve.hosting.valkey_resources:
    tenants:
      - {name: t_abcdefghij, uid: 200001}
    instances:
      - {name: kv_abcdefghij, tenant: t_abcdefghij, port: 20000, memory_mb: 64, eviction: allkeys-lru}
    users:
      - name: kv_abcdefghij_app
        instance: kv_abcdefghij
        password_sha256: "{{ vault_password | hash('sha256') }}"

- name: Make a host equal to long lists
  hostreeve.hosting.valkey_resources:
    tenants: valkey_tenants
    instances: valkey_instances
    users: valkey_users
    purge: true
"""

RETURN = r"""
resources:
  description: What changed or failed, by id. What was removed without an item is called by its name.
  returned: always
  type: dict
  sample: {kv_abcdefghij: {changed: true, failed: false, msg: created}}
unchanged:
  description: How many items were as wanted.
  returned: always
  type: int
node:
  description: The job and the audit head that the host carried before this job, and that it carries now.
  returned: always
  type: dict
  sample: {before: {job: "", audit_head: ""}, now: {job: 0b6f, audit_head: "12:9f86"}}
"""

import ipaddress
import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import Host
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.run import converge

LISTS = ("tenants", "instances", "users")


def _addresses(module):
    """Return {node: address}; an address that is none goes into no configuration."""
    try:
        return {one["name"]: str(ipaddress.ip_address(one["address"])) for one in module.params["nodes"]}
    except ValueError as error:
        module.fail_json(msg="nodes: %s" % error)


def main():
    """Run the module."""
    spec = {
        "listen": {"type": "list", "elements": "str", "default": ["*", "-::*"]},
        "maxclients": {"type": "int", "default": 1000},
        "keep_days": {"type": "int", "default": 7},
        "memory_percent": {"type": "int", "default": 90},
        "node": {"type": "str", "default": ""},
        "nodes": {
            "type": "list",
            "elements": "dict",
            "default": [],
            "options": {"name": {"required": True}, "address": {"required": True}},
        },
    }
    settings = tuple(spec)
    # Hashes of passwords, and thousands of items, do not belong into the log.
    spec.update({name: {"type": "json", "default": "[]", "no_log": True} for name in LISTS})
    module = AnsibleModule({**whole_list.ARGUMENTS, **spec}, supports_check_mode=True)
    lists = {name: json.loads(module.params[name]) for name in LISTS}
    for name, rows in lists.items():
        if not isinstance(rows, list):
            module.fail_json(msg="%s: must be a list" % name)
    settings = {name: module.params[name] for name in settings}
    settings["nodes"] = _addresses(module)
    host = Host()
    if host.is_web:
        module.fail_json(msg="this is a web host: tenants of a web host and of a Valkey host cannot share one")
    if not module.check_mode and not (host.has_valkey and os.path.isdir(host.data)):
        module.fail_json(msg="this is not a Valkey host yet: run the whole role first")
    try:
        with whole_list.guard(module):
            report = converge(host, lists, settings, module.params["purge"], module.check_mode)
            result = report.result(module._diff, each=bool(module.params["job"]))
            fact.remember(module, result)
    except (whole_list.Stale, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
