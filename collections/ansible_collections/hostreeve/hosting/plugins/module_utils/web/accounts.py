# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Linux users of tenants, and the removal of what was theirs."""

from __future__ import annotations

import contextlib
import grp
import os
import pwd
import shutil
import signal
import subprocess
import tempfile
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.web.host import GECOS, SHELL, listed


def taken(name, uid):
    """Return why a user cannot be made, or None; asks every source of users, so call it only for new ones."""
    for get, key, what in (
        (pwd.getpwnam, name, "user %s" % name),
        (grp.getgrnam, name, "group %s" % name),
        (pwd.getpwuid, uid, "uid %d" % uid),
        (grp.getgrgid, uid, "gid %d" % uid),
    ):
        with contextlib.suppress(KeyError):
            return "the %s is taken on this host, by %s" % (what, get(key)[0])
    return None


def create(uids):
    """Make users with groups, {name: uid}, in one process; returns its errors. The caller checks what came of it."""
    lines = ('u %s %d "%s" /srv/www/%s/home %s\n' % (name, uid, GECOS, name, SHELL) for name, uid in uids.items())
    done = subprocess.run(
        ["systemd-sysusers", "-"],
        input="".join(lines),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
        check=False,
    )
    return done.stderr.strip() if done.returncode else ""


def expire(name, on):
    """Lock an account against every kind of login, or open it again; returns the error or None."""
    return _run("usermod", "--expiredate", "1" if on else "", name)


def remove(name):
    """Remove a user, the group of the same name and the crontab; returns the error or None."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink("/var/spool/cron/crontabs/" + name)
    return _run("userdel", name)


def kill(uids):
    """Kill every process of these uids; returns the uids of which some outlived it.

    A child takes the uid and signals all that it may, which the kernel does in one go: a fork bomb cannot outrun it.
    """
    uids = set(uids)
    for _ in range(100):
        busy = uids & _busy() if uids else set()
        if not busy:
            return set()
        for uid in busy:
            run_as(uid, lambda: os.kill(-1, signal.SIGKILL))
        time.sleep(0.02)
    return busy


def _busy():
    """Return the uids that have processes."""
    found = set()
    for entry in filter(str.isdigit, os.listdir("/proc")):
        with (
            contextlib.suppress(OSError),
            open("/proc/%s/status" % entry, encoding="ascii", errors="replace") as handle,
        ):
            found.update(int(line.split()[1]) for line in handle if line.startswith("Uid:"))
    return found


def become(uid):
    """Give up root for a tenant, in a forked child."""
    os.setgroups([])
    os.setresgid(uid, uid, uid)
    os.setresuid(uid, uid, uid)


def run_as(uid, work):
    """Run a function in a child process as a tenant; returns the error as text, or None."""
    reader, writer = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            become(uid)
            os.umask(0o022)
            work()
            os._exit(0)
        except BaseException as error:
            os.write(writer, str(error).encode("utf-8", "replace")[:1000])
            os._exit(1)
    os.close(writer)
    with os.fdopen(reader, "rb") as handle:
        text = handle.read().decode("utf-8", "replace")
    code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
    return None if code == 0 else text or "exit code %d" % code


class Trash:
    """Where what goes is moved first: only root may enter, so no tenant can swap it while it is removed."""

    def __init__(self, www):
        self.path = os.path.join(www, ".trash")

    def throw(self, path):
        """Move a file or directory away; nothing is to be done if it is not there."""
        os.makedirs(self.path, mode=0o700, exist_ok=True)
        with contextlib.suppress(FileNotFoundError):
            os.rename(path, os.path.join(tempfile.mkdtemp(dir=self.path), "x"))

    def empty(self):
        """Remove what was thrown away, now or before. What a live process still writes to goes next time."""
        for name in listed(self.path):
            shutil.rmtree(os.path.join(self.path, name), ignore_errors=True)


def _run(*argv):
    done = subprocess.run(argv, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True, check=False)
    return None if done.returncode == 0 else (done.stderr.strip() or "%s: exit code %d" % (argv[0], done.returncode))
