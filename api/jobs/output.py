"""A job's output in four formats: what ansible-playbook printed holds texts of hosts and tenants, so none is trusted.

Only colours (SGR sequences) are kept of what terminals obey; everything else that steers one is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from typing import Any

import orjson
from ansi2html import Ansi2HTMLConverter

#: Lines that are converted at once.
BLOCK = 500
CONTENT_TYPES = {"text": "text/plain", "ansi": "text/plain", "html": "text/html", "json": "application/json"}
#: The page runs nothing and loads nothing, should anything have slipped through after all.
POLICY = "default-src 'none'; style-src 'unsafe-inline'"

#: Sequences of terminals (CSI, OSC and its kin, two-character ones), then control characters but tab.
_SEQUENCE = re.compile(
    r"\x1b(?:\[[0-?]*[ -/]*[@-~]|[\]PX^_].*?(?:\x07|\x1b\\|$)|[ -/]*[0-~])|[\x00-\x08\x0a-\x1f\x7f-\x9f]", re.DOTALL
)
_COLOUR = re.compile(r"\x1b\[[0-9;]*m")

_HEAD = """<!doctype html>
<html><head><meta charset="utf-8"><title>Job {job}</title>
{style}</head>
<body class="body_foreground body_background"><pre class="ansi2html-content">
"""
_TAIL = "</pre></body></html>\n"


def plain(line: str) -> str:
    """Return a line without anything that a terminal would obey."""
    return _SEQUENCE.sub("", line)


def coloured(line: str) -> str:
    """Return a line with its colours, and nothing else that a terminal would obey."""
    return _SEQUENCE.sub(lambda found: found[0] if _COLOUR.fullmatch(found[0]) else "", line)


def chosen(lines: Iterable[bytes], start: int, end: int | None) -> Iterator[tuple[int, str]]:
    """Give (number, text) of the lines from ``start`` up to, and not including, ``end``; counted from 0."""
    for number, line in enumerate(lines):
        if end is not None and number >= end:
            return
        if number >= start:
            yield number, line.decode("utf-8", "replace").rstrip("\n")


def render(form: str, lines: Iterator[tuple[int, str]], job: str, start: int = 0) -> Iterator[bytes]:
    """Give the output in blocks in a format of CONTENT_TYPES; ``start`` is where the lines were wanted from."""
    if form == "html":
        yield from _html(lines, job)
    elif form == "json":
        yield from _json(lines, start)
    else:
        clean = plain if form == "text" else coloured
        for block in _blocks(lines):
            yield "".join(f"{clean(text)}\n" for _, text in block).encode()


def _html(lines: Iterator[tuple[int, str]], job: str) -> Iterator[bytes]:
    converter = Ansi2HTMLConverter(dark_bg=True, escaped=True)
    yield _HEAD.format(job=job, style=converter.produce_headers()).encode()
    for block in _blocks(lines):
        # Line by line: a colour that a line leaves open must not run on.
        text = "\n".join(f"{coloured(text)}\x1b[0m" for _, text in block)
        yield f"{converter.convert(text, full=False)}\n".encode()
    yield _TAIL.encode()


def _json(lines: Iterator[tuple[int, str]], start: int) -> Iterator[bytes]:
    """One object: ``{"lines": [{"line", "text"}], "next": number of the line behind the last one}``."""
    yield b'{"lines":['
    comma, behind = b"", start
    for block in _blocks(lines):
        items: list[dict[str, Any]] = [{"line": number, "text": plain(text)} for number, text in block]
        yield comma + orjson.dumps(items)[1:-1]
        comma, behind = b",", block[-1][0] + 1
    yield b'],"next":%d}' % behind


def _blocks(lines: Iterator[tuple[int, str]]) -> Iterator[list[tuple[int, str]]]:
    block = []
    for line in lines:
        block.append(line)
        if len(block) == BLOCK:
            yield block
            block = []
    if block:
        yield block
