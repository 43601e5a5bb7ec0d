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
#: Choice of persistence → (what it does not need any more, what INFO has as 0 when nobody writes that form, and as ok)
FORMS = {
    "none": (("dump.rdb", "appendonlydir"), ("rdb_bgsave_in_progress", "aof_rewrite_in_progress"), None),
    "rdb": (("appendonlydir",), ("rdb_bgsave_in_progress",), "rdb_last_bgsave_status"),
    "aof": (("dump.rdb",), ("aof_rewrite_in_progress", "aof_rewrite_scheduled"), "aof_last_bgrewrite_status"),
}


def settings(client, work):
    """Take over settings; those of another persistence are left to change_form()."""
    forms = config.PERSISTENCE["none"] if work.persistence else ()
    _set(client, {name: value for name, value in work.live.items() if name not in forms})


def change_form(client, work, put):
    """Keep the data in another form from now on; put() writes the file that says so.

    The old form stays on until all data are on disk in the new one: what fails before changes nothing.
    """
    before, after = (config.PERSISTENCE[one] for one in work.persistence)
    form = work.persistence[1]
    try:
        if form == "none":
            _set(client, after)
        elif form == "aof":
            _set(client, {"appendonly": "yes"})
        else:
            client("BGSAVE")
            _set(client, {"save": after["save"]})
        # Without persistence too: a snapshot that ends later would come back at a restart, weeks old.
        written(client, form)
    except (ValkeyError, OSError, ValueError):
        with contextlib.suppress(ValkeyError, OSError, ValueError):
            _set(client, before)
        raise
    put()
    _set(client, after)
    _drop_old_forms(work)


def _set(client, values):
    if values:
        client("CONFIG", "SET", *(word for pair in values.items() for word in pair))


def written(client, form="rdb"):
    """Wait until all data are on disk in this form; ValkeyError if they cannot be."""
    _, busy, status = FORMS[form]
    end = time.monotonic() + WRITE
    while True:
        info = client.info("persistence")
        if all(info.get(one) == "0" for one in busy):
            break
        if time.monotonic() > end:
            raise ValkeyError("it still writes its data; converge again later")
        time.sleep(0.05)
    if status and info.get(status) != "ok":
        raise ValkeyError("it could not write its data; its journal says why")


def _drop_old_forms(work):
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
