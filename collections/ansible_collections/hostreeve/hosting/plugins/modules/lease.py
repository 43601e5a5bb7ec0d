#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The documentation of the action plugin of the same name; nothing runs on a host."""

from __future__ import annotations

DOCUMENTATION = r"""
module: lease
short_description: Go on only with hosts that no other run works on
description:
  - With the inventory of the platform's API, takes the leases of all hosts of the play. A host that a job or another
    terminal run holds fails with the name of its holder before anything is changed on it.
  - The leases are held until C(ansible-playbook) ends. Their tokens go to the hosts as C(hostreeve_fence), and the
    desired state is read again under them, so that it is not older than what is on the hosts.
  - Is skipped with any other inventory, within a job, whose worker holds the leases, and in check mode.
  - Needs the callback P(hostreeve.hosting.lease#callback), and a key with the scope C(lease:write).
notes:
  - Stands first in a run and has no condition. Whole-list modules of a run that should hold a lease and does not are
    refused by the host.
version_added: 0.1.0
author:
  - Hostreeve maintainers (@hostreeve)
attributes:
  check_mode:
    description: Takes no lease.
    support: full
  diff_mode:
    description: There is nothing to show.
    support: none
"""

EXAMPLES = r"""
- name: Change web hosts
  hosts: web
  gather_facts: false
  tasks:
    - name: Refuse hosts that another run works on
      hostreeve.hosting.lease:

    - name: Make the resources equal to the list
      ansible.builtin.import_role:
        name: hostreeve.hosting.web
        tasks_from: converge
"""

RETURN = r"""
token:
  description: Fencing token of the host's lease.
  type: int
  returned: success
  sample: 1767225600
"""
