"""The event file of a run: one JSON line per event, and the plain output beside it.

``<data_dir>/jobs/<id>.events`` and ``.output``. Only what a reader needs is kept: no module arguments, which may hold
a tenant's secrets. Both files are bounded; reports and the recap are kept beyond the bounds.
"""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import IO, Any

import orjson

#: Bounds of the event file in bytes and lines, of one line, and of the output.
MOST_BYTES, MOST_LINES, LONGEST_LINE = 16_777_216, 100_000, 262_144
MOST_OUTPUT = 16_777_216
#: Facts of a task's progress that are kept, and characters of one.
MOST_FACTS = 40
CUT = b"... too long: from here on only failures and the recap are kept ...\n"
#: Events that are kept whatever was written before.
ALWAYS = ("playbook_on_stats", "runner_on_failed", "runner_on_unreachable")


class EventLog:
    """Appends events; never raises. ``lost`` tells that something could not be written, ``truncated`` that it was cut.

    A raised OSError would be swallowed by ansible-runner, and any other exception would end the play in the middle.
    """

    def __init__(self, directory: Path, name: str) -> None:
        self.lost = False
        self.truncated = self._cut = False
        self._hash = hashlib.sha256()
        self._bytes = self._lines = self._output_bytes = 0
        self._events: IO[bytes] | None = None
        self._output: IO[bytes] | None = None
        try:
            directory.mkdir(mode=0o750, parents=True, exist_ok=True)
            self._events = open(directory / f"{name}.events", "ab")  # noqa: SIM115 - closed by close()
            self._output = open(directory / f"{name}.output", "ab")  # noqa: SIM115
        except OSError:
            self.lost = True

    def append(self, event: dict[str, Any]) -> None:
        """Write one event of ansible-runner."""
        try:
            line = orjson.dumps(slim(event), default=str) + b"\n"
        except (TypeError, ValueError):
            self.lost = True
            return
        kept = event.get("event") in ALWAYS or "resources" in _result(event)
        if len(line) > LONGEST_LINE:
            self.truncated = True
            line = orjson.dumps(slim(event, short=True), default=str) + b"\n"
        if not kept and (self._lines >= MOST_LINES or self._bytes + len(line) > MOST_BYTES):
            self.truncated = True
        else:
            self._write_event(line)
        if text := event.get("stdout"):
            self._write_output(f"{text}\n".encode("utf-8", "replace"), always=event.get("event") in ALWAYS)

    def say(self, text: str) -> None:
        """Write a line of our own to the output."""
        self._write_output(f"{text}\n".encode("utf-8", "replace"))

    def close(self) -> str:
        """Flush; return the SHA-256 of the events in hex."""
        for file in (self._events, self._output):
            try:
                if file is not None:
                    file.close()
            except OSError:
                self.lost = True
        return self._hash.hexdigest()

    def _write_event(self, line: bytes) -> None:
        try:
            if self._events is None:
                raise OSError
            self._events.write(line)
            # A reader follows the file; a line must not wait in a buffer.
            self._events.flush()
        except OSError:
            self.lost = True
            return
        self._hash.update(line)
        self._bytes += len(line)
        self._lines += 1

    def _write_output(self, text: bytes, always: bool = False) -> None:
        if self._output_bytes + len(text) > MOST_OUTPUT and (not always or len(text) > LONGEST_LINE):
            if not self._cut:
                # Said once, where it begins; failures and the recap still follow.
                self.truncated = self._cut = True
                self._write_output(CUT, always=True)
            return
        self._output_bytes += len(text)
        try:
            if self._output is None:
                raise OSError
            self._output.write(text)
            self._output.flush()
        except OSError:
            self.lost = True


def _result(event: dict[str, Any]) -> dict[str, Any]:
    result = (event.get("event_data") or {}).get("res")
    return result if isinstance(result, dict) else {}


def _plain(progress: dict[str, Any]) -> dict[str, Any]:
    """Return how far a long task is: few facts, and those numbers or words."""
    told = {key: value for key, value in progress.items() if isinstance(value, str | int | float)}
    return {key: value for key, value in list(told.items())[:MOST_FACTS] if len(str(value)) <= MOST_FACTS}


def slim(event: dict[str, Any], short: bool = False) -> dict[str, Any]:
    """Return what is kept of an event; ``short`` leaves out what has no bound."""
    data, result = event.get("event_data") or {}, _result(event)
    kept: dict[str, Any] = {"n": event.get("counter"), "at": event.get("created"), "event": event.get("event")}
    for name in ("host", "play", "task", "task_action", "duration"):
        if data.get(name) not in (None, ""):
            kept[name] = data[name]
    for name in ("changed", "failed", "unreachable", "unchanged"):
        if name in result:
            kept[name] = result[name]
    if result.get("msg"):
        kept["msg"] = str(result["msg"])[:4000]
    if isinstance(result.get("resources"), dict):
        kept["resources"] = {"count": len(result["resources"])} if short else result["resources"]
    if isinstance(result.get("progress"), dict):
        kept["progress"] = _plain(result["progress"])
    if event.get("event") == "playbook_on_stats":
        kept |= {name: data.get(name) for name in ("ok", "changed", "failures", "dark", "skipped")}
    if event.get("stdout"):
        kept["stdout"] = event["stdout"][:4000] if short else event["stdout"]
    return kept
