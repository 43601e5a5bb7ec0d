"""Reading the event file and the output of a job. The cursor is the offset in bytes behind the last line."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import orjson

#: Bytes of events in one answer; a single longer line still comes whole.
ANSWER = 1_048_576
BLOCK = 65_536


def events(data_dir: Path, job_id: uuid.UUID, offset: int, limit: int) -> tuple[list[dict[str, Any]], int, bool]:
    """Return (events, next offset, whether more is there already). A line that is still being written is held back."""
    items: list[dict[str, Any]] = []
    try:
        file = open(_path(data_dir, job_id, "events"), "rb")  # noqa: SIM115 - closed below
    except OSError:
        return items, offset, False
    with file:
        file.seek(offset)
        start = offset
        while len(items) < limit and offset - start < ANSWER:
            line = file.readline()
            if not line.endswith(b"\n"):
                return items, offset, False
            offset += len(line)
            try:
                items.append(orjson.loads(line))
            except orjson.JSONDecodeError:
                # The offset was none of ours and fell into a line.
                continue
        return items, offset, bool(file.readline())


def output(data_dir: Path, job_id: uuid.UUID) -> Iterator[bytes]:
    """Give the output in blocks; nothing if there is none yet."""
    try:
        file = open(_path(data_dir, job_id, "output"), "rb")  # noqa: SIM115 - closed below
    except OSError:
        return
    with file:
        while block := file.read(BLOCK):
            yield block


def _path(data_dir: Path, job_id: uuid.UUID, what: str) -> Path:
    return data_dir / "jobs" / f"{job_id}.{what}"
