# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What MariaDB's programs say when they fail."""

from __future__ import annotations

import re
import threading

#: How their own words begin. The client repeats the statement that failed, which holds rows of customers.
_WORDS = re.compile(rb"(ERROR \d+|(mariadb|mysql)[a-z-]*: )")
_LINE, _LINES, _TEXT = 4096, 5, 500


class Complaints(threading.Thread):
    """Reads a program's stderr to its end, so that the program never waits for a reader, and keeps its own words."""

    def __init__(self, pipe):
        super().__init__(daemon=True)
        self._pipe = pipe
        self.said = []
        self.start()

    def run(self):
        """Read."""
        begins = True
        while piece := self._pipe.readline(_LINE):
            if begins and len(self.said) < _LINES and _WORDS.match(piece):
                self.said.append(piece.decode("utf-8", "replace").strip())
            begins = piece.endswith(b"\n")


def text_of(complaints, codes):
    """Return what programs that have ended said, or with which codes they ended."""
    for each in complaints:
        each.join()
    said = "; ".join(line for each in complaints for line in each.said)
    return said[:_TEXT] or "exit codes %s" % ", ".join(map(str, codes))
