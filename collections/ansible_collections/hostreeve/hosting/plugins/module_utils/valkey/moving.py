# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps by which an instance moves to another shard: what its source does, and what makes the copy.

The copy is a snapshot in ``.incoming``, which the first converge that lists the instance there begins with. A process
that nobody reaches makes it, as a replica of the source; or it is fetched, where the target cannot reach the source.
"""

from __future__ import annotations

import contextlib
import hashlib
import math
import os
import secrets
import shutil
import subprocess
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils import accounts, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.units import systemctl
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey import config, live, memory
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import Client, ValkeyError
from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.host import VALKEY

#: As whom the target follows, for as long as a copy takes; in no file.
USER = "hostreeve-move"
_RULES = ("resetchannels", "-@all", "+psync", "+replconf", "+ping")
STATE, RUN = "/var/lib/hostreeve-valkey-copy", "/run/hostreeve-valkey-copy"
#: Seconds: to reach the source at all, between looks, and that answers about all keys may take.
REACH, LOOK, LONG = 10, 0.1, 600
#: Seconds that are left of a pause when the instance is stopped.
STOP = 2
#: Milliseconds within which an expiry is too near to be compared: it may come between the two looks.
SOON = 120_000
#: The share of a pause that comparing one side may take: both are compared, and the copy catches up and is kept.
SHARE = 3

#: Keys that expire later than ARGV[1], and the sum of a hash of each with its time, of the database ARGV[2].
_TIMES = """#!lua flags=no-writes
redis.call('SELECT', ARGV[2])
local cursor, count, sum = '0', 0, 0
repeat
  local found = redis.call('SCAN', cursor, 'COUNT', 1000)
  cursor = found[1]
  for _, key in ipairs(found[2]) do
    local at = redis.call('PEXPIRETIME', key)
    if at > tonumber(ARGV[1]) then
      count = count + 1
      local hash = redis.sha1hex(key .. '@' .. string.format('%.0f', at))
      sum = (sum + tonumber(string.sub(hash, 1, 12), 16)) % 281474976710656
    end
  end
