# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""One run: plan everything, test it, apply it in an order in which nothing is served before it is there."""

from __future__ import annotations

import contextlib
import json
import os

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, units, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import listed
from ansible_collections.hostreeve.hosting.plugins.module_utils.web import (
    fpm,
    fqdns,
    nginx,
    render,
    tenants,
    webroots,
)
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.host import PHP
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.plan import Plan
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.settle import Blocked, settle
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.wanted import Wanted

#: What a run has written and not yet made effective. A run that was cut off leaves it for the next one.
PENDING = os.path.join(whole_list.STATE, "web-pending")


def converge(host, lists, settings, purge, check):
    """Make the host equal to the lists and return the Report.

    lists: {"tenants": [...], "webroots": [...], "fqdns": [...]}; settings: port, ipv6, php, php_children,
    php_idle_seconds, php_max_requests. Raises OSError where the host itself is at fault.
    """
    plan = prepare(host, lists, {**settings, "check": check}, purge)
    if plan.nginx and host.has_nginx:
        _settle_nginx(plan)
    if plan.pools and host.php:
        _settle_pools(plan)
    _plan_units(plan)
    if not check:
        _apply(plan)
    plan.tell()
    return plan.report


def prepare(host, lists, settings, purge):
    """Return the Plan for a host, before any checker has seen it."""
    report = whole_list.Report()
    plan = Plan(Wanted(lists, report), host, settings, report)
    tenants.plan(plan, purge)
    webroots.plan(plan, purge)
    fqdns.plan(plan, purge)
    return plan


# Testing


def _settle_nginx(plan):
    def refuse(name, reason):
        kind, name_ = name.removesuffix(".conf").split("/")
        if name in plan.nginx:
            item = getattr(plan.wanted, "fqdns" if kind == "sites" else "webroots").get(name_)
            if plan.nginx[name] is None or item is None:
                return False
            plan.fail(item, "nginx refuses it: %s" % reason)
            plan.nginx.pop(name, None)
            return True
        # The file was on the host already. One of our server blocks is set aside, or no other could change any more.
        if kind != "sites" or not (plan.host.sites.get(name_) or "").startswith(render.MARK):
            return False
        reason = "nginx refuses its server block on the host, now %s.refused: %s" % (plan.host.sites(name_), reason)
        item = plan.wanted.fqdns.get(name_)
        if item:
            plan.fail(item, reason)
        else:
            plan.report.failed(name_, reason)
        plan.nginx[name] = None
        plan.aside.add(name)
        return True

    plan.nginx = nginx.order(plan.nginx)
    with nginx.Stage() as stage:
        try:
            settle(plan.nginx, stage.test, refuse)
        except Blocked as blocked:
            plan.cancel("nothing changes while nginx refuses what is on the host already: %s" % blocked)


def _settle_pools(plan):
    def refuse(key, reason):
        item = plan.wanted.webroots.get(key.split("/")[1])
        if item:
            plan.fail(item, "php-fpm refuses its pool: %s" % reason)
        plan.pools.pop(key, None)
        return True

    try:
        settle(plan.pools, lambda pools: fpm.test(plan.host.php, pools), refuse)
    except Blocked as blocked:
        for key in [key for key, text in plan.pools.items() if text is not None]:
            refuse(key, str(blocked))


def _plan_units(plan):
    """Plan whose PHP starts, stops and reloads: it runs where there is a pool and the tenant is not suspended."""
    host = plan.host
    changed = {key.split("/")[0] for key in plan.pools}
    named = {item.name for item in plan.wanted.tenants.values() if plan.ok(item)} | set(plan.tenants.remove)
    for name in sorted((named & host.pool_tenants) | changed):
        pools = set(host.pools(name).names)
        for key, text in plan.pools.items():
            tenant, webroot = key.split("/")
            if tenant == name:
                (pools.discard if text is None else pools.add)(webroot)
        at_boot = os.path.islink(host.wants_path(name))
        if not pools or name in plan.tenants.remove or tenants.suspended(plan, name):
            if name in host.running or at_boot:
                plan.stop.add(name)
                plan.note(plan.id("tenants", name), "PHP stopped")
        elif name not in host.running or not at_boot:
            plan.start.add(name)
            plan.note(plan.id("tenants", name), "PHP started")
        elif name in changed or name in plan.limits:
            plan.reload.add(name)


# Applying


def _apply(plan):
    pending = json.loads(whole_list.read(PENDING) or "{}")
    if plan.empty() and not pending:
        return
    os.umask(0o022)
    todo = {
        "nginx": bool(plan.nginx) or pending.get("nginx", False),
        "units": bool(plan.limits) or pending.get("units", False),
        "php": sorted(plan.reload | set(pending.get("php", ()))),
    }
    whole_list.write(PENDING, json.dumps(todo))
    tenants.make_users(plan)
    tenants.make_folders(plan)
    tenants.write_limits(plan)
    if todo["units"]:
        units.daemon_reload()
    webroots.make_folders(plan)
    webroots.write_pools(plan)
    _run_php(plan, todo["php"])
    if todo["nginx"]:
        _serve(plan)
    _stop(plan)
    trash = accounts.Trash(plan.host.www)
    webroots.remove(plan, trash)
    tenants.remove(plan, trash)
    trash.empty()
    os.unlink(PENDING)


def _run_php(plan, again):
    """Start and reload PHP, and wait for the sockets of the pools that are new."""
    host = plan.host
    start = {name for name in plan.start if listed(host.pools(name).path)}
    for name in start:
        PHP.enable(host.wants_path(name), True)
    PHP.reload([name for name in again if name in host.running])
    broken = PHP.start(sorted(start))
    sockets = {}
    for key, text in plan.pools.items():
        tenant, webroot = key.split("/")
        if text is not None and tenant in (start | plan.reload) - broken:
            sockets[render.socket(tenant, webroot)] = webroot
    for path in fpm.wait(sockets):
        plan.fail(plan.wanted.webroots[sockets[path]], "PHP does not open its socket; the journal of its unit says why")
    for name in broken:
        reason = "%s does not start; its journal says why" % PHP.unit(name)
        plan.report.failed(plan.id("tenants", name), reason)
        for item in plan.wanted.webroots.values():
            if item.tenant == name and item.runtime == "php":
                plan.fail(item, reason)


def _serve(plan):
    """Write what nginx reads and make it effective; if that fails, put it back and drop what is left of the plan."""
    host = plan.host
    folders = {"sites": host.sites, "webroots": host.webroots}
    before = {}
    try:
        for name, text in plan.nginx.items():
            kind, name_ = name.removesuffix(".conf").split("/")
            path = folders[kind](name_)
            before[path] = whole_list.read(path)
            if name in plan.aside:
                os.rename(path, path + ".refused")
                continue
            _put(path, text)
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path + ".refused")
        reason = nginx.reload()
    except OSError as error:
        reason = str(error)
    if reason:
        for path, text in before.items():
            _put(path, text)
        plan.cancel(reason)


def _stop(plan):
    """Stop what must not run any more, after nginx has stopped to ask for it."""
    ending = [*plan.tenants.remove, *(name for name, on in plan.expire.items() if on)]
    PHP.stop(plan.stop)
    units.stop_slices(sorted(ending))
    for name in plan.stop:
        PHP.enable(plan.host.wants_path(name), False)
    tenants.switch(plan)


def _put(path, text):
    if text is not None:
        whole_list.write(path, text)
        return
    with contextlib.suppress(FileNotFoundError):
        os.unlink(path)
