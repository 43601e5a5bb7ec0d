# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run is going to do, and for whom. Nothing here touches the host."""

from __future__ import annotations

from dataclasses import dataclass, field


@dataclass
class Folders:
    """What happens to directories: names of tenants or webroots, by what is to be done."""

    make: dict = field(default_factory=dict)
    repair: dict = field(default_factory=dict)
    remove: dict = field(default_factory=dict)


class Plan:
    """The changes of a run.

    A failed item takes its own changes and those of its children out: at any time the plan holds what is to be done.

    nginx    {"sites/FQDN.conf" or "webroots/WEBROOT.conf": text, or None to remove}
    pools    {"TENANT/WEBROOT": text, or None to remove}
    users    {tenant: Tenant} to make
    expire   {tenant: True to lock the account, False to open it}
    limits   {tenant: text of the slice's drop-in, or None to remove}
    tenants  Folders of tenants: make and repair {tenant: Tenant}, remove {tenant: Account}
    webroots Folders of webroots: make and repair {webroot: Webroot}, remove {webroot: tenant}
    publics  {webroot: Webroot} whose public folder moved
    start, stop, reload: tenants whose PHP is to start, stop, read its pools again
    aside    names of nginx files that are broken without our doing
    """

    def __init__(self, wanted, host, settings, report):
        self.wanted, self.host, self.settings, self.report = wanted, host, settings, report
        self._notes = {}
        self._clear()

    def _clear(self):
        self.nginx, self.pools, self.users, self.expire, self.limits = {}, {}, {}, {}, {}
        self.tenants, self.webroots, self.publics = Folders(), Folders(), {}
        self.start, self.stop, self.reload = set(), set(), set()
        self.aside = set()

    def empty(self):
        """Tell whether there is nothing to do."""
        folders = (self.tenants, self.webroots)
        return not any(
            [self.nginx, self.pools, self.users, self.expire, self.limits, self.publics, self.start, self.stop]
            + [group for one in folders for group in (one.make, one.repair, one.remove)]
        )

    def cancel(self, reason):
        """Report everything that is left as failed and do none of it."""
        for id_ in self._notes:
            self.report.failed(id_, reason)
        self._notes.clear()
        self._clear()

    # What to tell

    def id(self, kind, name):
        """Return what the report calls a resource; those that no item names are called by their name."""
        item = getattr(self.wanted, kind).get(name)
        return item.id if item else name

    def note(self, id_, message, before="", after="", header=None):
        """Remember a change for the report."""
        self._notes.setdefault(id_, []).append((message, before, after, header))

    def noted(self, id_):
        """Tell whether a resource changes."""
        return id_ in self._notes

    def tell(self):
        """Write what was noted into the report."""
        for items in (self.wanted.tenants, self.wanted.webroots, self.wanted.fqdns):
            for item in items.values():
                self.report.unchanged(item.id)
        for id_, notes in self._notes.items():
            for message, before, after, header in notes:
                self.report.changed(id_, message, before, after, header)

    # What fails

    def fail(self, item, reason):
        """Report an item as failed and take it and its children out of the plan."""
        if self.report.is_failed(item.id):
            return
        self.report.failed(item.id, reason)
        self._notes.pop(item.id, None)
        getattr(self, "_drop_" + item.kind)(item.name)
        for child in self.wanted.children(item):
            if child.state != "absent":
                self.fail(child, "%s %s failed: %s" % (item.kind, item.name, reason))

    def _drop_tenant(self, name):
        for group in (
            self.users,
            self.expire,
            self.limits,
            self.tenants.make,
            self.tenants.repair,
            self.tenants.remove,
        ):
            group.pop(name, None)
        for group in (self.start, self.stop, self.reload):
            group.discard(name)

    def _drop_webroot(self, name):
        for group in (self.webroots.make, self.webroots.repair, self.webroots.remove, self.publics):
            group.pop(name, None)
        self.nginx.pop("webroots/%s.conf" % name, None)
        for key in [key for key in self.pools if key.endswith("/" + name)]:
            del self.pools[key]

    def _drop_fqdn(self, name):
        self.nginx.pop("sites/%s.conf" % name, None)

    def ok(self, item):
        """Tell whether an item has not failed so far."""
        return not self.report.is_failed(item.id)
