"""Runs a command and passes on what it prints, bounded: ``python -I -S limit.py COMMAND [ARGUMENT…]``.

ansible-runner keeps all output in memory and looks at it line by line, some hundred kilobytes per second; a
play that prints a gigabyte would take it down, or an hour. So the flood is cut before it gets there. The marks by which
ansible-runner finds its events always pass. A program of its own, with the standard library alone: it starts with
every run.
"""

from __future__ import annotations

import fcntl
import os
import re
import select
import signal
import subprocess
import sys

#: bytes that pass whatever they are; a little more than the job's output keeps, so that the job tells of the cut
MOST = 17 << 20
#: bytes that pass of the text between two marks from then on: failures and the recap
EACH = 2048
#: what ansible-runner's callback writes around the text of an event
MARK = re.compile(rb"\x1b\[K(?:[A-Za-z0-9+/=]+\x1b\[\d+D)+\x1b\[K")
#: a mark may be cut in two by a read; its longest
TAIL = 16384
CHUNK = 1 << 16


class Filter:
    """Decides what passes."""

    def __init__(self) -> None:
        self._passed = 0
        #: bytes of text that passed since the last mark
        self._since = 0
        self._rest = b""

    def take(self, data: bytes) -> bytes:
        """Return what passes of the next bytes; what may be the beginning of a mark waits."""
        if self._passed + len(data) <= MOST:
            self._passed += len(data)
            return data
        data = self._rest + data
        passing = []
        end = 0
        for mark in MARK.finditer(data):
            passing += [self._text(data[end : mark.start()]), mark[0]]
            self._since, end = 0, mark.end()
        # From where a mark may have begun; further back than its longest there is only text.
        begin = data.find(b"\x1b[K", max(end, len(data) - TAIL))
        if begin < 0:
            begin = len(data) - next((n for n in (2, 1) if data.endswith(b"\x1b[K"[:n])), 0)
        passing.append(self._text(data[end:begin]))
        self._rest = data[begin:]
        return b"".join(passing)

    def end(self) -> bytes:
        """Return what waited."""
        return self._text(self._rest)

    def _text(self, text: bytes) -> bytes:
        kept = text[: max(EACH - self._since, 0)]
        self._since += len(kept)
        # What follows must not stand on the same line.
        return kept + b"\r\n" if len(kept) < len(text) and kept else kept


def main(command: list[str]) -> int:
    """Run the command; return its exit code, or 128 and the signal that ended it."""
    reader, writer = os.pipe()
    # In a session of its own no task can reach the terminal past this program, nor wait there for an answer.
    process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=writer, stderr=writer, start_new_session=True)
    os.close(writer)
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP):
        signal.signal(number, lambda received, _frame: process.send_signal(received))
    over = os.pidfd_open(process.pid)
    bounded = Filter()
    left = None
    while left is None or left > 0:
        ready = select.select([reader, over], [], [])[0]
        if over in ready and left is None:
            # What the command itself printed fits into the pipe; whom it left behind may print for ever.
            left = fcntl.fcntl(reader, fcntl.F_GETPIPE_SZ)
        data = os.read(reader, CHUNK) if reader in ready else b""
        if not data and (reader in ready or over in ready):
            break
        write(bounded.take(data))
        left = None if left is None else left - len(data)
    write(bounded.end())
    code = process.wait()
    return code if code >= 0 else 128 - code


def write(data: bytes) -> None:
    """Write everything to the standard output."""
    view = memoryview(data)
    while view:
        view = view[os.write(1, view) :]


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
