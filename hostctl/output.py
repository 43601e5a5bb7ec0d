"""Writing: results to stdout, messages to stderr, and nothing that a terminal would obey.

Texts of the server are data. Everything printed goes through ``clean``, and never through rich's markup.
"""

from __future__ import annotations

import csv
import json
import sys
import unicodedata
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

#: Control characters, invisible and direction-changing ones, lone surrogates, line separators.
UNSAFE = frozenset({"Cc", "Cf", "Cs", "Co", "Zl", "Zp"})


def clean(value: Any, *, keep: str = "") -> str:
    """Return a text in which what a terminal could obey, or hide, is written as an escape (``\\x1b``)."""
    return "".join(
        char if char in keep or unicodedata.category(char) not in UNSAFE else _escaped(char) for char in str(value)
    )


def _escaped(char: str) -> str:
    code = ord(char)
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}" if code < 0x10000 else f"\\U{code:08x}"


def shown(value: Any) -> str:
    """Return a field's value as a person reads it, in one line."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return clean(", ".join(value))
    return clean(json.dumps(value, ensure_ascii=False) if isinstance(value, dict | list) else value)


class Output:
    """Where a command writes. ``json`` makes results machine-readable; messages stay on stderr."""

    def __init__(self) -> None:
        self.json = False
        self.quiet = False
        #: rich honours NO_COLOR and FORCE_COLOR, and writes no colour into pipes
        self.stdout = Console(highlight=False, markup=False, emoji=False, soft_wrap=True)
        self.stderr = Console(stderr=True, highlight=False, markup=False, emoji=False, soft_wrap=True)

    def data(self, value: Any) -> None:
        """Write one JSON document. It is ASCII only, so its strings cannot steer a terminal either."""
        sys.stdout.write(json.dumps(value, indent=2 if sys.stdout.isatty() else None) + "\n")
        sys.stdout.flush()

    def line(self, text: str, style: str = "") -> None:
        """Write one line of a result."""
        self.stdout.print(Text(clean(text), style=style))

    def say(self, text: str, style: str = "") -> None:
        """Write a message; it is no part of the result."""
        if not self.quiet:
            self.stderr.print(Text(clean(text), style=style))

    def warn(self, text: str) -> None:
        """Write a warning."""
        self.stderr.print(Text("warning: ", style="yellow") + Text(clean(text)))

    def table(self, columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
        """Write rows: aligned for a person, tab separated for a pipe."""
        if not self.stdout.is_terminal:
            writer = csv.writer(sys.stdout, delimiter="\t", lineterminator="\n", quoting=csv.QUOTE_NONE, quotechar=None)
            writer.writerow(columns)
            writer.writerows([shown(value) for value in row] for row in rows)
            sys.stdout.flush()
            return
        table = Table(box=None, header_style="bold", pad_edge=False)
        for name in columns:
            table.add_column(Text(name), overflow="fold")
        for row in rows:
            table.add_row(*(_cell(value) for value in row))
        self.stdout.print(table, soft_wrap=False)

    def fields(self, row: Mapping[str, Any]) -> None:
        """Write one resource, a field a line."""
        width = max(map(len, row), default=0)
        for name, value in row.items():
            self.stdout.print(Text(f"{clean(name):{width}}  ", style="bold") + _cell(value))


STATUS_STYLES = {
    "active": "green", "successful": "green", "failed": "red", "abandoned": "red", "canceled": "yellow",
    "suspended": "yellow", "running": "cyan", "provisioning": "cyan", "pending": "cyan", "queued": "cyan",
    "deleting": "cyan",
}  # fmt: skip


def _cell(value: Any) -> Text:
    text = shown(value)
    return Text(text, style=STATUS_STYLES.get(text, ""))
