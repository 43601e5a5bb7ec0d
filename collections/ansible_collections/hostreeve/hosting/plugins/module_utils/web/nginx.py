# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""nginx: tests a changed tree beside the live one, and knows when a reload has happened."""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.files import listed
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.settle import Complaint

PID = "/run/nginx.pid"
PATIENCE = 60  # seconds that a reload may take; reading 100,000 names is slow


class Stage:
    """A copy of /etc/nginx made of links, in which some files differ.

    nginx takes a relative include from the directory of its main file, so the copy of the main file reads the copied
    tree. Everything is below a directory that only root may enter, and nothing of the live tree is written.
    """

    def __init__(self, live="/etc/nginx"):
        self.live = live
        self.path = tempfile.mkdtemp(prefix="hostreeve-nginx-", dir="/run")
        self._staged = {}
        self._link(live, self.path, skip="hostreeve")
        os.mkdir(self._at(""))
        for folder in ("webroots", "sites"):
            os.mkdir(self._at(folder))
            self._link(os.path.join(live, "hostreeve", folder), self._at(folder))

    def __enter__(self):
        return self

    def __exit__(self, *_):
        shutil.rmtree(self.path, ignore_errors=True)

    def test(self, changes):
        """Ask nginx about the live tree with these changes ({"sites/NAME.conf": text or None}); Complaint or None."""
        for name in self._staged.keys() | changes.keys():
            if name not in changes:
                self._put(name, None)
                if os.path.lexists(self._live(name)):
                    os.symlink(self._live(name), self._at(name))
            elif self._staged.get(name, "") != changes[name]:
                self._put(name, changes[name])
        self._staged = dict(changes)
        done = subprocess.run(
            ["/usr/sbin/nginx", "-t", "-q", "-c", os.path.join(self.path, "nginx.conf")],
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
            errors="replace",
            check=False,
        )
        if done.returncode == 0:
            return None
        errors = re.findall(r"\[(?:emerg|crit|alert)\] (?:\d+#\d+: )?(.*)", done.stderr) or [
            "exit code %d" % done.returncode
        ]
        blamed = re.findall(re.escape(self._at("")) + r"((?:sites|webroots)/[^\s:]+):\d+", errors[0])
        return Complaint(errors[0].replace(self.path, self.live), blamed[-1] if blamed else None)

    def _at(self, name):
        return os.path.join(self.path, "hostreeve", name)

    def _live(self, name):
        return os.path.join(self.live, "hostreeve", name)

    @staticmethod
    def _link(source, target, skip=None):
        for name in listed(source):
            if name != skip:
                os.symlink(os.path.join(source, name), os.path.join(target, name))

    def _put(self, name, text):
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._at(name))
        if text is not None:
            with open(self._at(name), "w", encoding="utf-8") as handle:
                handle.write(text)


def order(changes):
    """Sort changes so that each needs only earlier ones: a site needs its webroot's file, removals go the other way."""
    rank = {("sites", True): 0, ("webroots", False): 1, ("sites", False): 2, ("webroots", True): 3}
    return dict(sorted(changes.items(), key=lambda one: rank[one[0].split("/")[0], one[1] is None]))


def reload():
    """Make nginx serve what is on disk, and return when it does; the reason as text if it does not.

    The master is told directly: the checker has just read the tree, and `systemctl reload` would read it once more.
    """
    master = _master()
    if master is None:
        done = subprocess.run(
            ["systemctl", "start", "nginx.service"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=False
        )
        return None if done.returncode == 0 else "nginx does not start; its journal says why"
    before = _children(master)
    os.kill(master, signal.SIGHUP)
    end = time.monotonic() + PATIENCE
    while time.monotonic() < end:
        now = _children(master)
        # Old workers that still accept would answer with what was before.
        if now - before and not any(_accepts(worker) for worker in now & before):
            return None
        time.sleep(0.005)
    return "nginx did not take over the new configuration within %d seconds; its error log says why" % PATIENCE


def _master():
    try:
        with open(PID, encoding="ascii") as handle:
            pid = int(handle.read())
        with open("/proc/%d/comm" % pid, encoding="ascii") as handle:
            return pid if handle.read().strip() == "nginx" else None
    except (OSError, ValueError):
        return None


def _children(pid):
    """Return the ids of a process's children."""
    try:
        with open("/proc/%d/task/%d/children" % (pid, pid), encoding="ascii") as handle:
            return {int(child) for child in handle.read().split()}
    except FileNotFoundError:  # a kernel without CONFIG_PROC_CHILDREN
        found = set()
        for entry in filter(str.isdigit, os.listdir("/proc")):
            with contextlib.suppress(OSError), open("/proc/%s/stat" % entry, "rb") as handle:
                if int(handle.read().rsplit(b")", 1)[1].split()[1]) == pid:
                    found.add(int(entry))
        return found


def _accepts(worker):
    """Tell whether an old worker still takes connections."""
    try:
        with open("/proc/%d/cmdline" % worker, "rb") as handle:
            title = handle.read()
    except (FileNotFoundError, ProcessLookupError):
        return False
    return title != b"" and b"shutting down" not in title
