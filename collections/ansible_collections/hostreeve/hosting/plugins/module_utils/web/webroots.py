# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Webroots: their directories, what nginx serves from them, and their PHP pools."""

from __future__ import annotations

import contextlib
import grp
import os
import shutil
import stat
from functools import cache

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import is_folder, lstat
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render, tenants

GROUP = "www-data"  # nginx; the only stranger that may enter a webroot


def plan(plan_, purge):
    """Plan all webroots of the list, what an absent tenant leaves behind, and with purge all that no item names."""
    wanted, host = plan_.wanted, plan_.host
    for item in wanted.webroots.values():
        if not plan_.ok(item):
            continue
        reason = _plan_removal(plan_, item) if item.state == "absent" else _plan_one(plan_, item)
        if reason:
            plan_.fail(item, reason)
    for name in sorted(plan_.tenants.remove):
        for webroot in sorted({*host.tenant_webroots(name), *host.webroots_of.get(name, ())}):
            _remove(plan_, webroot, name)
    if purge:
        found = {webroot: tenant for tenant, names in host.webroots_of.items() for webroot in names}
        for tenant in filter(host.tenant, sorted(host.accounts)):
            found.update(dict.fromkeys(host.tenant_webroots(tenant), tenant))
        for webroot in sorted(set(found) - wanted.named):
            _remove(plan_, webroot, found[webroot])
    _plan_suspension(plan_)


def on_host(plan_, name):
    """Tell whether a webroot is on the host and stays there."""
    return name not in plan_.webroots.remove and (plan_.host.webroots.get(name) or "").startswith(render.MARK)


def _plan_one(plan_, item):
    """Plan a webroot that should exist; returns why it cannot, or None."""
    reason = _obstacle(plan_, item) or _plan_folder(plan_, item)
    if reason:
        return reason
    before = plan_.host.webroots.get(item.name)
    after = render.webroot(item, tenants.suspended(plan_, item.tenant))
    if after != before:
        plan_.nginx["webroots/%s.conf" % item.name] = after
        plan_.note(item.id, "served as given", before or "", after, plan_.host.webroots(item.name))
    _plan_pool(plan_, item)
    return None


def _obstacle(plan_, item):
    """Return why a webroot cannot be, or None: no tenant, somebody else's, or no PHP."""
    host, wanted = plan_.host, plan_.wanted
    if item.tenant not in wanted.tenants and item.tenant in wanted.refused["tenants"]:
        return "tenant %s failed: %s" % (item.tenant, wanted.refused["tenants"][item.tenant])
    if tenants.uid(plan_, item.tenant) is None:
        return "tenant: %s is not on this host" % item.tenant
    text = host.webroots.get(item.name)
    if text is not None:
        owner = render.webroot_tenant(text) if text.startswith(render.MARK) else None
        if owner != item.tenant:
            return "tenant: %s belongs to %s on this host" % (item.name, owner or "somebody else")
    if item.runtime == "php" and not (plan_.settings["php"] and (host.php or plan_.settings["check"])):
        return "runtime: PHP is not set up on this host (web_php)"
    return None


def _plan_folder(plan_, item):
    """Plan the directory of a webroot; returns what is in the way, or None."""
    host, name, uid = plan_.host, item.name, tenants.uid(plan_, item.tenant)
    path = host.tenant_path(item.tenant, name)
    status = lstat(path)
    if status is None:
        plan_.webroots.make[name] = item
        plan_.note(item.id, "created", "", "%s\n" % path, "webroot " + name)
        return None
    if not stat.S_ISDIR(status.st_mode) or status.st_uid != uid:
        return "%s is in the way: it is not a directory of %s" % (path, item.tenant)
    if not is_folder(status, uid, _group(), 0o710):
        plan_.webroots.repair[name] = item
        plan_.note(item.id, "directory repaired", header="webroot " + name)
    before = host.webroots.get(name)
    if before is None or render.webroot_folder(before) != item.public_folder:
        plan_.publics[name] = item
    return None


def _plan_pool(plan_, item):
    folder = plan_.host.pools(item.tenant)
    before = folder.get(item.name)
    after = render.pool(item, plan_.settings) if item.runtime == "php" else None
    if before != after:
        plan_.pools["%s/%s" % (item.tenant, item.name)] = after
        shown = render.pool(item, plan_.settings, secret=False) if after else ""
        plan_.note(item.id, "PHP pool", render.without_secrets(before), shown, folder(item.name))


