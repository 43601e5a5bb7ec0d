# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The Linux user of each instance: its own, so that no tenant's process has an instance's rights, nor the reverse."""

from __future__ import annotations

import os
import stat

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import is_folder, lstat
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import OWNER

HOME = config.DATA + "/%s"


def uid(plan_, name):
    """Return (uid of an instance's user that exists or is going to, None) or (None, why there is none)."""
    host = plan_.host
    account = host.accounts.get(name)
    if account:
        return (account.uid, None) if host.owner(name) else (None, "the user %s exists and is not Hostreeve's" % name)
    least, most = grammar.VALKEY_UIDS
    taken = host.uids.keys() | host.gids.keys() | set(plan_.owners.values())
    free = next((one for one in range(least, most + 1) if one not in taken), None)
    reason = host.clash(name, free) if free else "no uid from %d to %d is free on this host" % (least, most)
    if reason:
        return None, reason
    plan_.owners[name] = free
    return free, None


def is_foreign(host, name):
    """Tell whether an instance's data are still its tenant's, as earlier releases made them, or of a user that is gone.

    They are taken over, which needs a stop.
    """
    found = lstat(host.data_path(name))
    if name not in host.instances or found is None or not stat.S_ISDIR(found.st_mode):
        return False
    account = host.owner(name)
    return account is None or found.st_uid != account.uid


def in_the_way(host, name, tenant, uid_):
    """Return what of somebody else's stands where an instance's data go, or None."""
    path = host.data_path(name)
    found = lstat(path)
    if found is None or (stat.S_ISDIR(found.st_mode) and found.st_uid == uid_):
        return None
    owner = host.uids.get(found.st_uid)
    # Root's: a run that took it over was cut off.
    if stat.S_ISDIR(found.st_mode) and name in host.instances and owner in (tenant, "root", None):
        return None
    return "%s is in the way: it is not a directory of its user" % path


def is_fit(host, name, uid_):
    """Tell whether an instance's directory is as it should be."""
    return is_folder(lstat(host.data_path(name)), uid_, uid_, 0o700)


# Applying


def make(plan_):
    """Make the planned users; an instance whose user did not come out as planned fails."""
    for name, reason in accounts.make(plan_.host, plan_.owners, OWNER, HOME).items():
        plan_.fail_instance(name, reason)


def folder(path, uid_):
    """Make a directory in one of root's, or give it back its owner and mode."""
    try:
        os.mkdir(path, 0o700)
    except FileExistsError:
        os.chmod(path, 0o700)
    os.chown(path, uid_, uid_, follow_symlinks=False)


def adopt(host, name, uid_):
    """Let an instance begin with data that came from another host."""
    data = os.path.join(host.data_path(name), "dump.rdb")
    os.chown(host.incoming_path(name), uid_, uid_)
    os.rename(host.incoming_path(name), data)


def give(path, uid_):
    """Give a directory with all that is in it to a user; nothing of it may run.

    Root has it meanwhile, so that whoever had it can put nothing into it any more, and no link is followed.
    """
    os.chown(path, 0, 0, follow_symlinks=False)
    os.chmod(path, 0o700)
    for _, folders, files, descriptor in os.fwalk(path, follow_symlinks=False):
        for name in folders + files:
            os.chown(name, uid_, uid_, dir_fd=descriptor, follow_symlinks=False)
    os.chown(path, uid_, uid_, follow_symlinks=False)


def remove(name, uid_):
    """Remove an instance's user with whatever still runs as it; returns the error, or None."""
    if accounts.kill([uid_]):
        return "some of its processes cannot be killed"
    return accounts.remove(name)
