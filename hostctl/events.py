"""Following a job: its events as they come, and at the end the job.

A server that offers a stream (``text/event-stream``) is listened to, and after a broken connection again from the last
event on (``Last-Event-ID``). Any other is asked again and again with ``next_offset``.
"""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import httpx
from httpx_sse import SSEError, connect_sse

from hostctl.client import TRY_AGAIN, Client, refusal, unreachable
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kinds
from hostctl.waiting import Patience, is_over

STREAM = "/jobs/{id}/events/stream"
END = "end"
LIMIT = 1000
#: tries without a single event before the server counts as unreachable, and the seconds between two of them
TRIES = 6
PAUSE = 1.0
#: Seconds of silence after which a stream is opened anew; servers write comments more often than that.
SILENCE = 90.0


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


def _poll(client: Client, job_id: str, patience: Patience) -> Iterator[Event]:
    offset = 0
    while True:
        page = client.get(f"/jobs/{job_id}/events", offset=offset, limit=LIMIT)
        for data in page["items"]:
            yield Event(str(data.get("event", "")), data)
        offset = page["next_offset"]
        if page["ended"]:
            yield Event(END, client.get(f"/jobs/{job_id}"))
            return
        if not page["items"]:
            patience.wait(f"job {job_id}")
        else:
            patience.hurry()


def _stream(client: Client, job_id: str, patience: Patience) -> Iterator[Event]:
    last, failed = "", 0
    while True:
        try:
            for id_, event in _listen(client, job_id, last):
                last, failed = id_, 0
                yield event
                if event.name == END:
                    return
                patience.check(f"job {job_id}")
            error: Exception = httpx.RemoteProtocolError("the stream ended before the job did")
        except (httpx.TransportError, SSEError) as broken:
            error = broken
        patience.check(f"job {job_id}")
        failed += 1
        if failed > 1 and is_over(job := client.get(f"/jobs/{job_id}")):
            # Nothing came since the connection broke, and nothing will.
            yield Event(END, job)
            return
        if failed > TRIES:
            raise unreachable(client.url, error)
        time.sleep(PAUSE)


def _listen(client: Client, job_id: str, last: str) -> Iterator[tuple[str, Event]]:
    """Open the stream behind an event's id; yield (id, event) until it breaks."""
    headers = {**client.authorization(), **({"Last-Event-ID": last} if last else {})}
    timeout = httpx.Timeout(client.settings.timeout, read=SILENCE)
    with connect_sse(
        client.http, "GET", client.url + STREAM.format(id=job_id), headers=headers, timeout=timeout
    ) as source:
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
