#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole-list module of the load balancer."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lb_resources
short_description: Make the host names that HAProxy routes equal to a list
description:
  - Writes the map of host names to shards and changes the running HAProxy to match, without a reload.
  - Every item is checked on its own. One that is refused is reported as failed, keeps the entry it has, and leaves the
    others alone.
  - A difference between the map file and the running HAProxy is repaired, and reported as a change of that name.
version_added: 0.1.0
author:
  - Hostreeve maintainers (@hostreeve)
extends_documentation_fragment:
  - hostreeve.hosting.run
  - hostreeve.hosting.run.noted
options:
  fqdns:
    description:
      - The names, each a mapping of C(fqdn) (lower-case host name), C(shard) (a back end), C(state) (V(present),
        the default, or V(absent)) and C(id) (what the result calls it; the name by default).
      - A shard is not needed with C(state=absent).
      - A list, or (faster for thousands of names) the name of a variable that holds it.
    type: json
    default: "[]"
  purge:
    description: Remove every name that is not in the list. The map file is Hostreeve's alone.
    type: bool
    default: false
  map:
    description: The map file, spelled as in HAProxy's configuration.
    type: path
    default: /etc/haproxy/maps/hosts.map
  config:
    description: HAProxy's configuration. Back ends that stand there and are not running yet are waited for.
    type: path
    default: /etc/haproxy/haproxy.cfg
  socket:
    description: HAProxy's admin socket.
    type: path
    default: /run/haproxy/admin.sock
  master_socket:
    description: The socket of HAProxy's master process, which tells which worker serves.
    type: path
    default: /run/haproxy-master.sock
  shards:
    description:
      - The back ends that HAProxy will have when the run comes here. Only check mode uses it, to predict a run that
        configures HAProxy first; otherwise the running HAProxy is asked.
    type: list
    elements: str
attributes:
  check_mode:
    description: Predicts the result exactly, also on a host without HAProxy.
    support: full
  diff_mode:
    description: Shows the map lines of at most 200 names.
    support: full
"""

EXAMPLES = r"""
- name: Route two names and stop routing a third
  hostreeve.hosting.lb_resources:
    fqdns:
      - {fqdn: www.example.com, shard: web-a}
      - {fqdn: shop.example.com, shard: web-b}
      - {fqdn: old.example.com, state: absent}

- name: Route these names and no others
  hostreeve.hosting.lb_resources:
    fqdns: lb_fqdns
    purge: true
"""

RETURN = r"""
resources:
  description: What changed or failed, by id.
  type: dict
  returned: always
  sample: {www.example.com: {changed: true, failed: false, msg: routed to web-a}}
unchanged:
  description: How many items were as wanted.
  type: int
  returned: always
node:
  description: The job and the audit head that the host carried before this job, and that it carries now.
  returned: always
  type: dict
  sample: {before: {job: "", audit_head: ""}, now: {job: 0b6f, audit_head: "12:9f86"}}
"""

import json
import re

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.lb import names
from ansible_collections.hostreeve.hosting.plugins.module_utils.lb.runtime import Runtime, RuntimeApiError

ATTEMPTS = 3


def backends(text):
    """Return the names of the back ends that a configuration holds."""
    return set(re.findall(r"^backend[ \t]+(\S+)", text or "", re.MULTILINE))


def asked_for(items):
    """Return the shards that a list names, before anything is known of its items."""
    shards = (item.get("shard") for item in items if isinstance(item, dict))
    return {shard for shard in shards if isinstance(shard, str)}


def observe(module, runtime, items, on_disk):
    """Return (shards, table): what HAProxy may route to and what it routes; table is None if it does not run.

    Only check mode goes on without HAProxy: what will run then is what the files say. Raises RuntimeApiError.
    """
    params = module.params
    if module.check_mode:
        planned = None if params["shards"] is None else set(params["shards"])
        if not runtime.answers():
            return on_disk if planned is None else planned, None
        snapshot = runtime.snapshot()
        return snapshot.backends if planned is None else planned, snapshot.table
    snapshot = runtime.snapshot(expected=on_disk & asked_for(items))
    return snapshot.backends, snapshot.table


def carry_out(runtime, table, target):
    """Make the running HAProxy route as the target says; return {name: error}.

    Done again if HAProxy was reloaded meanwhile: the new process may have read the map file before it was replaced.
    """
    errors = {}
    for _attempt in range(ATTEMPTS):
        left = names.differing(table, target)
        if not left:
            return {}
        try:
            errors = runtime.apply(table, left)
        except OSError as error:
            errors = dict.fromkeys(left, f"HAProxy does not answer: {error}")
        table = runtime.snapshot().table
    return {name: errors.get(name) or "HAProxy does not take the name" for name in names.differing(table, target)}


def converge(module, items, report):
    """Plan, report and, outside check mode, make the changes. Raises RuntimeApiError if HAProxy cannot be asked."""
    params = module.params
    runtime = Runtime(params["map"], params["socket"], params["master_socket"])
    shards, live = observe(module, runtime, items, backends(whole_list.read(params["config"])))
    ids, target, keep = names.read_items(items, shards, report)
    stored = names.parse(whole_list.read(params["map"]))
    if live is None:
        live = stored
    if params["purge"]:
        target.update({name: None for name in {*stored, *live} if name not in target and name not in keep})

    on_disk, running = names.differing(stored, target), names.differing(live, target)
    for name, shard in target.items():
        id_ = ids.get(name, name)
        if name not in on_disk and name not in running:
            report.unchanged(id_)
            continue
        before = names.line(name, (stored if name in on_disk else live).get(name))
        done = "no longer routed" if shard is None else f"routed to {shard}"
        report.changed(id_, done, before, names.line(name, [shard] if shard else []), header=params["map"])
    if module.check_mode:
        return

    # The file first: if HAProxy refuses, the next reload makes it right.
    if on_disk:
        whole_list.write(params["map"], names.render(names.merge(stored, target)))
    if running:
        for name, error in carry_out(runtime, live, target).items():
            report.failed(ids.get(name, name), f"in the map file, but not in force: {error}")


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            **whole_list.ARGUMENTS,
            # Thousands of names belong neither into the log nor into the result.
            "fqdns": {"type": "json", "default": "[]", "no_log": True},
            "map": {"type": "path", "default": "/etc/haproxy/maps/hosts.map"},
            "config": {"type": "path", "default": "/etc/haproxy/haproxy.cfg"},
            "socket": {"type": "path", "default": "/run/haproxy/admin.sock"},
            "master_socket": {"type": "path", "default": "/run/haproxy-master.sock"},
            "shards": {"type": "list", "elements": "str"},
        },
        supports_check_mode=True,
    )
    items = json.loads(module.params["fqdns"])
    if not isinstance(items, list):
        module.fail_json(msg="fqdns: must be a list")
    report = whole_list.Report()
    try:
        with whole_list.guard(module):
            converge(module, items, report)
            result = report.result(module._diff, each=bool(module.params["job"]))
            fact.remember(module, result)
    except (whole_list.Stale, RuntimeApiError, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(**result)


if __name__ == "__main__":
    main()
