# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Tenants: users, their directories, the limits of their slices, suspension."""

from __future__ import annotations

import contextlib
import os
import shutil
import stat

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import is_folder, lstat
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render

#: A tenant's own directories; theirs is root's, so nothing in it can be swapped for a link.
OWN = ("home", "sessions")


def plan(plan_, purge):
    """Plan all tenants of the list, and with purge the removal of those that it does not name."""
    for item in plan_.wanted.tenants.values():
        if item.state == "absent":
            _plan_removal(plan_, item)
        else:
            reason = _plan_one(plan_, item)
            if reason:
                plan_.fail(item, reason)
    if purge:
        for name in sorted(plan_.host.accounts):
            if name not in plan_.wanted.named and plan_.host.tenant(name):
                _remove(plan_, name)


def suspended(plan_, name):
    """Tell whether a tenant is (going to be) suspended."""
    item = plan_.wanted.tenants.get(name)
    if item and plan_.ok(item):
        return item.state == "suspended"
    account = plan_.host.tenant(name)
    return bool(account and account.expired)


def uid(plan_, name):
    """Return the uid of a tenant that exists or is going to, else None."""
    item = plan_.wanted.tenants.get(name)
    if item and item.state != "absent" and plan_.ok(item):
        return item.uid
    account = plan_.host.tenant(name)
    return account.uid if account and name not in plan_.tenants.remove else None


def _plan_one(plan_, item):
    """Plan a tenant that should exist; returns why it cannot, or None."""
    host, name = plan_.host, item.name
    account = host.accounts.get(name)
    if account is None:
        reason = _clash(host, item)
        if reason:
            return reason
        plan_.users[name] = plan_.tenants.make[name] = item
        plan_.note(item.id, "created", "", "uid: %d\nstate: %s\n" % (item.uid, item.state), "tenant " + name)
    else:
        reason = host.unfit(name, item.uid) or _plan_folders(plan_, item)
        if reason:
            return reason
    _plan_limits(plan_, item)
    expired = item.state == "suspended"
    if (account.expired if account else False) != expired:
        plan_.expire[name] = expired
        if account:
            states = ("present", "suspended")
            plan_.note(
                item.id,
                "suspended" if expired else "resumed",
                "state: %s\n" % states[not expired],
                "state: %s\n" % states[expired],
                "tenant " + name,
            )
    return None


def _clash(host, item):
    """Return why a new tenant would take something of a stranger's, or None."""
    if lstat(host.tenant_path(item.name)):
        return "/srv/www/%s exists, and its user does not: move it away first" % item.name
    return host.clash(item.name, item.uid)


def _plan_folders(plan_, item):
    """Plan missing or altered directories of a tenant; returns what is in the way, or None."""
    base, name = plan_.host.tenant_path(item.name), item.name
    status = lstat(base)
    if status is None:
        plan_.tenants.make[name] = item
        plan_.note(item.id, "directories created", header="tenant " + name)
        return None
    for path, owner in [(base, 0)] + [(os.path.join(base, one), item.uid) for one in OWN]:
        found = status if path == base else lstat(path)
        if found is not None and (not stat.S_ISDIR(found.st_mode) or found.st_uid != owner):
            return "%s is in the way: it is not a directory of %s" % (path, name if owner else "root")
        if not is_folder(found, owner, owner, 0o700 if owner else 0o711):
            plan_.tenants.repair[name] = item
    if name in plan_.tenants.repair:
        plan_.note(item.id, "directories repaired", header="tenant " + name)
    return None


def _plan_limits(plan_, item):
    host, name = plan_.host, item.name
    before, after = whole_list.read(host.limits_path(name)), render.limits(item.limits)
    if before != after:
        plan_.limits[name] = after
        plan_.note(item.id, "limits", before or "", after or "", host.limits_path(name))


def _plan_removal(plan_, item):
    account = plan_.host.accounts.get(item.name)
    if account is None:
        if lstat(plan_.host.tenant_path(item.name)):
            plan_.fail(item, "/srv/www/%s exists, and its user does not: move it away first" % item.name)
    elif not account.ours:
        plan_.fail(item, "the user %s exists and is not Hostreeve's" % item.name)
    else:
        _remove(plan_, item.name)
    for child in plan_.wanted.children(item):
        if child.state != "absent":
            plan_.fail(child, "tenant %s is absent" % item.name)


def _remove(plan_, name):
    host = plan_.host
    account = host.tenant(name)
    plan_.tenants.remove[name] = account
    if whole_list.read(host.limits_path(name)) is not None:
        plan_.limits[name] = None
    plan_.note(plan_.id("tenants", name), "removed", "uid: %d\n" % account.uid, "", "tenant " + name)


# Applying


def make_users(plan_):
    """Make the planned users in one process; those that did not come out as planned fail."""
    uids = {name: item.uid for name, item in plan_.users.items()}
    for name, reason in accounts.make(plan_.host, uids).items():
        plan_.fail(plan_.users[name], reason)


def make_folders(plan_):
    """Make and repair the tenants' directories."""
    for item in [*plan_.tenants.make.values(), *plan_.tenants.repair.values()]:
        base = plan_.host.tenant_path(item.name)
        try:
            _folder(base, 0, 0o711)
            for own in OWN:
                _folder(os.path.join(base, own), item.uid, 0o700)
        except OSError as error:
            plan_.fail(item, "directories: %s" % error)


def write_limits(plan_):
    """Write the drop-ins of slices; tells whether systemd must read them."""
    for name, text in list(plan_.limits.items()):
        path = plan_.host.limits_path(name)
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            with contextlib.suppress(OSError):  # a stranger's drop-in lies there as well
                os.rmdir(os.path.dirname(path))
        else:
            os.makedirs(os.path.dirname(path), exist_ok=True)
            whole_list.write(path, text)
    return bool(plan_.limits)


def switch(plan_):
    """Lock and open accounts. What a suspended tenant still runs is ended."""
    for name, on in list(plan_.expire.items()):
        error = accounts.expire(name, on)
        if error:
            plan_.fail(plan_.wanted.tenants[name], "suspension: %s" % error)
    accounts.kill(plan_.wanted.tenants[name].uid for name, on in plan_.expire.items() if on)


def remove(plan_, trash):
    """Remove tenants: processes, directories, and the user last, so that a run that is cut off is repeated."""
    busy = accounts.kill(account.uid for account in plan_.tenants.remove.values())
    for name, account in list(plan_.tenants.remove.items()):
        error = "some of its processes cannot be killed" if account.uid in busy else None
        if not error:
            trash.throw(plan_.host.tenant_path(name))
            for path in (os.path.join(plan_.host.fpm, name), "/run/hostreeve-fpm/" + name):
                shutil.rmtree(path, ignore_errors=True)
            error = accounts.remove(name)
        if error:
            item = plan_.wanted.tenants.get(name)
            if item:
                plan_.fail(item, "removal: %s" % error)
            else:
                plan_.report.failed(name, "removal: %s" % error)


def _folder(path, owner, mode):
    """Make a directory in one of root's, or give it back its owner and mode."""
    with contextlib.suppress(FileExistsError):
        os.mkdir(path, 0o700)
    os.chown(path, owner, owner, follow_symlinks=False)
    os.chmod(path, mode)
