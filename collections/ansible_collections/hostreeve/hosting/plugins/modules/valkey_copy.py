#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps by which a Valkey instance moves to another shard."""

from __future__ import annotations

DOCUMENTATION = r"""
---
module: valkey_copy
short_description: Copy a Valkey instance to another host while it is in service, and shut it where it was
version_added: 0.3.0
description:
  - One step of C(playbooks/move_valkey.yml). The host where the instance goes follows it as a replica, and keeps what
    came as a snapshot once it was found equal while writes waited. The first converge that lists the instance there
    begins with that.
  - An instance that was shut keeps its data, is not purged, and runs again as soon as a list names it there.
author:
  - Hostreeve maintainers
extends_documentation_fragment:
  - hostreeve.hosting.run
options:
  step:
    description:
      - On the target, V(prepare) makes room for a copy, V(follow) lets it follow the source if there
        is memory for it, V(take) lets it begin with
        a snapshot that was fetched instead, V(finish) compares and keeps it, V(discard) removes it.
      - On the source, V(offer) lets the target follow, V(close) lets writes wait, V(save) writes a snapshot, V(shut)
        stops the instance, V(reopen) undoes all of that, V(withdraw) ends V(offer).
    type: str
    choices: [prepare, follow, take, finish, discard, offer, close, save, shut, reopen, withdraw]
    required: true
  instance:
    description: Name of the instance.
    type: str
    required: true
  password_hash:
    description: What V(prepare) returned. Needed with O(step=offer).
    type: str
  source:
    description: Address of the source. Needed with O(step=follow).
    type: str
  port:
    description: What V(offer) returned. Needed with O(step=follow).
    type: int
  memory_mb:
    description: MiB of data that the instance may hold, as V(offer) returned. Needed with O(step=follow).
    type: int
  memory_percent:
    description:
      - Share of the host's memory that the instances on it may have together, in percent. Needed with O(step=follow),
        which copies nothing if this one would be too much.
    type: int
  compare_seconds:
    description:
      - Seconds that comparing takes, as V(follow) returned; 0 where nobody knows. With O(step=close), which lets nobody
        wait if that is more than a third of O(seconds).
    type: float
    default: 0
  closed:
    description: What V(close) returned. Needed with O(step=finish) and O(step=shut).
    type: dict
  seconds:
    description: Seconds for which writes may wait. If it would take longer, nothing is moved.
    type: int
    default: 60
attributes:
  check_mode:
    description: The steps are for real runs.
    support: none
  diff_mode:
    description: There is none.
    support: none
"""

EXAMPLES = r"""
- name: Take writes again
  hostreeve.hosting.valkey_copy:
    step: reopen
    instance: kv_abcdefghij
"""

RETURN = r"""
answer:
  description: What a step has to say to a later one, or in the end.
  returned: always
  type: raw
  sample: {keys: 1200, expiring: 300, bytes: 102400}
progress:
  description: How far the move is, after the steps that begin something long.
  returned: with O(step=offer), O(step=close) and O(step=finish)
  type: dict
  sample: {phase: copying}
"""

import ipaddress

from ansible.module_utils.basic import AnsibleModule
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import moving
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import Host

STEPS = ("prepare", "follow", "take", "finish", "discard", "offer", "close", "save", "shut", "reopen", "withdraw")
#: What a move is at after a step.
PHASES = {"offer": "copying", "close": "locking", "finish": "verified"}


def take_step(params):
    """Do one step and return its answer."""
    host, name, step = Host(), grammar.valkey_name(params["instance"]), params["step"]
    copy, closed = moving.Copy(host, name), params["closed"]
    steps = {
        "prepare": copy.prepare,
        "follow": lambda: copy.follow(
            str(ipaddress.ip_address(params["source"])),
            int(params["port"]),
            int(params["memory_mb"]),
            int(params["memory_percent"]),
        ),
        "take": copy.take,
        "finish": lambda: copy.finish(closed, params["seconds"]),
        "discard": copy.discard,
        "offer": lambda: moving.offer(host, name, grammar.sha256(params["password_hash"])),
        "close": lambda: moving.close(host, name, params["seconds"], params["compare_seconds"]),
        "save": lambda: moving.save(host, name),
        "shut": lambda: moving.shut(host, name, closed["began"], params["seconds"]),
        "reopen": lambda: moving.reopen(host, name),
        "withdraw": lambda: moving.withdraw(host, name),
    }
    return steps[step]()


def main():
    """Run the module."""
    module = AnsibleModule(
        {
            "step": {"required": True, "choices": list(STEPS)},
            "instance": {"required": True},
            "password_hash": {"no_log": True},
            "source": {},
            "port": {"type": "int"},
            "memory_mb": {"type": "int"},
            "memory_percent": {"type": "int"},
            "compare_seconds": {"type": "float", "default": 0},
            "closed": {"type": "dict"},
            "seconds": {"type": "int", "default": 60},
            "job": whole_list.ARGUMENTS["job"],
            "fence": whole_list.ARGUMENTS["fence"],
        }
    )
    try:
        with whole_list.guard(module):
            answer = take_step(module.params)
    except (whole_list.Stale, OSError, ValkeyError, ValueError, KeyError, TypeError) as error:
        module.fail_json(msg="%s: %s" % (module.params["step"], error))
    phase = PHASES.get(module.params["step"])
    module.exit_json(changed=True, answer=answer, **({"progress": {"phase": phase}} if phase else {}))


if __name__ == "__main__":
    main()
