#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the Valkey instances of a host use."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: valkey_usage
short_description: Read what Valkey instances use
version_added: 0.2.0
description:
  - Asks all instances of ours on the host, some at a time. Changes nothing.
  - An instance that is suspended, or does not answer, is told as such and holds up no other.
author:
  - Hostreeve maintainers (@hostreeve)
options: {}
attributes:
  check_mode:
    support: full
    description: Reads as well.
  diff_mode:
    support: none
    description: There is nothing that changes.
"""

EXAMPLES = r"""
- name: Read what instances use
  hostreeve.hosting.valkey_usage:
  register: valkey_usage
"""

RETURN = r"""
usage:
  description:
    - By name, what each instance uses; C(state) is V(up), V(replica), V(suspended) or
      V(down); of the last, C(msg) says why.
    - C(evicted), C(hits), C(misses), C(commands) and C(rejected) begin at 0 when the instance starts.
  returned: success
  type: dict
  sample:
    instances:
      kv_a1b2c3d4e5: {state: up, memory_bytes: 1048576, memory_most_bytes: 67108864, rss_bytes: 9437184, keys: 12,
                      evicted: 0, hits: 5, misses: 1, commands: 40, commands_per_second: 0, connections: 1, rejected: 0,
                      disk_bytes: 4096}
"""

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import usage
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import Host


def main():
    """Run the module."""
    module = AnsibleModule({}, supports_check_mode=True)
    host = Host()
    try:
        found = usage.read(host)
    except OSError as error:
        module.fail_json(msg=str(error))
    module.exit_json(changed=False, usage={"instances": found})


if __name__ == "__main__":
    main()
