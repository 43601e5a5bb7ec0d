# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""FQDNs: one server block each."""

from __future__ import annotations

from ansible_collections.hostreeve.hosting.plugins.module_utils.web import render, webroots


def plan(plan_, purge):
    """Plan all host names of the list, those of webroots that go, and with purge all that no item names."""
    wanted, host = plan_.wanted, plan_.host
    for item in wanted.fqdns.values():
        if plan_.ok(item):
            reason = _plan_one(plan_, item)
            if reason:
                plan_.fail(item, reason)
    if plan_.webroots.remove:
        for webroot in sorted(plan_.webroots.remove):
            for name in sorted(host.sites_of.get(webroot, ())):
                _remove(plan_, name)
    if purge:
        for name in sorted(host.sites.marked()):
            if name not in wanted.named:
                _remove(plan_, name)


def _plan_one(plan_, item):
    """Plan one host name; returns why it cannot be, or None."""
    wanted, host = plan_.wanted, plan_.host
    before = host.sites.get(item.name)
    if before is not None and not before.startswith(render.MARK):
        return "%s is in the way: it is not Hostreeve's" % host.sites(item.name)
    if item.state == "absent":
        if before is not None:
            _remove(plan_, item.name)
        return None
    parent = wanted.webroots.get(item.webroot)
    if parent is None and item.webroot in wanted.refused["webroots"]:
        return "webroot %s failed: %s" % (item.webroot, wanted.refused["webroots"][item.webroot])
    if not (parent and parent.state != "absent") and not webroots.on_host(plan_, item.webroot):
        return "webroot: %s is not on this host" % item.webroot
    after = render.site(item, plan_.settings["port"], plan_.settings["ipv6"])
    if after != before:
        plan_.nginx["sites/%s.conf" % item.name] = after
        plan_.note(item.id, "served" if before is None else "server block", before or "", after, host.sites(item.name))
    return None


def _remove(plan_, name):
    """Plan to remove a host name, unless the list has just moved it to another webroot."""
    host, id_, key = plan_.host, plan_.id("fqdns", name), "sites/%s.conf" % name
    if key in plan_.nginx:
        return
    plan_.nginx[key] = None
    if not plan_.report.is_failed(id_):
        plan_.note(id_, "no longer served", host.sites.get(name), "", host.sites(name))
