#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps by which writes move from one database server to another."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_handover
short_description: Close a primary, or let a replica catch up, before another server becomes the primary
description:
  - One step of C(playbooks/switchover.yml) or C(playbooks/failover.yml); M(hostreeve.hosting.db_server) then promotes.
version_added: 0.2.0
author:
  - Hostreeve maintainers (@hostreeve)
options:
  step:
    description:
      - V(close) takes no more writes, ends the connections of clients and tells the position.
      - V(reopen) takes writes again, after a switchover that did not come to its end.
      - V(position) tells how far a replica is, with what it has received and not applied yet.
      - V(catch_up) waits until O(position) is applied.
    type: str
    choices: [close, reopen, position, catch_up]
    required: true
  position:
    description: A GTID position to wait for. Needed with O(step=catch_up).
    type: str
  seconds:
    description: Seconds to wait.
    type: float
    default: 30
  job:
    description: The job that runs.
    type: str
  fence:
    description: Fencing token of the run's lease. A token older than one this host has seen is refused.
    type: int
requirements:
  - PyMySQL
attributes:
  check_mode:
    description: Only looks.
    support: full
  diff_mode:
    description: There is none.
    support: none
"""

EXAMPLES = r"""
- name: Take no more writes
  hostreeve.hosting.db_handover:
    step: close
  register: closed

- name: Have all that was written
  hostreeve.hosting.db_handover:
    step: catch_up
    position: "{{ closed.position }}"
"""

RETURN = r"""
position:
  description: How far the server is, as a GTID position.
  type: str
  returned: success
  sample: 0-1-42
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import Client, ServerError

#: Connections that are not a client's.
OWN = ("system user", "event_scheduler", "root", "hostreeve_replication", "prometheus")


def position(db):
    """Return how far the server is: what it has applied or, on a replica, received."""
    slave = db.rows("SHOW SLAVE STATUS")
    return (slave[0]["Gtid_IO_Pos"] if slave else "") or db.value("SELECT @@GLOBAL.gtid_current_pos")


def close(module, db):
    """Take no more writes. A commit that is under way ends first; what is not committed by then never was."""
    closed = bool(db.value("SELECT @@GLOBAL.read_only"))
    if not module.check_mode:
        db.run("SET GLOBAL read_only = ON")
        for row in db.rows("SELECT ID FROM information_schema.PROCESSLIST WHERE USER NOT IN %s", list(OWN)):
            try:
                db.run("KILL %s", row["ID"])
            except ServerError:
                continue  # it has ended by itself
    return not closed


def reopen(module, db):
    """Take writes again."""
    if db.rows("SHOW SLAVE STATUS"):
        raise ServerError("this server is a replica")
    if not module.check_mode:
        db.run("SET GLOBAL read_only = OFF")
    return True


def catch_up(module, db):
    """Wait until a position is applied; changes nothing."""
    wanted, seconds = module.params["position"], module.params["seconds"]
    if wanted and not module.check_mode and db.value("SELECT MASTER_GTID_WAIT(%s, %s)", wanted, seconds) != 0:
        raise ServerError("has not applied %s within %g seconds" % (wanted, seconds))
    return False


def main():
    module = AnsibleModule(
        {
            "step": {"choices": ["close", "reopen", "position", "catch_up"], "required": True},
            "position": {},
            "seconds": {"type": "float", "default": 30},
            **{name: whole_list.ARGUMENTS[name] for name in ("job", "fence")},
        },
        required_if=[("step", "catch_up", ("position",))],
        supports_check_mode=True,
    )
    steps = {"close": close, "reopen": reopen, "catch_up": catch_up, "position": lambda _module, _db: False}
    try:
        with whole_list.guard(module):
            db = Client()
            changed = steps[module.params["step"]](module, db)
            where = position(db)
    except (whole_list.Stale, ServerError, OSError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=traceback.format_exc())
    module.exit_json(changed=changed, position=where)


if __name__ == "__main__":
    main()
