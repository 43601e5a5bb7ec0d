"""Following a job: its events as they come, and at the end the job.

A server that offers a stream (``text/event-stream``) is listened to, and after a broken connection again from the last
event on (``Last-Event-ID``). Any other is asked again and again with ``next_offset``.
"""

from __future__ import annotations

import json
import math
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import SSEError, connect_sse

from hostctl.client import TRY_AGAIN, Client, refusal
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kinds
from hostctl.waiting import Patience, is_over

STREAM = "/jobs/{id}/events/stream"
END = "end"
LIMIT = 1000
#: streams in a row that break within so many seconds before the server counts as unreachable, and the pause between
TRIES = 6
STEADY = 20.0
PAUSE = 1.0
#: Seconds of silence after which a stream is opened anew. Servers write comments now and then, which nobody here sees:
#: where the time is limited, it must be less than they leave between two of them.
SILENCE, GLANCE = 90.0, 5.0


@dataclass(frozen=True)
class Event:
    """An event of a job; the last one is ``end``, with the job as data."""

    name: str
    data: dict[str, Any]


def follow(client: Client, kinds: Kinds, job_id: str, patience: Patience) -> Iterator[Event]:
    """Yield the events of a job until it has ended; the last is ``end``. Failure if it takes longer than it may."""
    try:
        yield from _stream(client, job_id, patience) if STREAM in kinds.paths else _poll(client, job_id, patience)
    except Failure as failure:
        if failure.code is not Exit.AUTH:
            raise
        # Events are the platform's; a brand's key sees how its job ends all the same.
        yield Event(END, _until_over(client, job_id, patience))


def _poll(client: Client, job_id: str, patience: Patience, offset: int = 0) -> Iterator[Event]:
    while True:
        page = client.get(f"/jobs/{job_id}/events", offset=offset, limit=LIMIT)
        for data in page["items"]:
            yield Event(str(data.get("event", "")), data)
        offset = page["next_offset"]
        if page["ended"]:
            yield Event(END, client.get(f"/jobs/{job_id}"))
            return
        if page["items"]:
            patience.hurry()
        patience.wait(f"job {job_id}")


def _stream(client: Client, job_id: str, patience: Patience) -> Iterator[Event]:
    last, failed = "", 0
    while True:
        begun, error = time.monotonic(), "the stream ended before the job did"
        try:
            for id_, event in _listen(client, job_id, last, patience.check(f"job {job_id}")):
                last, failed = id_, 0
                if event.name == END:
                    # With its hosts, which the stream leaves out.
                    yield Event(END, client.get(f"/jobs/{job_id}"))
                    return
                yield event
                patience.check(f"job {job_id}")
        except Full:
            # The cursor is the same, and reading page by page needs no place.
            yield from _poll(client, job_id, patience, int(last) if last.isdecimal() else 0)
            return
        except httpx.ReadTimeout:
            # Nothing happened: time to look at the clock. A server that is gone shows when it is asked again.
            continue
        except (httpx.TransportError, SSEError) as broken:
            error = str(broken) or type(broken).__name__
        patience.check(f"job {job_id}")
        # Servers end streams after a while, and silence is no failure: only what breaks at once is.
        failed = failed + 1 if time.monotonic() - begun < STEADY else 0
        if failed > TRIES:
            raise Failure(f"{client.url} does not answer: {error}", Exit.UNREACHABLE)
        time.sleep(PAUSE)


class Full(Exception):
    """The server has no place for another stream."""


def _listen(client: Client, job_id: str, last: str, left: float) -> Iterator[tuple[str, Event]]:
    """Open the stream behind an event's id; yield (id, event) until it breaks. ``left`` are the seconds to follow."""
    headers = {**client.authorization(), **({"Last-Event-ID": last} if last else {})}
    timeout = httpx.Timeout(client.settings.timeout, read=SILENCE if left == math.inf else min(left, GLANCE))
    url = client.url + STREAM.format(id=job_id)
    with connect_sse(client.http, "GET", url, headers=headers, timeout=timeout) as source:
        if source.response.status_code == 503:
            raise Full
        if source.response.status_code in TRY_AGAIN:
            raise httpx.RemoteProtocolError(f"answered {source.response.status_code}")
        if not source.response.is_success:
            source.response.read()
            raise refusal(source.response)
        for found in source.iter_sse():
            try:
                data = json.loads(found.data)
            except ValueError:
                continue
            if isinstance(data, dict):
                yield found.id or last, Event(found.event, data)


def _until_over(client: Client, job_id: str, patience: Patience) -> dict[str, Any]:
    while not is_over(job := client.get(f"/jobs/{job_id}")):
        patience.wait(f"job {job_id}")
    return dict(job)
