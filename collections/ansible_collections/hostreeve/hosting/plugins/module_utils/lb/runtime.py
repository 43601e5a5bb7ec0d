# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""HAProxy's runtime API: one map read and changed over the admin socket.

Names and shards must have passed the grammar before they come here: a space, a newline or a semicolon would be another
entry or another command.
"""

from __future__ import annotations

import socket
import time

#: Bytes of payload in one command: with the command itself it must fit tune.bufsize (16,384 bytes by default).
CHUNK = 8192
#: Above this many changes the map is replaced in one transaction, below it they are made (and can fail) one by one.
FEW = 200
#: Seconds that a reload may take.
PATIENCE = 15


class RuntimeApiError(Exception):
    """HAProxy answered something other than success, or nothing."""


class Snapshot:
    """What the running process holds: its pid, its back ends (a set of names) and the map's table."""

    def __init__(self, pid, backends, table):
        self.pid = pid
        self.backends = backends
        self.table = table


class Runtime:
    """The HAProxy of this host. Every method raises RuntimeApiError (or OSError where it cannot be reached)."""

    def __init__(self, path, admin, master):
        self.path = path
        self._admin = admin
        self._master = master

    def answers(self):
        """Tell whether HAProxy runs at all."""
        try:
            return bool(self._ask(self._admin, "show info"))
        except OSError:
            return False

    def snapshot(self, expected=frozenset()):
        """Read the current worker's state, after a reload that is under way.

        The answer must come from the worker that the master calls current: around a reload the one that leaves still
        answers, and what it is told is lost. expected: back ends that a reload is about to bring; they are waited for,
        but not insisted on.
        """
        deadline = time.monotonic() + PATIENCE
        while True:
            try:
                worker = self._worker()
                snapshot = self._parse(self._ask(self._admin, f"show info;show backend;show map {self.path}"))
                late = time.monotonic() > deadline
                if snapshot.pid == worker and (late or expected <= snapshot.backends):
                    return snapshot
                error = "the HAProxy process that leaves still answers"
            except (OSError, RuntimeApiError) as failure:
                # While the master starts itself anew its socket refuses connections.
                late, error = time.monotonic() > deadline, f"HAProxy does not answer: {failure}"
            if late:
                raise RuntimeApiError(error)
            time.sleep(0.05)

    def apply(self, table, changes):
        """Make the changes ({name: shard or None}) on top of the table; return {name: error} of those refused."""
        if len(changes) > FEW:
            try:
                self._replace({**{n: s[0] for n, s in table.items()}, **changes})
            except RuntimeApiError as error:
                return {name: str(error) for name in changes}
            return {}
        errors = {}
        for name, shard in changes.items():
            try:
                if shard is None:
                    self._quiet(f"del map {self.path} {name}", "Key not found.")
                elif self._quiet(f"set map {self.path} {name} {shard}", "entry not found."):
                    # `add` alone would put a second entry behind the first, which goes on answering.
                    self._quiet(f"add map {self.path} {name} {shard}")
            except RuntimeApiError as error:
                errors[name] = str(error)
        return errors

    def _worker(self):
        """Return the pid of the worker that serves now."""
        section = ""
        for line in self._ask(self._master, "show proc").splitlines():
            if line.startswith("# "):
                section = line
            elif section == "# workers" and line.strip():
                return int(line.split()[0])
        raise ConnectionError("no worker runs")

    @staticmethod
    def _parse(text):
        pid, backends, table, section = None, set(), {}, "info"
        for line in text.splitlines():
            if line == "# name":
                section = "backends"
            elif not line:
                section = "map" if section == "backends" else section
            elif section == "info" and line.startswith("Pid: "):
                pid = int(line.split()[1])
            elif section == "backends":
                backends.add(line)
            elif section == "map":
                words = line.split()
                if len(words) != 3 or not words[0].startswith("0x"):
                    raise RuntimeApiError(line)
                table.setdefault(words[1], []).append(words[2])
        if pid is None:
            raise RuntimeApiError("the answer broke off")
        return Snapshot(pid, backends, table)

    def _replace(self, entries):
        """Put the entries in the map's place in one step; nothing changes if any of it is refused."""
        version = self._ask(self._admin, f"prepare map {self.path}").split()[-1]
        if not version.isdigit():
            raise RuntimeApiError(f"HAProxy does not prepare a new version of {self.path}")
        wanted = {name: shard for name, shard in entries.items() if shard is not None}
        try:
            for body in chunks(wanted):
                self._quiet(f"add map @{version} {self.path} <<\n{body}")
            # A commit after an add that was lost would leave every missing name without a shard.
            held = len(self._ask(self._admin, f"show map @{version} {self.path}").split("\n"))
            if held != max(len(wanted), 1):
                raise RuntimeApiError(f"HAProxy took {held} of {len(wanted)} entries")
        except (RuntimeApiError, OSError):
            self._ask(self._admin, f"clear map @{version} {self.path}")
            raise
        self._quiet(f"commit map @{version} {self.path}")

    def _quiet(self, command, tolerated=None):
        """Send a command whose success is silence; return True if it gave the tolerated answer instead."""
        answer = self._ask(self._admin, command)
        if answer and answer != tolerated:
            raise RuntimeApiError(answer[:200])
        return bool(answer)

    @staticmethod
    def _ask(path, command):
        """Send one command over a connection of its own and return the whole answer."""
        answer = b""
        with socket.socket(socket.AF_UNIX) as connection:
            connection.settimeout(PATIENCE)
            connection.connect(path)
            connection.sendall(command.encode() + b"\n")
            connection.shutdown(socket.SHUT_WR)  # the master goes on listening for commands otherwise
            while data := connection.recv(65536):
                answer += data
        return answer.decode("utf-8", "replace").strip("\n")


def chunks(entries):
    """Yield the entries as lines of a payload, at most CHUNK bytes each time."""
    body = ""
    for name, shard in sorted(entries.items()):
        line = f"{name} {shard}\n"
        if body and len(body) + len(line) > CHUNK:
            yield body
            body = ""
        body += line
    if body:
        yield body
