# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tenants on a Valkey host: they are users here, with a slice, for as long as they have an instance."""

from __future__ import annotations

import contextlib
import os

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, units, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config


def plan(plan_):
    """Plan the tenants of the list: the user, its slice, its suspension."""
    for item in plan_.wanted.tenants.values():
        reason = _absent(plan_, item) if item.state == "absent" else _present(plan_, item)
        if reason:
            plan_.fail(item, reason)


def suspended(plan_, name):
    """Tell whether a tenant is (going to be) suspended."""
    item = plan_.wanted.tenants.get(name)
    if item and plan_.ok(item):
        return item.state == "suspended"
    account = plan_.host.tenant(name)
    return bool(account and account.expired)


def uid(plan_, name):
    """Return (uid of a tenant that exists or is going to, None) or (None, why there is none)."""
    wanted, account = plan_.wanted, plan_.host.tenant(name)
    item, refused = wanted.tenants.get(name), wanted.refused["tenants"]
    if item is None and name in refused:
        return None, "tenant %s failed: %s" % (name, refused[name])
    if item and item.state == "absent":
        return None, "tenant %s is absent" % name
    if item:
        return item.uid, None
    return (account.uid, None) if account else (None, "tenant: there is no tenant %s on this host" % name)


def _present(plan_, item):
    """Plan a tenant that has, or gets, an instance here; returns why it cannot be, or None."""
    host, name = plan_.host, item.name
    account = host.accounts.get(name)
    needed = bool(host.of(name)) or any(child.state != "absent" for child in plan_.wanted.children(item))
    reason = host.unfit(name, item.uid) if account else needed and host.clash(name, item.uid)
    if reason or not (account or needed):
        return reason or None
    if not account:
        plan_.users[name] = item.uid
        plan_.note(item.id, "created", "", "uid: %d\nstate: %s\n" % (item.uid, item.state), "tenant " + name)
    before, after = whole_list.read(host.slice_path(name)), config.slice_(item.limits)
    if before != after:
        plan_.slices[name] = after
        plan_.note(item.id, "limits", before or "", after or "", host.slice_path(name))
    expired = item.state == "suspended"
    if (account.expired if account else False) != expired:
        plan_.expire[name] = expired
        if account:
            states = ("present", "suspended")
            message = "suspended" if expired else "resumed"
            before, after = ("state: %s\n" % states[one] for one in (not expired, expired))
            plan_.note(item.id, message, before, after, "tenant " + name)
    return None


def _absent(plan_, item):
    account = plan_.host.accounts.get(item.name)
    if account and not account.ours:
        return "the user %s exists and is not Hostreeve's" % item.name
    for child in plan_.wanted.children(item):
        if child.state != "absent":
            plan_.fail(child, "tenant %s is absent" % item.name)
    return None


def plan_leave(plan_, purge):
    """Plan the removal of users that have no instance here any more."""
    host, wanted = plan_.host, plan_.wanted
    stay = {work.tenant for work in plan_.work.values() if not work.remove}
    going = {work.name: work.tenant for work in plan_.work.values() if work.remove}
    for name in sorted(host.accounts):
        account = host.tenant(name)
        if not account or name in stay or set(host.of(name)) - set(going):
            continue
        if name in going.values() or name in wanted.tenants or (purge and name not in wanted.named):
            plan_.leave[name] = account
            plan_.expire.pop(name, None)
            if whole_list.read(host.slice_path(name)) is not None:
                plan_.slices[name] = None
            plan_.note(plan_.id("tenants", name), "removed", "uid: %d\n" % account.uid, "", "tenant " + name)


# Applying


def make(plan_):
    """Make the planned users; those that did not come out as planned fail, with their instances."""
    for name, reason in accounts.make(plan_.host, plan_.users).items():
        plan_.fail(plan_.wanted.tenants[name], reason)


def write_slices(plan_):
    """Write the drop-ins of slices; tells whether systemd must read them."""
    for name, text in plan_.slices.items():
        write_drop_in(plan_.host.slice_path(name), text)
    return bool(plan_.slices)


def write_drop_in(path, text):
    """Write a drop-in of a unit, or remove it."""
    if text is not None:
        os.makedirs(os.path.dirname(path), exist_ok=True)
        whole_list.write(path, text)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
    with contextlib.suppress(OSError):  # a stranger's drop-in lies there as well
        os.rmdir(os.path.dirname(path))


def switch(plan_):
    """Lock and open accounts. What a suspended tenant still runs is ended."""
    locked = {name for name, on in plan_.expire.items() if on}
    units.stop_slices(sorted(locked | set(plan_.leave)))
    for name, on in list(plan_.expire.items()):
        error = accounts.expire(name, on)
        if error:
            plan_.fail(plan_.wanted.tenants[name], "suspension: %s" % error)
    accounts.kill(plan_.wanted.tenants[name].uid for name in locked)


def leave(plan_):
    """Remove the users that have nothing left here."""
    busy = accounts.kill(account.uid for account in plan_.leave.values())
    for name, account in plan_.leave.items():
        if account.uid in busy:
            error = "some of its processes cannot be killed"
        elif set(plan_.host.of(name)) - {work.name for work in plan_.work.values() if work.remove}:
            error = "an instance of it could not be removed"
        else:
            error = accounts.remove(name)
        if error:
            plan_.report.failed(plan_.id("tenants", name), "removal: %s" % error)
