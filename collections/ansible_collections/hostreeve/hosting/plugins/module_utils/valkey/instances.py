# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Instances: what becomes of each, planned from its files and from the running Valkey."""

from __future__ import annotations

import secrets
from datetime import UTC, datetime, timedelta

from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import MARK, lstat
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config, ha, memory, owners, tenants
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.observe import observe
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.plan import Work

#: What Valkey says to somebody that it does not know.
STRANGER = ("WRONGPASS", "NOAUTH", "NOPERM")
STAMP = "%Y%m%dT%H%M%SZ"


def plan(plan_, purge):
    """Plan the instances of the list, what an absent tenant leaves behind, and with purge all that no item names."""
    # Removals first, since another instance may take over a port.
    for item in plan_.wanted.instances.values():
        if item.state == "absent" and plan_.ok(item):
            _absent(plan_, item)
    for name in _left_behind(plan_, purge):
        _remove(plan_, name)
    _elsewhere(plan_)
    present = [item for item in plan_.wanted.instances.values() if item.state == "present" and plan_.ok(item)]
    foreign = {item.name for item in present if owners.is_foreign(plan_.host, item.name)}
    # Those are stopped first: for the rest of the plan they do not run.
    plan_.host.running = plan_.host.running - foreign
    plan_.observed = observe(
        plan_.host, plan_.host.running & plan_.host.instances.keys() & {one.name for one in present}
    )
    for item in present:
        reason = plan_.ok(item) and _present(plan_, item)
        if reason:
            plan_.fail(item, reason)
    for tenant in plan_.wanted.tenants.values():
        if tenant.state != "absent" and plan_.ok(tenant):
            _follow(plan_, tenant)


def _elsewhere(plan_):
    """Fail what another node carries and this one has."""
    for item in plan_.wanted.elsewhere.values():
        if item.kind == "instance" and item.name in plan_.host.instances:
            plan_.fail(item, "node: is %s, and this one has it; an instance never moves" % item.node)


def _follow(plan_, tenant):
    """Plan that what no item names, or what failed, stops and starts with its tenant."""
    host = plan_.host
    for name in host.of(tenant.name):
        if name not in plan_.work and name not in host.moved:
            account = host.owner(name)
            work = Work(name, tenant.name, account.uid if account else 0)
            _plan_running(plan_, work, tenant.state == "suspended")
            if work.start or work.stop:
                plan_.work[name] = work


def _plan_running(plan_, work, suspended):
    """Plan that an instance runs, now and at boot, unless its tenant is suspended."""
    host = plan_.host
    running, at_boot = work.name in host.running, lstat(host.wants_path(work.name)) is not None
    work.start = not suspended and not (running and at_boot)
    work.stop = suspended and (running or at_boot)
    if (work.start or work.stop) and not work.make:
        plan_.note(plan_.id("instances", work.name), "started" if work.start else "stopped")


def _left_behind(plan_, purge):
    """Return the instances that go with their tenant, or that a purge finds named by no item."""
    wanted = plan_.wanted
    absent = {item.name for item in wanted.tenants.values() if item.state == "absent" and plan_.ok(item)}
    return [
        name
        for name, (tenant, _) in sorted(plan_.host.instances.items())
        if (tenant in absent and name not in wanted.instances)
        or (purge and name not in wanted.named and name not in plan_.host.moved)
    ]


def plan_kept(plan_):
    """Plan the end of data that were kept long enough."""
    oldest = datetime.now(UTC) - timedelta(days=plan_.settings["keep_days"])
    for name, time, path in plan_.host.kept:
        if time <= oldest.strftime(STAMP):
            plan_.forget.append(path)
            plan_.note(plan_.id("instances", name), "kept data removed", path + "\n", "", "data of " + name)


def _absent(plan_, item):
    host, name = plan_.host, item.name
    if name in host.instances:
        _remove(plan_, name)
    elif host.confs.get(name) is not None:
        plan_.fail(item, "%s exists and is not Hostreeve's" % host.confs(name))
    for child in plan_.wanted.children(item):
        if child.state != "absent":
            plan_.fail(child, "instance %s is absent" % name)


def _remove(plan_, name):
    tenant, _ = plan_.host.instances[name]
    account = plan_.host.owner(name)
    plan_.work[name] = Work(name, tenant, account.uid if account else 0, remove=True, stop=True)
    before = "tenant: %s\n" % tenant
    plan_.note(plan_.id("instances", name), "removed; its data are kept", before, "", "instance " + name)