until cursor == '0'
return {count, string.format('%.0f', sum)}
"""


def digest(client, after):
    """Return what two equal data sets have in common: keys, values, and the times after ``after`` (ms) of expiries."""
    found = {}
    for name, text in client.info("keyspace").items():
        keys = dict(part.split("=") for part in text.split(","))["keys"]
        found[name] = {"keys": int(keys), "times": client("EVAL", _TIMES, "0", str(after), name[2:])}
    return {"values": client("DEBUG", "DIGEST"), "databases": found}


# The source


def offer(host, name, sha256):
    """Let the target follow; returns {"port", "bytes", "memory_mb"}."""
    if name not in host.instances or name not in host.running:
        raise ValkeyError("%s does not run here" % name)
    if name in host.available:
        raise ValkeyError("%s is highly available: it does not move" % name)
    with host.admin(name) as client:
        client("ACL", "SETUSER", USER, "reset", "on", "#" + sha256, *_RULES)
        used = int(client.info("memory")["used_memory"])
    return {"port": int(host.instances[name][1]["port"]), "bytes": used, "memory_mb": memory.of(host, name)}


def close(host, name, seconds, compare_seconds):
    """Let writes wait, at most for so long; returns what the copy must be.

    While it is compared nobody is answered, and nothing ends that early: so refused if that would take too long.
    """
    if compare_seconds * SHARE > seconds:
        text = "comparing would take about %.0f seconds: a longer move_lock_seconds is needed, of %d"
        raise ValkeyError(text % (compare_seconds, math.ceil(compare_seconds * SHARE)))
    began = time.time()
    with _patient(host, name) as client:
        client("CLIENT", "PAUSE", str(seconds * 1000), "WRITE")
        offset = int(client.info("replication")["master_repl_offset"])
        after = int(began * 1000) + SOON
        return {"began": began, "offset": offset, "after": after, "digest": digest(client, after)}


def save(host, name):
    """Write a snapshot for the fetch; returns its path."""
    with _patient(host, name) as client:
        client("BGSAVE")
        live.written(client)
    return os.path.join(host.data_path(name), "dump.rdb")


def shut(host, name, began, seconds):
    """Stop the instance, for good until a list names it here; returns the seconds for which writes have waited."""
    if time.time() - began > seconds - STOP:
        raise ValkeyError("writes have waited for too long")
    whole_list.write(host.moved_path(name), "", 0o600)
    VALKEY.enable(host.wants_path(name), False)
    VALKEY.stop({name})
    return round(time.time() - began, 1)


def reopen(host, name):
    """Take writes again."""
    if name in host.moved:
        VALKEY.enable(host.wants_path(name), True)
        if VALKEY.start({name}):
            raise ValkeyError("%s does not start" % VALKEY.unit(name))
        os.unlink(host.moved_path(name))
    withdraw(host, name)
    if name in host.running:
        with host.admin(name) as client:
            client("CLIENT", "UNPAUSE")
    _unsave(host, name)


def _unsave(host, name):
    """Remove what ``save`` wrote for an instance that keeps no snapshot: a restart weeks later might begin with it."""
    owner, persistence = host.owner(name), config.persistence(host.instances.get(name, (None, {}))[1])
    if name in host.available or owner is None or persistence not in ("none", "aof"):
        return
    if name in host.running:
        # One that is still being written would come after this; refused if there is none.
        with host.admin(name) as client, contextlib.suppress(ValkeyError):
            client("BGSAVE", "CANCEL")
    path = os.path.join(host.data_path(name), "dump.rdb")

    def remove():
        with contextlib.suppress(FileNotFoundError):
            os.unlink(path)

    # As the instance's user, since the directory is that user's.
    error = accounts.run_as(owner.uid, remove)
    if error:
        raise OSError("the snapshot of a move stays behind: %s" % error)


def withdraw(host, name):
    """Let nobody follow any more."""
    if name in VALKEY.running():
        with host.admin(name) as client:
            client("ACL", "DELUSER", USER)


def _patient(host, name):
    client = host.admin(name)
    client.patience(LONG)
    return client


# The target


class Copy:
    """What becomes the data of an instance here."""

    def __init__(self, host, name):
        self.host, self.name = host, name
        self.unit = "hostreeve-valkey-copy-%s.service" % name
        self.state, self.socket = os.path.join(STATE, name), "%s/%s/valkey.sock" % (RUN, name)
        self.key = os.path.join(host.incoming, name + ".key")
        self.fetched = os.path.join(host.incoming, name + ".fetched")

    def prepare(self):
        """Make room; returns the hash of the password with which the source lets the copy in."""
        if self.name in self.host.instances:
            raise ValkeyError("%s is on this host already" % self.name)
        self.discard()
        os.makedirs(self.host.incoming, mode=0o700, exist_ok=True)
        password = secrets.token_hex(32)
        whole_list.write(self.key, password + "\n", 0o600)
        return hashlib.sha256(password.encode()).hexdigest()

    def follow(self, address, port, memory_mb, percent):
        """Begin to follow the source, if this host has room; returns {"reached", "seconds"} when all data have come.

        The seconds are what it takes here to compare, where nobody waits for it.
        """
        refusal = memory.full(self.host, memory.given(self.host, self.host.moved), memory_mb, percent)
        if refusal:
            raise ValkeyError(refusal)
        self._start()
        with self._client() as client:
            client("CONFIG", "SET", "masteruser", USER, "masterauth", whole_list.read(self.key).strip())
            client("REPLICAOF", address, port)
            begun, end = time.monotonic(), time.monotonic() + LONG
            while time.monotonic() < end:
                found = client.info("replication")
                if found["master_link_status"] == "up":
                    began = time.monotonic()
                    digest(client, int(time.time() * 1000) + SOON)
                    return {"reached": True, "seconds": round(time.monotonic() - began, 2)}
                if found["master_sync_in_progress"] == "0" and time.monotonic() - begun > REACH:
                    break
                time.sleep(LOOK)
        self._stop()
        return {"reached": False, "seconds": 0.0}

    def take(self):
        """Begin with the snapshot that was fetched."""
        self._start(self.fetched)

    def finish(self, closed, seconds):
        """Keep the copy if it is equal to the source; returns {"keys", "expiring", "bytes"}."""
        with self._client() as client:
            if not os.path.exists(self.fetched):
                self._caught_up(client, closed["offset"], seconds)
            found = digest(client, closed["after"])
            if found != closed["digest"]:
                raise ValkeyError("the copy is not equal to its source")
            client("SAVE")
        self._stop(keep=True)
        path = os.path.join(self.state, "dump.rdb")
        whole = self.host.incoming_path(self.name)
        with open(os.open(path, os.O_RDONLY | os.O_NOFOLLOW), "rb") as old, open(whole + ".part", "wb") as new:
            shutil.copyfileobj(old, new, 1 << 20)
            new.flush()
            os.fsync(new.fileno())
        os.chmod(whole + ".part", 0o600)
        os.rename(whole + ".part", whole)
        size = os.stat(whole).st_size
        self._clean()
        databases = found["databases"].values()
        return {
            "keys": sum(one["keys"] for one in databases),
            "expiring": sum(int(one["times"][0]) for one in databases),
            "bytes": size,
        }

    def discard(self):
        """Remove all of a copy."""
        self._stop()
        self._clean()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.host.incoming_path(self.name))

    def _caught_up(self, client, offset, seconds):
        end = time.monotonic() + seconds
        while int(client.info("replication")["slave_repl_offset"]) < offset:
            if time.monotonic() > end:
                raise ValkeyError("the copy has not caught up in %d seconds" % seconds)
            time.sleep(LOOK)

    def _client(self):
        return Client(self.socket, patience=LONG)

    def _start(self, snapshot=None):
        folder = "hostreeve-valkey-copy/" + self.name
        rules = ["User=nobody", "Group=nogroup", "PrivateNetwork=no", "ProtectSystem=strict", "NoNewPrivileges=yes"]
        rules += ["StateDirectory=" + folder, "StateDirectoryMode=0700", "RuntimeDirectory=" + folder]
        rules += ["RuntimeDirectoryMode=0700", "Type=notify", "TimeoutStartSec=%d" % LONG, "UMask=0077"]
        if snapshot:
            os.makedirs(self.state, mode=0o700)
            os.rename(snapshot, os.path.join(self.state, "dump.rdb"))
            shutil.chown(os.path.join(self.state, "dump.rdb"), "nobody", "nogroup")
            open(self.fetched, "w").close()
        options = {"port": "0", "unixsocket": self.socket, "dir": self.state, "save": "", "supervised": "systemd"}
        # As a replica even of nobody it lets no key expire by itself.
        options.update({"enable-debug-command": "local", "replicaof": "127.0.0.1 1"})
        words = [word for option, value in options.items() for word in ("--" + option, *(value.split(" ")))]
        how = ["--quiet", "--collect", "--unit", self.unit, *("--property=" + one for one in rules)]
        done = subprocess.run(
            ["systemd-run", *how, "/usr/bin/valkey-server", *words],
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise OSError("the process that makes the copy does not start: %s" % done.stderr.strip()[-300:])

    def _stop(self, keep=False):
        systemctl("stop", self.unit)
        if not keep:
            shutil.rmtree(self.state, ignore_errors=True)

    def _clean(self):
        shutil.rmtree(self.state, ignore_errors=True)
        for path in (self.key, self.fetched):
            with contextlib.suppress(FileNotFoundError):
                os.unlink(path)
