"""Server-sent events: a job's events as they come, until its end.

A stream holds a thread of the server for its life, and never a connection to the database. Its cursor is that of
``GET /jobs/{id}/events``, so a reader may change between both, and a broken connection goes on with ``Last-Event-ID``.
"""

from __future__ import annotations

import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import orjson

from api.core.wire import encode
from api.jobs import files
from api.jobs.steer import OVER

#: Streams of one process at a time; its other threads stay free for requests.
MOST = 24
#: Seconds between two looks at the file, at the job, and between two signs of life while nothing comes.
LOOK, ASK, BEAT = 0.2, 1.0, 15.0
#: Seconds after which a stream ends, so that a key that was revoked does not read on; readers come again.
LONGEST = 600.0
#: Bytes that are sent at once.
FRAME = 65_536

_places = threading.BoundedSemaphore(MOST)


def take_place() -> bool:
    """Take one of the places; False if there is none. ``follow`` gives it back."""
    return _places.acquire(blocking=False)


def give_back() -> None:
    """Give a place back."""
    _places.release()


def follow(
    data_dir: Path, job_id: uuid.UUID, offset: int, read_job: Callable[[], dict[str, Any] | None]
) -> Iterator[bytes]:
    """Give the events behind ``offset`` and what follows; ``read_job`` returns the job, None once it is gone.

    Each has its name, its JSON as data and the offset behind it as id; the last one is ``end`` with the job.
    """
    began = beaten = time.monotonic()
    yield b"retry: 1000\n\n"
    while time.monotonic() - began < LONGEST:
        job = read_job()
        # Asked before the file is read: a job that is over writes no more.
        over = job is None or job["state"] in OVER
        asked = time.monotonic()
        while True:
            for frame, behind in _frames(data_dir, job_id, offset):
                offset = behind
                yield frame
                beaten = time.monotonic()
            if over:
                yield b"event: end\ndata: " + (encode(job) if job else b"null") + b"\n\n"
                return
            if time.monotonic() - asked >= ASK:
                break
            time.sleep(LOOK)
        if time.monotonic() - beaten >= BEAT:
            yield b": still here\n\n"
            beaten = time.monotonic()


def _frames(data_dir: Path, job_id: uuid.UUID, offset: int) -> Iterator[tuple[bytes, int]]:
    """Give (bytes to send, offset behind them) of what the file holds now."""
    frame = bytearray()
    for line, behind in files.lines(data_dir, job_id, offset):
        offset = behind
        name = _name(line)
        if name is None:
            continue
        frame += b"id: %d\nevent: %s\ndata: %s\n\n" % (offset, name, line)
        if len(frame) >= FRAME:
            yield bytes(frame), offset
            frame.clear()
    if frame:
        yield bytes(frame), offset


def _name(line: bytes) -> bytes | None:
    """Return the event's name; None for what is no event of ours (the offset fell into a line)."""
    try:
        event = orjson.loads(line)
    except orjson.JSONDecodeError:
        return None
    if not isinstance(event, dict):
        return None
    name = str(event.get("event") or "message")
    return name.encode() if name.isidentifier() else b"message"
