"""Finds out who is the primary of a highly available instance. Its unit asks before every start.

    hostreeve-valkey-role start NAME     write what Valkey includes: whom it follows, or nothing
    hostreeve-valkey-role primary NAME   print the primary's address: as Sentinel has it, or the instance's home

Only the Sentinels know who is the primary: the settings of an instance say nothing of it, so that a host that was down
comes back as a replica, and a converge moves nothing.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from concurrent.futures import ThreadPoolExecutor

ETC, RUN = "/etc/hostreeve/valkey", "/run/hostreeve-valkey-role"
#: Seconds: for an answer, for a majority of Sentinels to be there, for another node to be made the primary.
ANSWER, MAJORITY, FAILOVER = 2, 10, 15


class Instance:
    """What is in NAME.ha: name, user, password, port, sentinel (port), here, home and nodes (addresses)."""

    def __init__(self, name):
        with open(os.path.join(ETC, name + ".ha"), encoding="utf-8") as handle:
            vars(self).update(json.load(handle))

    def ask(self, address, port, *words):
        """Return what a server answers as text (JSON but for INFO), or None if it does not, or refuses."""
        try:
            return subprocess.run(
                [
                    "valkey-cli",
                    "-e",
                    "--json",
                    "--no-auth-warning",
                    "-h",
                    address,
                    "-p",
                    str(port),
                    "--user",
                    self.user,
                    *words,
                ],
                env={"PATH": os.environ.get("PATH", "/usr/bin"), "REDISCLI_AUTH": self.password},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=ANSWER,
                check=True,
            ).stdout
        except (OSError, subprocess.SubprocessError):
            return None

    def everyone(self, port, *words):
        """Return {address: answer} of the nodes that answer."""
        with ThreadPoolExecutor(len(self.nodes)) as pool:
            answers = list(pool.map(lambda address: self.ask(address, port, *words), self.nodes))
        return {address: answer for address, answer in zip(self.nodes, answers, strict=True) if answer is not None}

    def views(self):
        """Return [(epoch, address of the primary)] of the Sentinels that answer, the newest last."""
        seen = self.everyone(self.sentinel, "sentinel", "master", self.name)
        return sorted((int(one["config-epoch"]), one["ip"]) for one in map(json.loads, seen.values()))

    def alive_elsewhere(self):
        """Tell whether another node has the data in memory: it followed this node until a moment ago."""
        for address, answer in self.everyone(self.port, "info", "replication").items():
            rows = dict(row.partition(":")[::2] for row in answer.splitlines())
            linked = (
                rows.get("master_link_status") == "up" or int(rows.get("master_link_down_since_seconds", "-1")) >= 0
            )
            if address != self.here and rows.get("master_host") == self.here and linked:
                return True
        return False


def newest(instance):
    """Return the primary in the newest view of a majority; of those that answer, if the others do not for a while."""
    end = time.monotonic() + MAJORITY
    while True:
        views = instance.views()
        if len(views) > len(instance.nodes) // 2 or (views and time.monotonic() > end):
            return views[-1][1]
        if time.monotonic() > end:
            sys.exit("no Sentinel of %s answers" % instance.name)
        time.sleep(0.5)


def handed_over(instance):
    """Let a Sentinel make another node the primary, as all will before long, and return its address."""
    for address in sorted(instance.nodes, key=lambda one: one == instance.here):  # this node's perhaps knows nobody yet
        if instance.ask(address, instance.sentinel, "sentinel", "failover", instance.name) is not None:
            break
    end = time.monotonic() + FAILOVER
    while time.monotonic() < end:
        views = instance.views()
        if views and views[-1][1] != instance.here:
            return views[-1][1]
        time.sleep(0.3)
    # Those that have the data would throw them away to follow a primary that has less: rather come again.
    sys.exit("no other node has become the primary of %s yet" % instance.name)


def start(instance):
    """Write the role with which the instance is going to start."""
    primary = newest(instance)
    if primary == instance.here and instance.alive_elsewhere():
        # It crashed or is restarted, and its disk holds less than the others' memory: perhaps nothing.
        primary = handed_over(instance)
    if primary not in instance.nodes:
        # Sentinels believe each other; whom the instance follows gets its password.
        sys.exit("the Sentinels have %s as the primary of %s, which is none of its nodes" % (primary, instance.name))
    text = "" if primary == instance.here else "replicaof %s %d\n" % (primary, instance.port)
    descriptor, path = tempfile.mkstemp(dir=RUN)
    with os.fdopen(descriptor, "w") as handle:
        handle.write(text)
        os.fchmod(descriptor, 0o644)
    os.rename(path, os.path.join(RUN, instance.name + ".conf"))


def main():
    command, name = sys.argv[1:]
    instance = Instance(name)
    if command == "start":
        start(instance)
    else:
        views = instance.views()
        print(views[-1][1] if views else instance.home)


main()
