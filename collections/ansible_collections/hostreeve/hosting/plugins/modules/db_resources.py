#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The whole-list module of the database servers."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_resources
short_description: Make the databases and users of a MariaDB shard equal to lists
description:
  - Makes databases and users on a primary, over one connection through its socket. The same lists go to the replicas,
    which change nothing and report what has reached them.
  - Every item is checked on its own. One that is refused is reported as failed, stays as it is, and leaves the others
    alone.
  - A database that is dropped leaves a last dump, and its users go with it. Users that are suspended or dropped lose
    their connections.
  - Databases that Hostreeve did not make (without its comment) are never touched, and refused if they stand in the
    list.
version_added: 0.2.0
author:
  - Hostreeve maintainers (@hostreeve)
extends_documentation_fragment:
  - hostreeve.hosting.run
  - hostreeve.hosting.run.noted
options:
  databases:
    description:
      - The databases, each a mapping of C(name) (C(db_) and ten lower-case letters or digits), C(charset),
        C(collation), C(state) (V(present), the default, or V(absent)) and C(id) (what the result calls it; the name by
        default).
      - A list, or (faster for thousands) the name of a variable that holds it.
    type: json
    default: "[]"
  users:
    description:
      - The users, each a mapping of C(name) (begins with its database's name), C(database), C(privileges) (V(all), the
        default, or V(read-only)), C(hosts) (addresses, IPv4 networks, or C(%)), C(password) or C(password_hash),
        C(state) (V(present), the default, V(suspended) or V(absent)) and C(id).
      - A list, or the name of a variable that holds it.
    type: json
    default: "[]"
  mode:
    description: Whether this host makes the databases or replicates them.
    type: str
    choices: [primary, replica]
    required: true
  wait:
    description: Seconds that a replica waits for what the primary was given.
    type: float
    default: 10
  purge:
    description: Remove the databases and users of ours that are not in the lists.
    type: bool
    default: false
  dumps:
    description: Directory of the last dumps.
    type: path
    default: /var/lib/hostreeve/dropped-databases
requirements:
  - PyMySQL
attributes:
  check_mode:
    description:
      - Predicts the result, also on a host without MariaDB. A replica counts on the primary to be given the lists.
    support: full
  diff_mode:
    description: Shows at most 200 changes, without passwords.
    support: full
"""

EXAMPLES = r"""
- name: Make a database and a user of it
  hostreeve.hosting.db_resources:
    mode: primary
    databases:
      - {name: db_a1b2c3d4e5, charset: utf8mb4}
    users:
      - name: db_a1b2c3d4e5_app
        hosts: [10.0.0.0/24]
        password: "{{ vault_shop_password }}"

- name: Make these databases and no others
  hostreeve.hosting.db_resources:
    mode: primary
    databases: db_databases
    users: db_users
    purge: true
"""

RETURN = r"""
resources:
  description: What changed or failed, by id.
  type: dict
  returned: always
  sample: {db_a1b2c3d4e5: {changed: true, failed: false, msg: created}}
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
import os
import time
import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import apply, live, plan, source, wanted
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import (
    SOCKET,
    UNIT,
    ServerError,
    is_passing,
    when_started,
)

POLL = 0.1  # seconds between two looks at a replica
ROLE = "hostreeve-db-role.service"


def changes(asked, have, report):
    """Yield (id, change) of every item, databases that come first and those that go last; report what is refused.

    A generator, so that a user's database is there, or has failed, when its turn comes.
    """
    for item in [each for each in asked.databases.values() if each.present]:
        yield from _one(item, plan.database, have, report)
    gone = {name for name, item in asked.databases.items() if not item.present}
    for item in asked.users.values():
        made = asked.databases.get(item.database)
        there = have.is_ours(item.database) if made is None else made.present and not report.is_failed(made.id)
        if item.state != "absent" and (item.database in gone or not there):
            report.failed(item.id, "database: there is no database %s" % item.database)
            continue
        yield from _one(item, plan.user, have, report)
    for name in gone:
        yield from _one(asked.databases[name], plan.database, have, report)


def _one(item, make, have, report):
    try:
        yield item.id, make(item, have)
    except ValueError as error:
        report.failed(item.id, str(error))


