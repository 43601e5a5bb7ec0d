# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run: plan everything, try it, and apply it so that an instance never starts with half of its files."""

from __future__ import annotations

import contextlib
import json
import os
import shutil
from datetime import UTC, datetime

from ansible_collections.hostreeve.hosting.plugins.module_utils import units, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import (
    config,
    instances,
    live,
    owners,
    sentinel,
    tenants,
    users,
)
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import PENDING, VALKEY
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.plan import Plan
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.wanted import Wanted

UNANSWERED = (ValkeyError, OSError, ValueError)


def converge(host, lists, settings, purge, check):
    """Make the host equal to the lists and return the Report.

    lists: {"tenants": [...], "instances": [...], "users": [...]}; settings: listen (list of addresses), maxclients,
    keep_days, memory_percent, node, nodes ({name: address}). Raises OSError where the host itself is at fault.
    """
    plan = prepare(host, lists, settings, purge)
    if not check:
        _apply(plan)
    plan.tell()
    return plan.report


def prepare(host, lists, settings, purge):
    """Return the Plan for a host."""
    report = whole_list.Report()
    plan = Plan(Wanted(lists, report, settings["node"], settings["nodes"]), host, settings, report)
    tenants.plan(plan)
    instances.plan(plan, purge)
    users.plan(plan, purge)
    sentinel.plan(plan)
    tenants.plan_leave(plan, purge)
    instances.plan_kept(plan)
    return plan


def _apply(plan):
    pending = plan.host.pending
    if plan.empty() and not any(pending.values()):
        return
    os.umask(0o022)
    work = plan.work.values()
    written = any(one.drop_in or one.remove or one.sentinel for one in work)
    todo = {
        "units": pending["units"] or bool(plan.slices) or written,
        "acl": sorted({one.name for one in work if one.load} | pending["acl"]),
        "restart": sorted({one.name for one in work if one.restart} | pending["restart"]),
    }
    whole_list.write(PENDING, json.dumps(todo))
    tenants.make(plan)
    owners.make(plan)
    tenants.write_slices(plan)
    VALKEY.stop({one.name for one in plan.work.values() if one.take})
    _each(plan, _write)
    if todo["units"]:
        units.daemon_reload()
        VALKEY.reload(_limited(plan, pending["units"]))
    _each(plan, _alter)
    sentinel.start(plan, plan.settings["listen"])
    _start(plan)
    _lower(plan)
    _stop(plan)
    for path in plan.forget:
        shutil.rmtree(path, ignore_errors=True)
    # What failed is still to be done.
    left = {one: [name for name in todo[one] if plan.failed(name)] for one in ("acl", "restart")}
    if any(left.values()):
        whole_list.write(PENDING, json.dumps(left))
    else:
        os.unlink(PENDING)


def _limited(plan, all_):
    """Return the running instances whose limits, or those of their slices, have changed."""
    host, work = plan.host, plan.work
    found = {one.name for one in work.values() if one.drop_in is not None}
    found.update(name for tenant in plan.slices for name in host.of(tenant))
    found = (set(host.instances) if all_ else found) & host.running
    return {name for name in found if name not in work or not work[name].stop}


def _each(plan, do):
    """Do something for every instance; one that fails leaves the plan."""
    for work in list(plan.work.values()):
        try:
            do(plan, work)
        except UNANSWERED as error:
            plan.fail_instance(work.name, str(error))


def _runs(plan, work):
    return work.name in plan.host.running


def _write(plan, work):
    """Write what an instance needs to start, and what gives it more memory."""
    host, name = plan.host, work.name
    if work.remove:
        return
    _write_data(host, work)
    if work.key:
        whole_list.write(host.key_path(name), work.key + "\n", 0o600)
    if work.acl is not None and not _runs(plan, work):
        _put_acl(host, work, work.acl)
    if work.conf is not None and not _runs(plan, work):
        _put_conf(host, work, _in_present_form(work))
    if work.drop_in is not None and not (_runs(plan, work) and _lowers(work)):
        tenants.write_drop_in(host.drop_in_path(name), work.drop_in)
    if work.sentinel:
        sentinel.write(host, work)


def _write_data(host, work):
    name, uid = work.name, work.uid
    if work.take:
        owners.give(host.data_path(name), uid)
    if work.make or work.repair:
        owners.folder(host.data_path(name), uid)
    if work.adopt:
        owners.adopt(host, name, uid)
    if work.reopen:
        os.unlink(host.moved_path(name))


def _lowers(work):
    return work.limits[1] < work.limits[0]


def _in_present_form(work):
    """Return the configuration with the persistence in which the data are on disk."""
    if not work.persistence:
        return work.conf
    tenant, values = config.parse(work.conf)
    return config.render(tenant, {**values, **config.PERSISTENCE[work.persistence[0]]})


