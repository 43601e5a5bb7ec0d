# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a run is going to do, and for whom. Nothing here touches the host."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any


@dataclass
class Work:
    """What happens to one instance. Texts are None where the file stays as it is."""

    name: str
    tenant: str
    #: that of the instance's own user
    uid: int
    #: the instance comes, or goes
    make: bool = False
    remove: bool = False
    #: its directory gets back its owner and mode
    repair: bool = False
    #: it was shut for a move, and is in service again
    reopen: bool = False
    #: it begins with the data that came from another shard
    adopt: bool = False
    #: it is stopped, and its data become those of its own user
    take: bool = False
    #: what is to be done besides where it is highly available
    sentinel: Any = None
    #: the configuration file; where persistence changes, it is written when the data are on disk in the new way
    conf: str | None = None
    drop_in: str | None = None
    #: MiB that the unit has now and is going to have
    limits: tuple = (0, 0)
    acl: str | None = None
    #: the platform's password, where it has none yet
    key: str | None = None
    #: what the running instance answers to ACL LIST
    users: str | None = None
    #: {setting: value} to change while it runs
    live: dict = field(default_factory=dict)
    #: (before, after) where the choice of persistence changes; None again when the data are in the new form
    persistence: tuple | None = None
    #: {user: line} of the ACL file as it is going to be
    lines: dict = field(default_factory=dict)
    #: users whose connections are ended, because their password changed
    kick: list = field(default_factory=list)
    #: it reads its ACL file, now or once it has started
    load: bool = False
    start: bool = False
    stop: bool = False
    restart: bool = False

    def idle(self):
        """Tell whether nothing is to be done."""
        texts = (self.conf, self.drop_in, self.acl, self.key)
        flags = (
            self.make,
            self.remove,
            self.repair,
            self.reopen,
            self.take,
            self.load,
            self.start,
            self.stop,
            self.restart,
        )
        texts_or_more = any(text is not None for text in texts) or bool(self.live or self.sentinel)
        return not (any(flags) or texts_or_more)


class Plan:
    """The changes of a run.

    A failed item takes its own changes out: at any time the plan holds what is to be done.

    users    {tenant: uid} to make
    owners   {instance: uid} of users to make
    expire   {tenant: True to lock the account, False to open it}
    slices   {tenant: text of the slice's drop-in, or None to remove it}
    leave    {tenant: Account} of tenants that have nothing left here
    work     {instance: Work}
    forget   paths of data that were kept long enough
    observed {instance: Observed, or the error} of those that run
    """

    def __init__(self, wanted, host, settings, report):
        self.wanted, self.host, self.settings, self.report = wanted, host, settings, report
        self.users, self.expire, self.slices, self.leave, self.work, self.forget = {}, {}, {}, {}, {}, []
        self.owners, self.observed = {}, {}
        #: MiB that instances of the host may hold together; None until somebody asks
        self.given = None
        self._notes = {}

    def empty(self):
        """Tell whether there is nothing to do."""
        return not any([self.users, self.expire, self.slices, self.leave, self.forget]) and all(
            work.idle() for work in self.work.values()
        )

    # What to tell

    def id(self, kind, name):
        """Return what the report calls a resource; those that no item names are called by their name."""
        item = getattr(self.wanted, kind).get(name)
        return item.id if item else name

    def note(self, id_, message, before="", after="", header=None):
        """Remember a change for the report."""
        self._notes.setdefault(id_, []).append((message, before, after, header))

    def tell(self):
        """Write what was noted into the report."""
        wanted = self.wanted
        for items in (wanted.tenants, wanted.instances, wanted.users, wanted.elsewhere):
            for item in items.values():
                self.report.unchanged(item.id)
        for id_, notes in self._notes.items():
            for message, before, after, header in notes:
                self.report.changed(id_, message, before, after, header)

    # What fails

    def ok(self, item):
        """Tell whether an item has not failed so far."""
        return not self.report.is_failed(item.id)

    def failed(self, name):
        """Tell whether an instance has failed, or was refused, so that nothing was done to it."""
        return self.report.is_failed(self.id("instances", name)) or name in self.wanted.refused["instances"]

    def fail(self, item, reason):
        """Report an item as failed and take it and its children out of the plan."""
        if not self.ok(item):
            return
        self.report.failed(item.id, reason)
        self._notes.pop(item.id, None)
        if item.kind == "tenant":
            for group in (self.users, self.expire, self.slices, self.leave):
                group.pop(item.name, None)
        if item.kind == "instance":
            self._drop(item.name)
        for child in self.wanted.children(item):
            if child.state != "absent":
                self.fail(child, "%s %s failed: %s" % (item.kind, item.name, reason))

    def _drop(self, name):
        self.work.pop(name, None)
        self.owners.pop(name, None)

    def fail_instance(self, name, reason):
        """The same for an instance that perhaps no item names."""
        item = self.wanted.instances.get(name)
        if item:
            self.fail(item, reason)
            return
        self._notes.pop(name, None)
        self.report.failed(name, reason)
        self._drop(name)
        for user in self.wanted.users.values():
            if user.instance == name and user.state != "absent":
                self.fail(user, "instance %s failed: %s" % (name, reason))
