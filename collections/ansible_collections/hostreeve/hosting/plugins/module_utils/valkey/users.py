# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Users: each instance's ACL file, line by line."""

from __future__ import annotations

import hashlib

from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl, ha
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.plan import Work
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.scratch import Scratch


def plan(plan_, purge):
    """Plan the users of the list, and with purge the removal of those that no item names, by instance."""
    host, wanted = plan_.host, plan_.wanted
    _orphans(plan_)
    _try_rules(plan_)
    instances = {user.instance for user in wanted.users.values() if plan_.ok(user)} | set(plan_.work)
    instances |= host.pending["acl"] | host.pending["restart"] | (set(host.instances) if purge else set())
    for name in sorted(instances):
        work = plan_.work.get(name) or _partial(plan_, name)
        if work and not work.remove:
            _plan_instance(plan_, work, purge)


def _partial(plan_, name):
    """Return the work on an instance that no item names, or None where there is none."""
    host = plan_.host
    item = plan_.wanted.instances.get(name)
    if (
        name not in host.instances
        or name in plan_.wanted.elsewhere
        or (not item and name in host.moved)
        or (not plan_.ok(item) if item else name in plan_.wanted.refused["instances"])
    ):
        return None
    if host.key(name) is None:
        plan_.fail_instance(name, "%s is missing: converge the instance too" % host.key_path(name))
        return None
    restart, account = name in host.pending["restart"] and name in host.running, host.owner(name)
    if account is None:
        plan_.fail_instance(name, "its user is missing: converge the instance too")
        return None
    work = plan_.work[name] = Work(name, host.instances[name][0], account.uid, restart=restart)
    return work


def _orphans(plan_):
    """Fail the users whose instance is not there, or failed before it had children."""
    refused = plan_.wanted.refused["instances"]
    for user in plan_.wanted.users.values():
        name = user.instance
        if user.state == "absent" or not plan_.ok(user):
            continue
        work = plan_.work.get(name)
        if name in refused and name not in plan_.wanted.instances:
            plan_.fail(user, "instance %s failed: %s" % (name, refused[name]))
        elif work.remove if work else name not in plan_.host.instances:
            plan_.fail(user, "instance: there is no instance %s on this host" % name)


def _try_rules(plan_):
    """Fail the users whose own rules Valkey refuses. Presets need no trial."""
    host = plan_.host
    doubtful = []
    for user in plan_.wanted.users.values():
        there = acl.parse(host.acls.get(user.instance), user.instance).get(user.name)
        if user.access == "custom" and plan_.ok(user) and there != _line(plan_, user):
            doubtful.append(user)
    if not doubtful or not host.has_valkey:
        return
    with Scratch() as scratch:
        for user in doubtful:
            reason = scratch.refuses(_line(plan_, user))
            if reason:
                plan_.fail(user, "rules: %s" % reason)


def _line(plan_, user):
    item = plan_.wanted.instances.get(user.instance)
    available = item.highly_available if item else user.instance in plan_.host.available
    return acl.line(user.name, user.password_sha256, user.access, user.rules, available)


def _plan_instance(plan_, work, purge):
    host, name = plan_.host, work.name
    before = acl.parse(host.acls.get(name), name)
    lines = dict(before)
    for user in plan_.wanted.users.values():
        if user.instance == name and plan_.ok(user):
            lines[user.name] = None if user.state == "absent" else _line(plan_, user)
    for user in before if purge else ():
        if user not in plan_.wanted.named:
            lines[user] = None
    for user, line in lines.items():
        _note(plan_, work, user, before.get(user), line)
    lines = work.lines = {user: line for user, line in lines.items() if line is not None}
    text = acl.render(_sha256(work.key or host.key(name) or ""), lines, _replication(plan_, name))
    if text != host.acls.get(name) or work.take:
        # One that does not run is perhaps starting, with the file that it found.
        work.acl, work.load = text, name in host.running or not work.make
        if lines == before and not (work.make or work.take):
            plan_.note(plan_.id("instances", name), "users repaired", header=host.acls(name))
    elif name in host.running and work.users is not None and acl.passwords(work.users) != acl.passwords(text):
        work.load = True
        plan_.note(plan_.id("instances", name), "users loaded", header=host.acls(name))
    if name in host.pending["acl"]:
        # The run that was cut off perhaps ended nobody's connections, and the file does not tell whose it should have.
        work.load, work.kick = True, sorted(lines)


def _replication(plan_, name):
    """Return the line of the user as which the other nodes follow, if there is one."""
    item = plan_.wanted.instances.get(name)
    secret = item.replication_password if item and item.highly_available else None
    if not item and name in plan_.host.available:
        secret = plan_.host.instances[name][1].get("masterauth")
    return [ha.line(_sha256(secret))] if secret else []


def _sha256(text):
    return hashlib.sha256(text.encode()).hexdigest()


def _note(plan_, work, user, before, after):
    if before == after:
        return
    changed = before and after
    message = "changed" if changed else "created" if after else "removed"
    if changed and acl.hash_of(before) != acl.hash_of(after):
        work.kick.append(user)
        message = "password changed"
    shown = [acl.without_secrets(line) + "\n" if line else "" for line in (before, after)]
    plan_.note(plan_.id("users", user), message, *shown, "user " + user)
