"""Reading the event file and the output of a job. The cursor is the offset in bytes behind the last line."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

#: Bytes of events in one answer; a single longer line still comes whole.
ANSWER = 1_048_576


def events(data_dir: Path, job_id: uuid.UUID, offset: int, limit: int) -> tuple[list[dict[str, Any]], int, bool]:
    """Return (events, next offset, whether more is there already). A line that is still being written is held back."""
    items: list[dict[str, Any]] = []
    start = offset
    for line, behind in lines(data_dir, job_id, offset):
        if len(items) == limit or offset - start >= ANSWER:
            return items, offset, True
        offset = behind
        try:
            items.append(orjson.loads(line))
        except orjson.JSONDecodeError:
            # The offset was none of ours and fell into a line.
            continue
    return items, offset, False


def lines(data_dir: Path, job_id: uuid.UUID, offset: int) -> Iterator[tuple[bytes, int]]:
    """Give (line, offset behind it) of the event file from an offset on; nothing if there is none yet."""
    try:
        file = open(_path(data_dir, job_id, "events"), "rb")  # noqa: SIM115 - closed below
    except OSError:
        return
    with file:
        file.seek(offset)
        for line in file:
            if not line.endswith(b"\n"):
                return
            offset += len(line)
            yield line[:-1], offset


def tail(data_dir: Path, job_id: uuid.UUID, size: int) -> list[bytes]:
    """Return the last whole lines of the event file, as many as lie in ``size`` bytes."""
    try:
        with open(_path(data_dir, job_id, "events"), "rb") as file:
            start = max(file.seek(0, 2) - size, 0)
            file.seek(start)
            found = file.read().split(b"\n")
    except OSError:
        return []
    return found[1 if start else 0 : -1]


def output(data_dir: Path, job_id: uuid.UUID) -> Iterator[bytes]:
    """Give the lines of the output so far; nothing if there is none yet."""
    try:
        file = open(_path(data_dir, job_id, "output"), "rb")  # noqa: SIM115 - closed below
    except OSError:
        return
    with file:
        yield from file


def remove(data_dir: Path, job_id: uuid.UUID) -> None:
    """Delete the files of a job, as far as they are there."""
    for what in ("events", "output"):
        _path(data_dir, job_id, what).unlink(missing_ok=True)


def _path(data_dir: Path, job_id: uuid.UUID, what: str) -> Path:
    return data_dir / "jobs" / f"{job_id}.{what}"
