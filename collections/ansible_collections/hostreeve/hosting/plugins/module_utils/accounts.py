# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Linux users of tenants, the same on every host that knows them, and the removal of what was theirs."""

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
from dataclasses import dataclass
from functools import cached_property

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import listed

GECOS, HOME = "Hostreeve tenant", "/srv/www/%s/home"
SHELL = "/usr/sbin/nologin"


@dataclass
class Account:
    """An entry of /etc/passwd, and whether it is locked by an expiry date in the past."""

    name: str
    uid: int
    gid: int
    gecos: str
    home: str
    expired: bool = False

    @property
    def ours(self):
        """Tell whether Hostreeve made it: all of name, uid, home and comment must say so."""
        return (
            bool(grammar.TENANT.fullmatch(self.name))
            and grammar.UID_MIN <= self.uid <= grammar.UID_MAX
            and self.gecos == GECOS
            and self.home == HOME % self.name
        )


class Users:
    """The users of a host. ``root`` is the directory that stands for /, for tests."""

    def __init__(self, root="/"):
        self.root = root

    def at(self, path):
        """Return the path below the root."""
        return os.path.join(self.root, path)

    @cached_property
    def accounts(self):
        """{name: Account} of /etc/passwd."""
        found = {}
        for name, _, uid, gid, gecos, home, _ in _rows(self.at("etc/passwd"), 7):
            found.setdefault(name, Account(name, int(uid), int(gid), gecos, home))
        for name, *fields in _rows(self.at("etc/shadow"), 9):
            if name in found:
                found[name].expired = fields[6] == "1"
        return found

    @cached_property
    def uids(self):
        """{uid: user}, also in use by strangers."""
        return {account.uid: account.name for account in self.accounts.values()}

    @cached_property
    def groups(self):
        """{group: gid} of /etc/group."""
        return {name: int(gid) for name, _, gid, _ in _rows(self.at("etc/group"), 4)}

    @cached_property
    def gids(self):
        """{gid: group}."""
        return {gid: name for name, gid in self.groups.items()}

    def tenant(self, name):
        """Return the account of one of our tenants, or None."""
        account = self.accounts.get(name)
        return account if account and account.ours else None

    def unfit(self, name, uid):
        """Return why a user that is there cannot be the tenant of this name and uid, or None."""
        account = self.accounts[name]
        if not account.ours:
            return "the user %s exists and is not Hostreeve's" % name
        if (account.uid, account.gid) != (uid, uid):
            return "uid: is %d on this host (gid %d); a uid never changes" % (account.uid, account.gid)
        return None

    def clash(self, name, uid):
        """Return why a new tenant would take something of a stranger's, or None."""
        if uid in self.uids:
            return "uid: %d belongs to the user %s on this host" % (uid, self.uids[uid])
        if self.groups.get(name, uid) != uid or self.gids.get(uid, name) != name:
            return "the group %s or the gid %d is taken on this host" % (name, uid)
        return taken(name, uid) if self.root == "/" else None


def _rows(path, width):
    """Yield the rows of a file such as /etc/passwd; broken ones are left out."""
    try:
        with open(path, encoding="utf-8", errors="replace") as handle:
            for line in handle:
                fields = line.rstrip("\n").split(":")
                if len(fields) == width:
                    yield fields
    except FileNotFoundError:
        return


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


def make(users, uids, gecos=GECOS, home=HOME):
    """Make users, {name: uid}, that were not among ``users`` before; return {name: why it did not come out so}."""
    if not uids:
        return {}
    errors, failed = _create(uids, gecos, home), {}
    now = Users(users.root)
    for name, uid in uids.items():
        account = now.accounts.get(name)
        if not account or (account.uid, account.gid) != (uid, uid):
            if account and name not in users.accounts:
                remove(name)  # made a moment ago, with another uid than the platform's
            failed[name] = "the user could not be made: %s" % (errors or "its uid was given to somebody else")
    return failed


def _create(uids, gecos, home):
    """Make users with groups in one process; returns its errors."""
    lines = ('u %s %d "%s" %s %s\n' % (name, uid, gecos, home % name, SHELL) for name, uid in uids.items())
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
