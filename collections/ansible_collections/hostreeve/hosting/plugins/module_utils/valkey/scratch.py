# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A Valkey that holds nothing: what it refuses, a live one is never told."""

from __future__ import annotations

import os
import shutil
import subprocess
import tempfile
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.valkey.client import Client, ValkeyError

PATIENCE = 10  # seconds that it may take to start


class Scratch:
    """Runs as nobody, without a port, for as long as the ``with`` lasts. Raises OSError if it does not start."""

    def __init__(self, binary="/usr/bin/valkey-server"):
        self._binary = binary

    def __enter__(self):
        self._path = tempfile.mkdtemp(prefix="hostreeve-valkey-")
        self._socket = os.path.join(self._path, "s")
        options = {"port": "0", "unixsocket": self._socket, "dir": self._path, "save": "", "maxmemory": "16mb"}
        nobody = {}
        if os.geteuid() == 0:
            shutil.chown(self._path, "nobody", "nogroup")
            nobody = {"user": "nobody", "group": "nogroup", "extra_groups": []}
        self._server = subprocess.Popen(
            [self._binary, *(word for name, value in options.items() for word in ("--" + name, value))],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            cwd=self._path,
            **nobody,
        )
        end = time.monotonic() + PATIENCE
        while not os.path.exists(self._socket):
            if self._server.poll() is not None or time.monotonic() > end:
                self.__exit__()
                raise OSError("the Valkey that tries new rules does not start")
            time.sleep(0.01)
        return self

    def __exit__(self, *_):
        self._server.kill()
        self._server.wait()
        shutil.rmtree(self._path, ignore_errors=True)

    def refuses(self, line):
        """Return why Valkey refuses a user's line of an ACL file, or None."""
        _, name, *rules = line.split(" ")
        with Client(self._socket) as client:
            try:
                client("ACL", "SETUSER", name, "reset", *rules)
            except ValkeyError as error:
                return str(error)
        return None