def _plan_removal(plan_, item):
    host = plan_.host
    text = host.webroots.get(item.name)
    tenant = render.webroot_tenant(text) if text else item.tenant
    if text and not text.startswith(render.MARK):
        return "%s is not Hostreeve's" % host.webroots(item.name)
    if not tenant:  # cut off between the directory and nginx's file: look where the directory may be
        tenant = next(
            (one for one in host.accounts if host.tenant(one) and lstat(host.tenant_path(one, item.name))), None
        )
    if tenant and (text or lstat(host.tenant_path(tenant, item.name))):
        _remove(plan_, item.name, tenant)
    for child in plan_.wanted.children(item):
        if child.state != "absent":
            plan_.fail(child, "webroot %s is absent" % item.name)
    return None


def _remove(plan_, name, tenant):
    """Plan to remove a webroot and the server blocks that serve it."""
    host = plan_.host
    if name in plan_.webroots.remove:
        return
    item = plan_.wanted.webroots.get(name)
    if item and item.state != "absent":
        plan_.fail(item, "tenant %s is removed" % tenant)
    plan_.webroots.remove[name] = tenant
    id_ = plan_.id("webroots", name)
    before = host.webroots.get(name)
    if before is not None:
        plan_.nginx["webroots/%s.conf" % name] = None
    if host.pools(tenant).get(name) is not None:
        plan_.pools["%s/%s" % (tenant, name)] = None
    if not plan_.report.is_failed(id_):
        plan_.note(id_, "removed", "%s\n" % host.tenant_path(tenant, name), "", "webroot " + name)


def _plan_suspension(plan_):
    """A tenant that is suspended or resumed without naming its webroots: they follow all the same."""
    for tenant, on in plan_.expire.items():
        for name in plan_.host.webroots_of.get(tenant, ()):
            key, before = "webroots/%s.conf" % name, plan_.host.webroots.get(name)
            if key not in plan_.nginx:
                after = render.webroot_switched(before, on)
                if after != before:
                    plan_.nginx[key] = after


# Applying


def make_folders(plan_):
    """Make, repair and complete the directories of webroots."""
    for item in list(plan_.webroots.make.values()):
        _attempt(plan_, item, _make)
    for item in list(plan_.webroots.repair.values()):
        _attempt(plan_, item, _repair)
    for item in list(plan_.publics.values()):
        uid = tenants.uid(plan_, item.tenant)
        base = plan_.host.tenant_path(item.tenant, item.name)
        # Everything below the webroot is the tenant's, so root leaves it alone.
        error = accounts.run_as(uid, lambda base=base, item=item: _fill(base, item))
        if error:
            plan_.fail(item, "public_folder: %s" % error)


def write_pools(plan_):
    """Write and remove the planned pools."""
    for key, text in plan_.pools.items():
        tenant, name = key.split("/")
        path = plan_.host.pools(tenant)(name)
        if text is None:
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
            continue
        gid = tenants.uid(plan_, tenant)
        directory = os.path.dirname(path)
        with contextlib.suppress(FileExistsError):
            os.mkdir(directory, 0o700)
        os.chown(directory, 0, gid)
        os.chmod(directory, 0o750)  # noqa: S103  the tenant reads its pools
        whole_list.write(path, text, mode=0o640, gid=gid)


def remove(plan_, trash):
    """Remove the directories of webroots."""
    for name, tenant in plan_.webroots.remove.items():
        trash.throw(plan_.host.tenant_path(tenant, name))


def _attempt(plan_, item, work):
    try:
        work(plan_, item)
    except OSError as error:
        plan_.fail(item, "directory: %s" % error)


def _make(plan_, item):
    """Make a webroot where only root may enter, give it away and move it in: no tenant can interfere."""
    uid = tenants.uid(plan_, item.tenant)
    base = plan_.host.tenant_path(item.tenant, item.name)
    stage = plan_.host.tenant_path(item.tenant, ".new-" + item.name)
    shutil.rmtree(stage, ignore_errors=True)  # of a run that was cut off
    os.mkdir(stage, 0o700)
    _fill(stage, item)
    for folder, folders, files in os.walk(stage):
        for name in folders + files:
            os.chown(os.path.join(folder, name), uid, uid, follow_symlinks=False)
    os.chown(stage, uid, _group())
    os.chmod(stage, 0o710)  # noqa: S103  nginx passes through
    os.rename(stage, base)


def _repair(plan_, item):
    path = plan_.host.tenant_path(item.tenant, item.name)
    os.chown(path, tenants.uid(plan_, item.tenant), _group(), follow_symlinks=False)
    os.chmod(path, 0o710)  # noqa: S103  nginx passes through


def _fill(base, item):
    """Make the public folder, and a page in it if it is new."""
    folder = os.path.join(base, item.public_folder)
    if os.path.isdir(folder):
        return
    os.makedirs(folder, mode=0o755)
    name, text = render.page(item)
    with open(os.path.join(folder, name), "x", encoding="utf-8") as handle:
        handle.write(text)


@cache
def _group():
    try:
        return grp.getgrnam(GROUP).gr_gid
    except KeyError:
        return 33
