# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Changes a running instance: settings, the form of its data, users, memory."""

from __future__ import annotations

import contextlib
import os
import shutil
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import ValkeyError

#: Seconds that Valkey may take to write all data in a new form, and to give memory back.
WRITE, SHRINK = 120, 10
#: MiB between what a process uses and its limit.
ROOM = 8
#: Choice of persistence → (what it does not need any more, the command that writes what it does need)
FORMS = {
    "none": (("dump.rdb", "appendonlydir"), None),
    "rdb": (("appendonlydir",), "BGSAVE"),
    "aof": (("dump.rdb",), None),
}


def settings(client, work):
    """Take over settings, and with another persistence wait until the data are on disk in that form."""
    if work.live:
        client("CONFIG", "SET", *(word for pair in work.live.items() for word in pair))
    if not work.persistence:
        return
    command = FORMS[work.persistence[1]][1]
    if command:
        client(command)
    if work.persistence[1] != "none":
        _written(client)


def _written(client):
    end = time.monotonic() + WRITE
    while True:
        info = client.info("persistence")
        busy = ("rdb_bgsave_in_progress", "aof_rewrite_in_progress", "aof_rewrite_scheduled")
        if all(info.get(one) == "0" for one in busy):
            break
        if time.monotonic() > end:
            raise ValkeyError("it still writes its data; converge again later")
        time.sleep(0.05)
    if info.get("rdb_last_bgsave_status") != "ok" or info.get("aof_last_bgrewrite_status") != "ok":
        raise ValkeyError("it could not write its data; its journal says why")


def drop_old_forms(work):
    """Remove data in a form that is not read any more; as the tenant, since the directory is the tenant's."""
    base = os.path.join(config.DATA, work.name)

    def remove():
        for name in FORMS[work.persistence[1]][0]:
            path = os.path.join(base, name)
            shutil.rmtree(path, ignore_errors=True)
            with contextlib.suppress(OSError):
                os.unlink(path)

    return accounts.run_as(work.uid, remove)


def users(client, work):
    """Read the ACL file again; whoever used an old password must show the new one."""
    client("ACL", "LOAD")
    for name in work.kick:
        with contextlib.suppress(ValkeyError):  # nobody is connected
            client("CLIENT", "KILL", "USER", name)


def shrink(client, limit):
    """Give memory back until the process fits below a lower limit, in MiB; ValkeyError if it does not."""
    end = time.monotonic() + SHRINK
    while True:
        client("MEMORY", "PURGE")
        used = int(client.info("memory").get("used_memory_rss", "0"))
        if used <= (limit - ROOM) * config.MIB:
            return
        if time.monotonic() > end:
            raise ValkeyError("it has not given its memory back yet, and keeps its limit; converge again later")
        time.sleep(0.2)
