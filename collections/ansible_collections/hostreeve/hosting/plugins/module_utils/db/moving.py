# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a copy that goes on in the background shares with those who wait for it: a directory of root's in memory."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import shutil
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.transfer import Late

ROOM = "/run/hostreeve-move"
#: Seconds after which a copy that nobody waits for ends.
UNWATCHED = 60
#: Seconds between two notes of progress.
PAUSE = 0.3


class Moving:
    """The copy of one database: its files, its progress, and the signs by which it goes on or ends."""

    def __init__(self, database, room=ROOM):
        self.room = os.path.join(room, database)
        self.source_file, self.target_file, self.certificate = map(self._in, ("source.cnf", "target.cnf", "source.crt"))
        #: Of the source: the accounts that a move has locked, and that are let in again if it comes to nothing.
        self.shut_file = self.room + ".shut"
        self.same_release, self.texts, self.facts, self._told = True, {}, {}, 0.0

    def _in(self, name):
        return os.path.join(self.room, name)

    def make(self):
        """Make the directory, with nothing of an earlier copy in it."""
        os.makedirs(os.path.dirname(self.room), mode=0o700, exist_ok=True)
        shutil.rmtree(self.room, ignore_errors=True)
        os.makedirs(self.room, mode=0o700)

    def put(self, path, text):
        """Write a file that only root reads, whole or not at all."""
        descriptor = os.open(path + ".new", os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
        with os.fdopen(descriptor, "w") as handle:
            handle.write(text)
        os.rename(path + ".new", path)

    # --- the copy's side ----------------------------------------------------------------------------------------------

    @contextlib.contextmanager
    def alive(self):
        """Hold the lock by which others see that the copy lives. ServerError if there is one already."""
        with open(self._in("lock"), "w") as lock:
            deadline = time.monotonic() + PAUSE
            while True:
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    break
                except BlockingIOError:
                    # Who looks whether a copy lives has the lock for a moment, too.
                    if time.monotonic() > deadline:
                        raise ServerError("another copy of it goes on here") from None
                time.sleep(0.01)
            yield

    def tell(self, now=True, **facts):
        """Note progress. Late if nobody waits for the copy any longer."""
        self.facts.update(facts)
        if now or time.monotonic() - self._told > PAUSE:
            self._told = time.monotonic()
            self.put(self._in("progress"), json.dumps(self.facts))
        try:
            watched = os.stat(self._in("watched")).st_mtime
        except FileNotFoundError:
            watched = 0
        if time.time() - watched > UNWATCHED and self.facts.get("phase") not in ("done", "failed"):
            raise Late("nobody waits for it any longer")

    def may_go_on(self):
        """Tell whether the source has shut its users out."""
        return os.path.exists(self._in("go"))

    # --- the source ---------------------------------------------------------------------------------------------------

    def shut(self, accounts):
        """Note the accounts that are about to be locked."""
        os.makedirs(os.path.dirname(self.room), mode=0o700, exist_ok=True)
        self.put(self.shut_file, json.dumps(accounts))

    def who_is_shut(self):
        """Return the accounts that a move has locked which did not come to its end, or None."""
        try:
            with open(self.shut_file) as handle:
                return json.load(handle)
        except FileNotFoundError:
            return None

    def forget_shut(self):
        """Let the locked accounts be: the move is complete, or a converge has seen to them."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self.shut_file)

    # --- the side of those who wait -----------------------------------------------------------------------------------

    def watch(self):
        """Say that somebody waits."""
        with open(self._in("watched"), "w"):
            pass

    def go_on(self):
        """Say that the source has shut its users out."""
        with open(self._in("go"), "w"):
            pass

    def progress(self):
        """Return the last note of progress, empty before the first."""
        try:
            with open(self._in("progress")) as handle:
                return dict(json.load(handle))
        except FileNotFoundError:
            return {}

    def lives(self):
        """Tell whether the copy goes on."""
        try:
            with open(self._in("lock")) as lock:
                fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except FileNotFoundError:
            return False
        except BlockingIOError:
            return True
        return False

    def may_begin(self):
        """Tell whether there may yet be a copy: on a busy host a while passes until its process has a word to say."""
        try:
            since = time.time() - os.stat(self.room).st_mtime
        except FileNotFoundError:
            return False
        return since < UNWATCHED and not os.path.exists(self._in("progress"))

    def end(self, seconds):
        """End a copy that goes on, and wait for that. ServerError if it does not."""
        with contextlib.suppress(FileNotFoundError):
            os.unlink(self._in("watched"))
        deadline = time.monotonic() + seconds
        while self.lives():
            if time.monotonic() > deadline:
                raise ServerError("an earlier copy of it still goes on here")
            time.sleep(0.1)

    def remove(self):
        """Remove the files."""
        shutil.rmtree(self.room, ignore_errors=True)
