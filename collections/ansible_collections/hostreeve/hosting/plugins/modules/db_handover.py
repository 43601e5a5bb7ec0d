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
extends_documentation_fragment:
  - hostreeve.hosting.run
options:
  step:
    description:
      - V(close) takes no more writes, ends the connections of clients and tells the position.
      - V(reopen) takes writes again, after a switchover that did not come to its end.
      - V(position) tells how far a replica is, with what it has received and not applied yet.
      - V(catch_up) waits until O(position) is applied.
      - V(look) only tells what the server is; one that does not run is no error.
    type: str
    choices: [close, reopen, position, catch_up, look]
    required: true
  position:
    description: A GTID position to wait for. Needed with O(step=catch_up).
    type: str
  seconds:
    description: Seconds to wait. With O(step=close), for clients that stand in the way; their connections are ended.
    type: float
    default: 30
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
up:
  description: Whether the server answers.
  type: bool
  returned: success
open:
  description: Whether it takes writes as a primary does.
  type: bool
  returned: success
follows:
  description: Address of the server that it replicates from, or is set up to; empty if there is none.
  type: str
  returned: success
  sample: 192.0.2.11
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import closing
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import Client, ServerError

#: Opens a primary that has started.
ROLE = "hostreeve-db-role.service"


def describe(db):
    """Return what the server is and how far: what it has applied or, on a replica, received."""
    slave = next(iter(db.rows("SHOW SLAVE STATUS")), {})
    row = db.rows("SELECT @@GLOBAL.read_only AS closed, @@GLOBAL.gtid_current_pos AS position")[0]
    return {
        "up": True,
        "open": not row["closed"] and not slave,
        "follows": slave.get("Master_Host", ""),
        "position": slave.get("Gtid_IO_Pos") or row["position"],
    }


def close(module, db):
    """Take no more writes, and end the connections of clients."""
    closed = bool(db.value("SELECT @@GLOBAL.read_only"))
    if not module.check_mode:
        # It has read which server shall be the primary, and may be about to open this one.
        module.run_command(["systemctl", "stop", ROLE])
        closing.close(db, module.params["seconds"])
        closing.end_clients(db)
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
            "step": {"choices": ["close", "reopen", "position", "catch_up", "look"], "required": True},
            "position": {},
            "seconds": {"type": "float", "default": 30},
            **{name: whole_list.ARGUMENTS[name] for name in ("job", "fence")},
        },
        required_if=[("step", "catch_up", ("position",))],
        supports_check_mode=True,
    )
    steps = {"close": close, "reopen": reopen, "catch_up": catch_up}
    step = module.params["step"]
    try:
        with whole_list.guard(module):
            try:
                db = Client()
            except ServerError:
                if step != "look":
                    raise
                module.exit_json(changed=False, up=False, open=False, follows="", position="")
            changed = step in steps and steps[step](module, db)
            found = describe(db)
    except (whole_list.Stale, ServerError, OSError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=traceback.format_exc())
    module.exit_json(changed=changed, **found)


if __name__ == "__main__":
    main()