def _put_conf(host, work, text):
    whole_list.write(host.confs(work.name), text, 0o640, gid=work.uid)


def _put_acl(host, work, text):
    # An instance's user has a group of its own, with the same number.
    whole_list.write(host.acls(work.name), text, 0o640, gid=work.uid)


def _alter(plan, work):
    """Change a running instance, settings first: what refuses them keeps its files."""
    if not _runs(plan, work) or work.stop or (work.restart and work.users is None):
        return
    if work.live or work.persistence or work.load or work.acl is not None:
        _alter_live(plan, work)
    elif work.conf is not None:
        _put_conf(plan.host, work, work.conf)


def _alter_live(plan, work):
    host = plan.host
    with host.admin(work.name) as client:
        live.settings(client, work)
        if work.persistence:
            live.change_form(client, work, lambda: _put_conf(host, work, work.conf))
            work.persistence = None
        elif work.conf is not None:
            _put_conf(host, work, work.conf)
        if not work.load:
            return
        before = whole_list.read(host.acls(work.name))
        if work.acl is not None:
            _put_acl(host, work, work.acl)
        try:
            live.users(client, work)
        except UNANSWERED:
            # With equal files the next run would not know that it was not read.
            if work.acl is not None and before is not None:
                _put_acl(host, work, before)
            raise


def _start(plan):
    """Start and restart, each in one call; then give what started its users and its new form of data.

    One that was starting already has read its users before they were written.
    """
    host, work = plan.host, list(plan.work.values())
    for one in work:
        if one.start:
            VALKEY.enable(host.wants_path(one.name), True)
        if one.restart:
            _catch_up(plan, one)
    broken = VALKEY.start({one.name for one in work if one.restart and _runs(plan, one) and not one.stop}, "restart")
    broken |= VALKEY.start({one.name for one in work if one.start and not _runs(plan, one)})
    for name in sorted(broken):
        plan.fail_instance(name, "%s does not start; its journal says why" % VALKEY.unit(name))
    for one in work:
        if one.start and (one.load or one.persistence) and not _runs(plan, one) and one.name in plan.work:
            try:
                _alter_live(plan, one)
            except UNANSWERED as error:
                plan.fail_instance(one.name, str(error))


def _catch_up(plan, work):
    """Write what could not be tried on a running instance, because it did not let the platform in."""
    conf = _in_present_form(work)  # in another it would begin empty: the next run changes that
    for put, host, text in ((_put_acl, plan.host.acls, work.acl), (_put_conf, plan.host.confs, conf)):
        if text is not None and whole_list.read(host(work.name)) != text:
            put(plan.host, work, text)


def _lower(plan):
    """Lower limits of memory, once what runs fits below them."""
    lowered = []
    for work in list(plan.work.values()):
        if work.drop_in is None or not (_runs(plan, work) and _lowers(work)):
            continue
        try:
            if not work.stop:
                with plan.host.admin(work.name) as client:
                    live.shrink(client, work.limits[1])
            tenants.write_drop_in(plan.host.drop_in_path(work.name), work.drop_in)
            lowered.append(work.name)
        except UNANSWERED as error:
            plan.fail_instance(work.name, "memory_mb: %s" % error)
    if lowered:
        units.daemon_reload()
        VALKEY.reload([name for name in lowered if not plan.work[name].stop])


def _stop(plan):
    """Stop what must not run any more, and remove what goes: its files last, so that a run cut off is repeated."""
    host = plan.host
    stop = [work for work in plan.work.values() if work.stop]
    sentinel.stop(host, [work.name for work in stop if work.name in host.available])
    VALKEY.stop({work.name for work in stop})
    for work in stop:
        VALKEY.enable(host.wants_path(work.name), False)
    tenants.switch(plan)
    gone = [work for work in plan.work.values() if work.remove]
    _each(plan, _remove)
    if gone:
        units.daemon_reload()
    tenants.leave(plan)


def _remove(plan, work):
    if not work.remove:
        return
    host, name = plan.host, work.name
    error = owners.remove(name, work.uid) if work.uid else None
    if error:
        raise OSError("removal: %s" % error)
    os.makedirs(host.kept_path, mode=0o700, exist_ok=True)
    kept = os.path.join(host.kept_path, "%s.%s" % (name, datetime.now(UTC).strftime(instances.STAMP)))
    with contextlib.suppress(FileNotFoundError):
        os.rename(host.data_path(name), kept)
        owners.give(kept, 0)  # the uid may be somebody else's one day
    tenants.write_drop_in(host.drop_in_path(name), None)
    sentinel.remove(host, name)
    for path in (host.acls(name), host.key_path(name), host.moved_path(name), host.confs(name)):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)
