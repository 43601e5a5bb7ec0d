#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Makes the tenants, webroots and host names of a web host equal to three lists."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: web_resources
short_description: Make tenants, webroots and host names of a web host equal to lists
version_added: 0.1.0
description:
  - Makes Linux users with their directories and slices, folders to serve, PHP pools and nginx server blocks in one
    process, tests them with C(nginx -t) and C(php-fpm -t) beside the live files, and reloads nginx at most once.
  - An item that is not well-formed, or that a checker refuses, fails alone and keeps its previous version; what depends
    on it (webroots of a tenant, host names of a webroot) fails with it. A failed item does not fail the task.
  - Needs what the role P(hostreeve.hosting.web#role) installs and configures. In check mode it also predicts for a host
    where that has not been done yet.
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
        Keys: C(name) (V(t_) and ten lower-case letters or digits), C(uid), C(limits) (a mapping of C(cpu_percent),
        C(memory_mb) and C(tasks), each optional), C(state) (V(present), the default, V(suspended) or V(absent)) and
        C(id) (what the report calls it; the name by default).
      - A suspended tenant's account is locked, its processes are ended and its sites answer 503; its files stay.
        An absent tenant is removed with everything that it has.
      - A user that Hostreeve did not make is never changed.
    type: json
    default: "[]"
  webroots:
    description:
      - A list of mappings, or the name of a variable that holds it.
      - >-
        Keys: C(name) (V(web_) and ten lower-case letters or digits), C(tenant), C(runtime) (V(static), the default, or
        V(php)), C(public_folder) (V(public) by default), C(env) (environment of its PHP), C(state) (V(present) or
        V(absent)) and C(id).
      - An absent webroot is removed with its files and its server blocks.
    type: json
    default: "[]"
  fqdns:
    description:
      - A list of mappings, or the name of a variable that holds it.
      - >-
        Keys: C(fqdn), C(webroot), C(directives) (text for its server block, as nginx reads it: for operators, never
        from customers), C(state) (V(present) or V(absent)) and C(id).
    type: json
    default: "[]"
  purge:
    description: Remove what Hostreeve made and no item names, also if a list is empty. Strangers' files and users stay.
    type: bool
    default: false
  port:
    description: Port of the server blocks.
    type: int
    default: 80
  ipv6:
    description: Listen on IPv6 as well.
    type: bool
    default: true
  php:
    description: Whether webroots may run PHP.
    type: bool
    default: true
  php_children:
    description: Processes that a pool may have at a time.
    type: int
    default: 10
  php_idle_seconds:
    description: Seconds after which an idle process of a pool ends.
    type: int
    default: 30
  php_max_requests:
    description: Requests after which a process of a pool is replaced.
    type: int
    default: 500
attributes:
  check_mode:
    support: full
    description: Reports exactly what a run would change, and tests it.
  diff_mode:
    support: full
    description: Shows the files; values of environments are left out.
"""

EXAMPLES = r"""
- name: Serve a site
  hostreeve.hosting.web_resources:
    tenants:
      - {name: t_abcdefghij, uid: 200001, limits: {cpu_percent: 50, memory_mb: 256}}
    webroots:
      - {name: web_abcdefghij, tenant: t_abcdefghij, runtime: php, env: {APP_ENV: production}}
    fqdns:
      - {fqdn: www.example.com, webroot: web_abcdefghij}

- name: Make a host equal to long lists
  hostreeve.hosting.web_resources:
    tenants: web_tenants
    webroots: web_webroots
    fqdns: web_fqdns
    purge: true
"""

RETURN = r"""
resources:
  description: What changed or failed, by id. What was removed without an item is called by its name.
  returned: always
  type: dict
  sample: {www.example.com: {changed: true, failed: false, msg: served}}
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

import json
import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.host import Host
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.run import converge

LISTS = ("tenants", "webroots", "fqdns")
SETTINGS = {"port": 80, "ipv6": True, "php": True, "php_children": 10, "php_idle_seconds": 30, "php_max_requests": 500}


def main():
    """Run the module."""
    spec = {name: {"type": type(default).__name__, "default": default} for name, default in SETTINGS.items()}
    # Environments hold secrets, and thousands of items do not belong into the log.
    spec.update({name: {"type": "json", "default": "[]", "no_log": True} for name in LISTS})
    module = AnsibleModule({**whole_list.ARGUMENTS, **spec}, supports_check_mode=True)
    lists = {name: json.loads(module.params[name]) for name in LISTS}
    for name, rows in lists.items():
        if not isinstance(rows, list):
            module.fail_json(msg="%s: must be a list" % name)
    host = Host()
    if not module.check_mode and not (host.has_nginx and os.path.isdir(host.sites.path)):
        module.fail_json(msg="this is not a web host yet: run the whole role first")
    settings = {name: module.params[name] for name in SETTINGS}
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
