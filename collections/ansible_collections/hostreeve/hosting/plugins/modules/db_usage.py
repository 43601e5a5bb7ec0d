#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the databases and users of a MariaDB host use."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: db_usage
short_description: Read what databases and their users use
version_added: 0.2.0
description:
  - Reads the sizes, connections and counters of all databases and users of ours, over one connection through the
    socket. Changes nothing, and opens no table.
  - C(disk_bytes) is the size of a database's files, of all engines. C(rows), C(data_bytes) and C(index_bytes) are
    InnoDB's estimates, and of its tables alone.
  - C(queries), C(busy_ms), C(cpu_ms), C(connections_total), C(received_bytes) and C(sent_bytes) are there if the server
    counts them (C(userstat)). They begin at 0 when it starts.
author:
  - Hostreeve maintainers (@hostreeve)
options:
  dumps:
    description: Directory of the last dumps of databases that were dropped.
    type: path
    default: /var/lib/hostreeve/dropped-databases
requirements:
  - PyMySQL
attributes:
  check_mode:
    support: full
    description: Reads as well.
  diff_mode:
    support: none
    description: There is nothing that changes.
"""

EXAMPLES = r"""
- name: Read what databases use
  hostreeve.hosting.db_usage:
  register: db_usage
"""

RETURN = r"""
usage:
  description: By name, what each database and each user uses, and the server; C(state) is V(up).
  returned: success
  type: dict
  sample:
    databases:
      db_a1b2c3d4e5: {state: up, disk_bytes: 262144, data_bytes: 16384, index_bytes: 0, rows: 3, tables: 1,
                      connections: 2, active: 1, queries: 17}
    users:
      db_a1b2c3d4e5_app: {state: up, connections: 2, active: 1, queries: 17}
    server: {connections: 5, connections_most: 400, dumps: 1, dumps_bytes: 4096}
"""

import traceback

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import usage
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import Client, ServerError


def main():
    """Run the module."""
    spec = {"dumps": {"type": "path", "default": "/var/lib/hostreeve/dropped-databases"}}
    module = AnsibleModule(spec, supports_check_mode=True)
    try:
        found = usage.read(Client(), module.params["dumps"])
    except (ServerError, OSError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=traceback.format_exc())
    for name in ("databases", "users"):
        for fields in found[name].values():
            fields["state"] = "up"
    module.exit_json(changed=False, usage=found)


if __name__ == "__main__":
    main()