def surplus(asked, have):
    """Yield (id, change) of what is ours and in no list; a database takes its users along."""
    dropped = set()
    for name, (_charset, _collation, comment) in sorted(have.databases.items()):
        if comment == live.MARK and name not in asked.claimed:
            yield name, plan.database(wanted.Database(name, name, False), have)
            dropped.add(name)
    for name in sorted(have.accounts):
        if name not in asked.claimed and wanted.is_ours(name) and name[:13] not in dropped:
            change = plan.Change()
            plan.drop_user(change, name, have, "dropped: not in the list")
            yield name, change


def opens(client, seconds):
    """Tell whether the server takes writes, or will within some seconds: one that has just started asks the others."""
    end = time.monotonic() + seconds
    while client.value("SELECT @@GLOBAL.read_only") and is_passing(UNIT, ROLE) and time.monotonic() < end:
        time.sleep(POLL)
    return not client.value("SELECT @@GLOBAL.read_only")


def on_primary(module, client, asked, report):
    """Make the items as wanted and report them."""
    have = live.read(client) if client else live.Live()
    if client and not module.check_mode and not opens(client, module.params["wait"]):
        raise ServerError("this server takes no writes: it is not the primary, or waits for the others of its shard")
    if client and not module.check_mode:
        # No copy goes on beside this run: what is left of one that broke off must not read any longer.
        source.drop_accounts(client)
    for id_, change in changes(asked, have, report):
        settle(module, client, id_, change, report)
    for id_, change in surplus(asked, have) if module.params["purge"] else ():
        settle(module, client, id_, change, report)


def settle(module, client, id_, change, report):
    """Carry one change out, and report it."""
    if not change:
        report.unchanged(id_)
        if change.kill and client and not module.check_mode:
            apply.end_connections(client, change.kill)
        return
    try:
        if not module.check_mode:
            apply.carry_out(client, change, module.params["dumps"])
    except (ServerError, OSError) as error:
        report.failed(id_, str(error))
        return
    report.changed(id_, ", ".join(change.words), change.before, change.after)


def on_replica(module, client, asked, report):
    """Report what has reached this replica. What changes does so on the primary, and counts there only."""
    deadline = time.monotonic() + module.params["wait"]
    while True:
        # Only the last look counts.
        seen = whole_list.Report()
        found = list(changes(asked, live.read(client) if client else live.Live(), seen))
        late = [id_ for id_, change in found if change]
        if not late or module.check_mode or time.monotonic() > deadline:
            break
        time.sleep(POLL)
    for id_, entry in seen.result()["resources"].items():
        report.failed(id_, entry["msg"])
    for id_, change in found:
        if change and not module.check_mode:
            report.failed(id_, "has not come from the primary within %g seconds" % module.params["wait"])
        else:
            report.unchanged(id_)
        if client and not module.check_mode:
            apply.end_connections(client, change.kill)


def main():
    module = AnsibleModule(
        {
            **whole_list.ARGUMENTS,
            # Thousands of items, and the secrets in them, belong neither into the log nor into the result.
            "databases": {"type": "json", "default": "[]", "no_log": True},
            "users": {"type": "json", "default": "[]", "no_log": True},
            "mode": {"choices": ["primary", "replica"], "required": True},
            "wait": {"type": "float", "default": 10},
            "dumps": {"type": "path", "default": "/var/lib/hostreeve/dropped-databases"},
        },
        supports_check_mode=True,
    )
    lists = [json.loads(module.params[name]) for name in ("databases", "users")]
    if not all(isinstance(items, list) for items in lists):
        module.fail_json(msg="databases and users: must be lists")
    report = whole_list.Report()
    try:
        with whole_list.guard(module):
            client = None if module.check_mode and not os.path.exists(SOCKET) else when_started()
            asked = wanted.read(*lists, report)
            converge = on_primary if module.params["mode"] == "primary" else on_replica
            converge(module, client, asked, report)
            result = report.result(module._diff, each=bool(module.params["job"]))
            fact.remember(module, result)
    except (whole_list.Stale, ServerError, OSError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=traceback.format_exc())
    module.exit_json(**result)


if __name__ == "__main__":
    main()
