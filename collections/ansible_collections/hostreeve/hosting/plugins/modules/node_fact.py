#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fact file of a node: what manages it, and the job that last did."""

from __future__ import annotations

DOCUMENTATION = r"""
module: node_fact
short_description: Note what manages this host in a local fact
description:
  - Merges keys into C(/etc/ansible/facts.d/hostreeve.fact), which Ansible shows as C(ansible_local.hostreeve) and a
    person can read. Keys that are not named stay as they are, such as the C(last_job) of the whole-list modules.
  - A file that does not hold a JSON object is replaced.
version_added: 0.1.0
author:
  - Hostreeve maintainers (@hostreeve)
extends_documentation_fragment:
  - hostreeve.hosting.run
  - hostreeve.hosting.run.noted
options:
  facts:
    description: Keys to set. The value V(null) removes a key.
    type: dict
    default: {}
attributes:
  check_mode:
    description: "Predicts the result, but for the job: one that only looks is not noted."
    support: full
  diff_mode:
    description: Shows the file before and after.
    support: full
"""

EXAMPLES = r"""
- name: Note what manages this host
  hostreeve.hosting.node_fact:
    facts:
      managed_by: hostreeve
      roles: [web]
    job: "{{ hostreeve_job_id | default('') }}"
"""

RETURN = r"""
facts:
  description: What the file holds afterwards.
  type: dict
  returned: success
  sample: {managed_by: hostreeve, roles: [web], last_job: 0b6f}
"""

import os

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list


def merge(held, facts, job, audit_head=""):
    """Return the held facts with these set (None removes), and the job noted, if there is one."""
    wanted = {**held, **facts}
    if job:
        wanted = fact.stamp(wanted, job, audit_head)
    return {key: value for key, value in wanted.items() if value is not None}


def main():
    module = AnsibleModule(
        {
            "facts": {"type": "dict", "default": {}},
            **{name: whole_list.ARGUMENTS[name] for name in ("job", "audit_head", "fence")},
        },
        supports_check_mode=True,
    )
    path = fact.PATH
    try:
        # The lock, because the whole-list modules note their job in the same file.
        with whole_list.guard(module):
            before = whole_list.read(path)
            # A job that only looks leaves no trace, and predicts none: every look would find a change.
            job = None if module.check_mode else module.params["job"]
            facts = merge(fact.parse(before), module.params["facts"], job, module.params["audit_head"])
            after = fact.render(facts)
            if after != before and not module.check_mode:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                whole_list.write(path, after)
    except (whole_list.Stale, OSError) as error:
        module.fail_json(msg=str(error))
    module.exit_json(
        changed=after != before,
        facts=facts,
        diff={"before_header": path, "after_header": path, "before": before or "", "after": after},
    )


if __name__ == "__main__":
    main()
