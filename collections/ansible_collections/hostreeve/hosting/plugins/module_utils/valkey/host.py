# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What is on a Valkey host. Everything is read at most once, and nothing before it is asked for."""

from __future__ import annotations

import json
import os
import re
from functools import cached_property

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.accounts import Users
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import MARK, Folder, listed
from ansible_collections.hostreeve.hosting.plugins.module_utils.units import UNITS, Units, limits_path
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import acl, config, ha
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import Client

#: The units of an instance and of its Sentinel.
VALKEY, SENTINEL = Units("hostreeve-valkey"), Units("hostreeve-valkey-sentinel")
#: What a run has written and not yet made effective. A run that was cut off leaves it for the next one.
PENDING = os.path.join(whole_list.STATE, "valkey-pending")

#: The comment of an instance's user.
OWNER = "Hostreeve Valkey instance"

_KEPT = re.compile(r"(kv_[a-z0-9]{10})\.(\d{8}T\d{6}Z)")


class Host(Users):
    """A Valkey host as it is now. ``root`` is the directory that stands for /, for tests."""

    def __init__(self, root="/"):
        super().__init__(root)
        self.confs = Folder(self.at(config.ETC[1:]))
        self.acls = Folder(self.at(config.ETC[1:]), ".acl")
        self.units = self.at(UNITS[1:])
        self.data = self.at(config.DATA[1:])
        self.kept_path = os.path.join(self.data, ".removed")
        self.incoming = os.path.join(self.data, ".incoming")

    @cached_property
    def instances(self):
        """{instance: (tenant, settings)} of those that Hostreeve made."""
        found = {}
        for name in self.confs.marked(MARK):
            tenant, values = config.parse(self.confs.get(name))
            if grammar.VALKEY.fullmatch(name) and tenant:
                found[name] = (tenant, values)
        return found

    def of(self, tenant):
        """Return the instances of a tenant."""
        return sorted(name for name, (owner, _) in self.instances.items() if owner == tenant)

    def owner(self, name):
        """Return the account of an instance, or None; all of name, uid, comment and home must say that we made it."""
        account = self.accounts.get(name)
        least, most = grammar.VALKEY_UIDS
        ours = account and grammar.VALKEY.fullmatch(name) and least <= account.uid <= most
        return account if ours and (account.gecos, account.home) == (OWNER, "%s/%s" % (config.DATA, name)) else None

    @cached_property
    def ports(self):
        """{port: instance}; one that has moved needs none."""
        return {values.get("port"): name for name, (_, values) in self.instances.items() if name not in self.moved}

    def data_path(self, name):
        """Return the path of an instance's data."""
        return os.path.join(self.data, name)

    def key_path(self, name):
        """Return the path of the file that holds the platform's password for an instance."""
        return os.path.join(self.confs.path, name + ".key")

    def key(self, name):
        """Return the platform's password for an instance, or None."""
        return (whole_list.read(self.key_path(name)) or "").strip() or None

    def drop_in_path(self, name):
        """Return the path of an instance's drop-in."""
        return os.path.join(self.units, VALKEY.unit(name) + ".d", "50-instance.conf")

    def slice_path(self, tenant):
        """Return the path of the drop-in of a tenant's slice."""
        return limits_path(self.units, tenant)

    def wants_path(self, name):
        """Return the path of the link that starts an instance at boot."""
        return VALKEY.wants(self.units, name)

    @cached_property
    def running(self):
        """The instances that run."""
        return VALKEY.running()

    @cached_property
    def moved(self):
        """The instances that were shut because they moved to another shard."""
        return {name[: -len(".moved")] for name in listed(self.confs.path) if name.endswith(".moved")}

    def moved_path(self, name):
        """Return the path of the file that says so of an instance."""
        return os.path.join(self.confs.path, name + ".moved")

    def incoming_path(self, name):
        """Return the path of the data with which an instance from another shard begins here."""
        return os.path.join(self.incoming, name + ".rdb")

    @property
    def has_valkey(self):
        """Tell whether Valkey is installed."""
        return os.path.exists(self.at("usr/bin/valkey-server"))

    @property
    def is_web(self):
        """Tell whether this is a web host: its module would remove our tenants, and we those of its sites."""
        return os.path.isdir(self.at("etc/nginx/hostreeve"))

    @cached_property
    def kept(self):
        """[(instance, time as 20261231T235959Z, path)] of the data of instances that were removed."""
        found = map(_KEPT.fullmatch, sorted(listed(self.kept_path)))
        return [(one[1], one[2], os.path.join(self.kept_path, one[0])) for one in found if one]

    @cached_property
    def pending(self):
        """{"units": whether systemd must read, "acl": instances, "restart": instances} that a run left undone."""
        left = json.loads(whole_list.read(PENDING) or "{}") if self.root == "/" else {}
        return {"units": bool(left.get("units")), **{one: set(left.get(one, ())) for one in ("acl", "restart")}}

    @cached_property
    def available(self):
        """The highly available ones of the instances."""
        return {name for name, (_, values) in self.instances.items() if ha.is_on(values)}

    @cached_property
    def sentinels(self):
        """The instances whose Sentinel runs."""
        return SENTINEL.running() if self.root == "/" else set()

    def nodes_path(self, name):
        """Return the path of the file by which an instance's unit finds the other nodes."""
        return os.path.join(self.confs.path, name + ".ha")

    def sentinel_acl_path(self, name):
        """Return the path of the users of an instance's Sentinel."""
        return os.path.join(self.confs.path, name + ".sentinel")

    def sentinel_drop_in_path(self, name):
        """Return the path of the drop-in of an instance's Sentinel."""
        return os.path.join(self.units, SENTINEL.unit(name) + ".d", "50-instance.conf")

    def sentinel_wants_path(self, name):
        """Return the path of the link that starts an instance's Sentinel at boot."""
        return SENTINEL.wants(self.units, name)

    def sentinel_admin(self, name):
        """Return a connection to a running Sentinel as the platform's user."""
        return Client(ha.socket(name), acl.ADMIN, self.key(name) or "")

    @cached_property
    def memory_mb(self):
        """MiB of memory that the host has."""
        rows = (whole_list.read(self.at("proc/meminfo")) or "").splitlines()
        return next((int(row.split()[1]) // 1024 for row in rows if row.startswith("MemTotal:")), 0)

    def admin(self, name):
        """Return a connection to a running instance as the platform's user."""
        return Client(config.socket(name), acl.ADMIN, self.key(name) or "")
