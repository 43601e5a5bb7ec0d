# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Callback: takes, renews and gives back the leases of a run with the platform's inventory."""

from __future__ import annotations

DOCUMENTATION = r"""
name: lease
type: aggregate
short_description: Holds the leases of a run's hosts while ansible-playbook lives
description:
  - Works with the inventory plugin M(hostreeve.hosting.platform#inventory) and the task M(hostreeve.hosting.lease), and
    does nothing without them.
  - Takes the leases when such a task begins, reads the desired state again under them, renews them from then on, and
    gives them back when C(ansible-playbook) ends, also after a failure, Ctrl-C, SIGTERM or SIGHUP.
  - A run that has lost a lease is ended with SIGTERM. The hosts refuse what it might still send.
author:
  - Hostreeve maintainers
version_added: 0.1.0
requirements:
  - enabled in the configuration, C(callbacks_enabled = hostreeve.hosting.lease)
options:
  wait:
    description: Seconds to wait for hosts that another run holds, before they fail with its name.
    type: int
    default: 0
    env:
      - name: HOSTREEVE_LEASE_WAIT
    ini:
      - section: hostreeve
        key: lease_wait
"""

import atexit
import contextlib
import getpass
import os
import signal
import socket
import threading
import time

from ansible import context
from ansible.plugins.callback import CallbackBase
from ansible_collections.hostreeve.hosting.plugins.plugin_utils.platform import Refused, platforms

TASK = "hostreeve.hosting.lease"
#: Renewals within the life of a lease.
RENEWALS = 4
#: Seconds until a signal is repeated, and until a run without a lease is killed.
REPEAT, KILL = 3, 15


class CallbackModule(CallbackBase):
    """Follows the plays of a run."""

    CALLBACK_VERSION = 2.0
    CALLBACK_TYPE = "aggregate"
    CALLBACK_NAME = TASK
    CALLBACK_NEEDS_ENABLED = True

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self._play = None
        self._keeper = None

    def v2_playbook_on_play_start(self, play):
        """Remember the play: a task does not know its hosts."""
        self._play = play

    def v2_playbook_on_task_start(self, task, is_conditional):
        """Take the leases of the play's hosts before the task goes to any of them."""
        if not platforms or task.resolved_action != TASK or task.check_mode:
            return
        hosts = self._play.get_variable_manager().get_vars(play=self._play)["ansible_play_hosts"]
        if self._keeper is None:
            self._keeper = Keeper(self._display)
        for platform in platforms.values():
            platform.take(hosts, owner(), reason(), self.get_option("wait"), self._display.warning)


class Keeper:
    """Keeps the leases for as long as this process lives, or ends it when one is lost."""

    def __init__(self, display):
        self._display = display
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)
        self._pid, self._signal = os.getpid(), None
        # All before the first lease, so that none is left behind.
        atexit.register(self._end)
        # ansible-core's own: ends the forks and raises KeyboardInterrupt.
        self._interrupt = signal.getsignal(signal.SIGINT)
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            if signal.getsignal(number) != signal.SIG_IGN:
                signal.signal(number, self._leave)
        self._thread.start()

    def _work(self):
        while not self._over.wait(min((lease.seconds for _, lease in held()), default=RENEWALS) / RENEWALS):
            for platform, lease in held():
                pause = lease.seconds / RENEWALS
                patience = pause / 2
                try:
                    platform.renew(lease, timeout=patience)
                except OSError as error:
                    # While the API is away the lease lives on there until its time. This is the end when another try
                    # would come too late.
                    away = not isinstance(error, Refused) or error.status not in (404, 409)
                    if away and time.monotonic() + pause + patience < lease.deadline:
                        continue
                    self._display.error("The lease of the hosts is lost, and the run ends: %s" % error)
                    os.kill(self._pid, signal.SIGTERM)
                    if not self._over.wait(KILL):
                        os.kill(self._pid, signal.SIGKILL)
                    return

    def _leave(self, signum, frame):
        """End the run in an orderly way, as after Ctrl-C, whichever signal it was."""
        if os.getpid() != self._pid:
            # A fork that has not set its own handlers yet.
            signal.signal(signum, signal.SIG_DFL)
            os.kill(os.getpid(), signum)
            return
        if self._over.is_set():
            return
        self._signal = self._signal or signum
        # Python swallows an exception that comes just when a process is forked, and the run would go on.
        again = threading.Timer(REPEAT, os.kill, (self._pid, signal.SIGTERM))
        again.daemon = True
        again.start()
        try:
            # Of SIGINT it restores the default: a second Ctrl-C ends the run at once.
            self._interrupt(signal.SIGINT, frame)
        except KeyboardInterrupt:
            if self._signal == signal.SIGINT:
                raise
        raise SystemExit(128 + self._signal)

    def _end(self):
        if os.getpid() != self._pid:
            return
        self._over.set()
        self._thread.join(5)
        for platform, lease in held():
            try:
                platform.give_back(lease)
            except OSError as error:
                if getattr(error, "status", None) != 404:
                    text = "The lease of the hosts was not given back and ends within %d seconds: %s"
                    self._display.warning(text % (lease.seconds, error))


def held():
    """Return (platform, lease) of every lease."""
    return [(platform, lease) for platform in platforms.values() for lease in platform.leases]


def owner():
    """Return who runs this, for those who are refused."""
    user = "uid %d" % os.getuid()
    with contextlib.suppress(KeyError, OSError):  # there may be no such user
        user = getpass.getuser()
    return printable("%s@%s" % (user, socket.gethostname()))


def reason():
    """Return which playbooks this run is of."""
    return printable(" ".join(os.path.basename(path) for path in context.CLIARGS["args"]) or "ansible-playbook")


def printable(text):
    """Return a text as the API takes it."""
    return "".join(char if char.isprintable() else "?" for char in text)[:128]
