# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Talks to a Valkey over its socket.

The process on the other side is a tenant's: an answer may be of any size or shape, or never come.
"""

from __future__ import annotations

import socket
import time

#: Seconds and bytes that an answer may take.
PATIENCE, MOST = 5.0, 4 * 1024 * 1024


class ValkeyError(Exception):
    """Valkey refused a command, or what answers is not Valkey."""


class Client:
    """One connection; use it in a ``with``. Every method raises ValkeyError, or OSError where nobody answers."""

    def __init__(self, path, user=None, password=None, patience=PATIENCE):
        self._path, self._credentials, self._patience = path, (user, password), patience
        self._socket, self._buffer, self._left, self._end = None, b"", 0, 0.0

    def patience(self, seconds):
        """Set the seconds that an answer may take."""
        self._patience = seconds

    def __enter__(self):
        self._socket = socket.socket(socket.AF_UNIX)
        try:
            self._socket.settimeout(self._patience)
            self._socket.connect(self._path)
            if self._credentials[0]:
                self("AUTH", *self._credentials)
        except BaseException:
            self._socket.close()
            raise
        return self

    def __exit__(self, *_):
        self._socket.close()

    def __call__(self, *words):
        """Carry out one command; the answer is text, a number, None or a list of those."""
        self._left, self._end = MOST, time.monotonic() + self._patience
        self._socket.settimeout(self._patience)
        self._socket.sendall(encode(words))
        return self._answer(0)

    def pairs(self, *words):
        """Carry out a command that answers names and values in turn; return them as a dict."""
        answer = self(*words)
        if not isinstance(answer, list) or len(answer) % 2:
            raise ValkeyError("the answer has not the form of one of Valkey's")
        return dict(zip(map(str, answer[::2]), map(str, answer[1::2]), strict=True))

    def info(self, section):
        """Return a section of INFO as a dict of texts."""
        rows = (row.partition(":") for row in str(self("INFO", section)).splitlines())
        return {name: value for name, colon, value in rows if colon}

    def _answer(self, depth):
        line = self._until()
        kind, rest = line[:1], line[1:]
        if kind == b"+":
            return rest.decode("utf-8", "replace")
        if kind == b"-":
            raise ValkeyError(rest.decode("utf-8", "replace")[:300])
        try:
            number = int(rest)
        except ValueError:
            raise ValkeyError("the answer has not the form of one of Valkey's") from None
        if kind == b":":
            return number
        if kind == b"$":
            return None if number < 0 else self._exactly(number).decode("utf-8", "replace")
        if kind == b"*" and depth < 4:
            return [self._answer(depth + 1) for _ in range(number)]
        raise ValkeyError("the answer has not the form of one of Valkey's")

    def _until(self):
        while b"\r\n" not in self._buffer:
            self._more()
        line, _, self._buffer = self._buffer.partition(b"\r\n")
        return line

    def _exactly(self, size):
        if size > self._left + len(self._buffer):
            raise ValkeyError("the answer is too long")
        while len(self._buffer) < size + 2:
            self._more()
        found, self._buffer = self._buffer[:size], self._buffer[size + 2 :]
        return found

    def _more(self):
        # For the whole answer, and not for each piece of it.
        left = self._end - time.monotonic()
        if left <= 0:
            raise TimeoutError("no answer within %d seconds" % self._patience)
        self._socket.settimeout(left)
        data = self._socket.recv(65536)
        self._left -= len(data)
        if not data:
            raise ValkeyError("the connection was closed")
        if self._left < 0:
            raise ValkeyError("the answer is too long")
        self._buffer += data


def encode(words):
    """Return a command as Valkey reads it; lengths come first, so no byte of a word has a meaning."""
    parts = [str(word).encode("utf-8") for word in words]
    return b"*%d\r\n" % len(parts) + b"".join(b"$%d\r\n%s\r\n" % (len(part), part) for part in parts)