def _present(plan_, item):
    """Plan an instance that should exist; returns why it cannot, or None."""
    host, name = plan_.host, item.name
    _, reason = tenants.uid(plan_, item.tenant)
    reason = reason or _clash(plan_, item) or memory.refuses(plan_, item)
    if reason:
        return reason
    uid, reason = owners.uid(plan_, name)
    reason = reason or owners.in_the_way(host, name, item.tenant, uid)
    if reason:
        return reason
    work = Work(name, item.tenant, uid, make=name not in host.instances)
    suspended = tenants.suspended(plan_, item.tenant)
    if work.make:
        work.adopt = lstat(host.incoming_path(name)) is not None
        made = "created with the data of another host" if work.adopt else "created"
        plan_.note(item.id, made, "", "tenant: %s\nport: %d\n" % (item.tenant, item.port), "instance " + name)
    elif owners.is_foreign(host, name):
        work.take = True
        plan_.note(item.id, "stopped, and its data given to its own user", header=host.data_path(name))
    elif not owners.is_fit(host, name, uid):
        work.repair = True
        plan_.note(item.id, "directory repaired", header=host.data_path(name))
    more = ha.settings(item, plan_.wanted.nodes[plan_.wanted.here]) if item.highly_available else {}
    work.reopen = name in host.moved
    values = config.settings(item, plan_.settings["listen"], plan_.settings["maxclients"], more)
    kept = _plan_persistence(host, item, work, values, suspended)
    _plan_files(plan_, item, work, values, kept)
    if name in host.running and work.make:
        work.restart = True  # its configuration is gone
    elif name in host.running and not suspended:
        reason = _plan_live(plan_, item, work, values)
        if reason:
            return reason
    _plan_running(plan_, work, suspended)
    memory.give(plan_, item)
    plan_.work[name] = work
    return None


def _clash(plan_, item):
    """Return what of somebody else's is in the way of an instance, or None."""
    host, name = plan_.host, item.name
    text = host.confs.get(name)
    if text is not None and not text.startswith(MARK):
        return "%s exists and is not Hostreeve's" % host.confs(name)
    owner = host.instances.get(name, (item.tenant,))[0]
    if owner != item.tenant:
        return "tenant: is %s on this host; an instance never moves" % owner
    values = host.instances.get(name, (None, {}))[1]
    if item.highly_available and values.get("port", str(item.port)) != str(item.port):
        return "port: is %s, and that of a highly available instance never changes" % values["port"]
    other = host.ports.get(str(item.port), name)
    gone = other in plan_.work and plan_.work[other].remove
    return None if other == name or gone else "port: %d is that of %s on this host" % (item.port, other)


def _plan_persistence(host, item, work, values, suspended):
    """Note a change of persistence; returns the choice that the files on disk are in when the run ends.

    Data on disk are in the old form, and Valkey would begin empty with the new setting: so a running instance writes
    them in the new form first, and one that is suspended stays as it is until it runs again.
    """
    new = "rdb" if work.adopt else item.persistence
    before = new if work.make else config.persistence(host.instances[item.name][1])
    if before is None or before == item.persistence:
        return item.persistence
    if suspended:
        values.update(config.PERSISTENCE[before])
        return before
    work.persistence = (before, item.persistence)
    return item.persistence


def _plan_files(plan_, item, work, values, persistence):
    host, name = plan_.host, item.name
    before, after = host.confs.get(name), config.render(item.tenant, values)
    if before != after:
        work.conf = after
        if not work.make:
            shown = map(config.without_secrets, (before, after))
            plan_.note(item.id, "changed", *shown, host.confs(name))
    limit = config.memory_max(item.memory_mb, persistence)
    more = ha.drop_in(name) if item.highly_available else ""
    before, after = whole_list.read(host.drop_in_path(name)), config.drop_in(name, item.tenant, limit, more)
    work.limits = (config.limit_of(before), limit)
    if before != after:
        work.drop_in = after
        if not work.make:
            plan_.note(item.id, "unit", before or "", after, host.drop_in_path(name))
    if host.key(name) is None:
        work.key = secrets.token_hex(32)
        work.restart = name in host.running


def _plan_live(plan_, item, work, values):
    """Compare a running instance with what is wanted; returns why it cannot be changed, or None."""
    host, name = plan_.host, item.name
    before = host.instances[name][1]
    if any(before.get(one) != values.get(one) for one in {*before, *values} - set(config.LIVE)):
        work.restart = True
    if name in host.pending["restart"]:
        work.restart = True
    found = plan_.observed[name]
    if isinstance(found, Exception):
        if not str(found).startswith(STRANGER):
            return "Valkey does not answer: %s" % found
        work.restart = True
        plan_.note(item.id, "restarted: it did not know the platform")
        return None
    live, work.users, used = found.settings, found.users, found.used
    work.live = {one: values[one] for one in config.LIVE if live.get(one) != values[one]}
    if "maxmemory" in work.live and used > item.memory_mb * config.MIB and item.eviction == "noeviction":
        return "memory_mb: holds %d MiB and may evict nothing" % (used // config.MIB)
    if work.live and work.conf is None:
        shown = ["\n".join("%s %s" % (one, of.get(one)) for one in sorted(work.live)) + "\n" for of in (live, values)]
        plan_.note(item.id, "settings repaired", *shown, "running " + name)
    if work.restart:
        plan_.note(item.id, "restarted")
    return None
