# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Sentinels: what becomes of each instance's own, planned from its files and from what it says.

Who is the primary is theirs to say: nothing here sets it, but for the first start.
"""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import shutil
import subprocess
from dataclasses import dataclass, field

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import lstat
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import ha, observe, owners, tenants
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import SENTINEL


@dataclass
class Work:
    """What happens to one Sentinel. Texts are None where the file stays as it is."""

    nodes: str | None = None
    acl: str | None = None
    drop_in: str | None = None
    #: it begins anew, from what the others know
    seed: bool = False
    start: bool = False
    load: bool = False
    set: dict = field(default_factory=dict)
    #: it forgets nodes that are gone
    reset: bool = False

    def __bool__(self):
        """Tell whether anything is to be done."""
        texts = any(text is not None for text in (self.nodes, self.acl, self.drop_in))
        return texts or any((self.seed, self.start, self.load, self.set, self.reset))


def plan(plan_):
    """Plan the Sentinels of the instances that the run touches."""
    items = {}
    for name, work in plan_.work.items():
        item = plan_.wanted.instances.get(name)
        on = item.highly_available if item else name in plan_.host.available
        if on and not work.remove:
            items[name] = item
    ask = [name for name, item in items.items() if item and name in plan_.host.sentinels and not plan_.work[name].stop]
    seen = observe.many(ask, lambda name: _observe(plan_, name))
    for name, item in items.items():
        plan_.work[name].sentinel = _plan(plan_, plan_.work[name], item, seen.get(name)) or None


def _observe(plan_, name):
    """Return ({option: value}, whether it knows nodes that are gone) of a running Sentinel."""
    here = set(plan_.wanted.nodes.values())
    with plan_.host.sentinel_admin(name) as client:
        options = client.pairs("SENTINEL", "MASTER", name)
        others = [dict(zip(one[::2], one[1::2], strict=True)) for what in ("SENTINELS", "REPLICAS")
                  for one in client("SENTINEL", what, name)]  # fmt: skip
    return options, any(one["ip"] not in here and "s_down" in one["flags"] for one in others)


def _plan(plan_, work, item, seen):
    host, name, found = plan_.host, work.name, Work()
    before = whole_list.read(host.nodes_path(name))
    after = ha.nodes(item, plan_.wanted.here, plan_.wanted.nodes) if item else before
    if after is None:
        return found
    if after != before:
        found.nodes = after
        if before is not None:
            plan_.note(item.id, "nodes")
    key, secret = work.key or host.key(name) or "", json.loads(after)["password"]
    text = ha.sentinel_acl(name, _sha256(key), work.lines, _sha256(secret))
    if text != whole_list.read(host.sentinel_acl_path(name)) or work.take:
        found.acl, found.load = text, name in host.sentinels
    if not item:
        found.start = work.start
        return found
    text = ha.sentinel_drop_in(name, item.tenant)
    if text != whole_list.read(host.sentinel_drop_in_path(name)):
        found.drop_in = text
    status = lstat(os.path.join(ha.state(name), "sentinel.conf")) if host.root == "/" else None
    found.seed = status is None or status.st_uid != work.uid
    if work.stop or tenants.suspended(plan_, item.tenant):
        found.seed = found.load = False
        return found
    if name in host.sentinels:
        _compare(plan_, item, found, seen)
    else:
        found.start = True
        if not (work.make or work.start):
            plan_.note(item.id, "Sentinel started")
    return found


def _compare(plan_, item, found, seen):
    """Plan what a running Sentinel is told."""
    if isinstance(seen, Exception):
        found.seed = True
        plan_.note(item.id, "Sentinel made anew: %s" % seen)
        return
    options, strangers = seen
    wanted = {"quorum": ha.quorum(len(plan_.wanted.nodes)), **ha.TIMES}
    found.set = {one: value for one, value in wanted.items() if options.get(one) != value}
    found.reset = strangers and options.get("flags") == "master"
    if found.set or found.reset:
        plan_.note(item.id, "Sentinel changed")


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


# Applying


def write(host, work):
    """Write the files of a Sentinel."""
    found = work.sentinel
    if found.nodes is not None:
        whole_list.write(host.nodes_path(work.name), found.nodes, 0o600)
    if found.acl is not None:
        whole_list.write(host.sentinel_acl_path(work.name), found.acl, 0o640, gid=work.uid or host.owner(work.name).gid)
    if found.drop_in is not None:
        tenants.write_drop_in(host.sentinel_drop_in_path(work.name), found.drop_in)


def start(plan_, listen):
    """Start Sentinels, seeded where they are new, before their instances: those ask them. Then tell those that run."""
    host = plan_.host
    todo = {name: work.sentinel for name, work in plan_.work.items() if work.sentinel and not work.stop}
    seeds = [name for name, found in todo.items() if found.seed]
    SENTINEL.stop(set(seeds) & host.sentinels)
    for name in seeds:
        try:
            _seed(host, name, listen)
        except OSError as error:
            plan_.fail_instance(name, "Sentinel: %s" % error)
    names = {name for name, found in todo.items() if (found.start or found.seed) and name in plan_.work}
    for name in names:
        SENTINEL.enable(host.sentinel_wants_path(name), True)
    for name in sorted(SENTINEL.start(names)):
        plan_.fail_instance(name, "%s does not start; its journal says why" % SENTINEL.unit(name))
    for name, found in todo.items():
        if name in plan_.work and name not in names and (found.load or found.set or found.reset):
            _tell(plan_, name, found)


def _seed(host, name, listen):
    """Let a Sentinel begin with what the others know; OSError where it cannot."""
    known = json.loads(whole_list.read(host.nodes_path(name)))
    done = subprocess.run(
        ["/usr/bin/python3", "-I", ha.HELPER, "primary", name], capture_output=True, text=True, check=False
    )
    primary = done.stdout.strip()
    if primary not in known["nodes"]:
        raise OSError(done.stderr.strip()[-300:] or "the primary %s is none of the nodes" % primary)
    account = type(host)().owner(name)  # as it is now: perhaps it was made a moment ago
    if account is None:
        raise OSError("it has no user")
    owners.folder(ha.state(name), account.uid)
    text = ha.seed(known, primary, listen)

    def put():
        path = os.path.join(ha.state(name), "sentinel.conf")
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
        with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as handle:
            handle.write(text)

    error = accounts.run_as(account.uid, put)
    if error:
        raise OSError(error)


def _tell(plan_, name, found):
    try:
        with plan_.host.sentinel_admin(name) as client:
            if found.load:
                client("ACL", "LOAD")
            for option, value in found.set.items():
                client("SENTINEL", "SET", name, option, value)
            if found.reset:
                client("SENTINEL", "RESET", name)
    except (ValkeyError, OSError) as error:
        plan_.fail_instance(name, "Sentinel: %s" % error)


def stop(host, names):
    """Stop Sentinels before their instances, or they would make another node the primary."""
    SENTINEL.stop(set(names) & host.sentinels)
    for name in names:
        SENTINEL.enable(host.sentinel_wants_path(name), False)


def remove(host, name):
    """Remove all that a Sentinel had."""
    tenants.write_drop_in(host.sentinel_drop_in_path(name), None)
    shutil.rmtree(ha.state(name), ignore_errors=True)
    for path in (host.sentinel_acl_path(name), host.nodes_path(name), "%s/%s.conf" % (ha.ROLES, name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
