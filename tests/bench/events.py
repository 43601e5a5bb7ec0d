"""What a job with many events costs: to read it whole, and while others want something else of the API."""

from __future__ import annotations

import threading
import time
from contextlib import ExitStack
from pathlib import Path

import httpx

from tests.bench import load
from tests.bench.table import Row, number, seconds
from tests.e2e.client import Client
from worker.events import EventLog

EVENTS = 99_000  # what fits below the bound of a file
FOLLOWERS = 4
#: Events per second that a busy run writes while its followers read.
PACE = 1000
LINE = "ok: [web1] => (item=a line as long as most of them are)"


def rows(client: Client, data_dir: Path, url: str, key: str) -> list[Row]:
    """Return the rows; ``url`` is of a cheap request, whose rate is measured with followers and without."""
    shard = client.call("GET", "/shards?limit=1")["items"][0]
    job = client.call("POST", f"/shards/{shard['id']}/converge", 202)["jobs"][0]["id"]
    log = EventLog(data_dir / "jobs", job)
    for n in range(EVENTS):
        log.append(event(n))
    began = time.perf_counter()
    found, offset = 0, 0
    while (page := client.call("GET", f"/jobs/{job}/events?limit=1000&offset={offset}"))["items"]:
        found, offset = found + len(page["items"]), page["next_offset"]
    whole = time.perf_counter() - began
    assert found == EVENTS
    alone = load.rate(url, key)
    over = threading.Event()
    with ExitStack() as stack:
        for _ in range(FOLLOWERS):
            stack.enter_context(following(client, job, over))
        writer = threading.Thread(target=write, args=(log, over))
        writer.start()
        time.sleep(3)  # the followers catch up with what is there
        followed = load.rate(url, key)
        over.set()
        writer.join()
    log.close()
    return [
        Row(f"{number(EVENTS)} events of one job, read page by page", seconds(whole)),
        Row(
            f"GET of one FQDN while {FOLLOWERS} follow a job of {number(PACE)} events/s",
            f"{number(followed)}/s",
            f"{number(alone)}/s alone",
            followed / alone,
        ),
    ]


def event(n: int) -> dict[str, object]:
    return {"counter": n, "event": "runner_item_on_ok", "stdout": LINE, "event_data": {"host": "web1"}}


def write(log: EventLog, over: threading.Event) -> None:
    n = EVENTS
    while not over.wait(0.05):
        for _ in range(PACE // 20):
            n += 1
            log.append(event(n))


class following:
    """A reader of a job's stream, in a thread."""

    def __init__(self, client: Client, job: str, over: threading.Event) -> None:
        self._url = f"{client.http.base_url}/jobs/{job}/events/stream".replace("//jobs", "/jobs")
        self._headers, self._over = dict(client.http.headers), over
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> None:
        self._thread.start()

    def __exit__(self, *_: object) -> None:
        self._thread.join()

    def _read(self) -> None:
        with httpx.stream("GET", self._url, headers=self._headers, timeout=30) as response:
            assert response.status_code == 200
            for _ in response.iter_raw():
                if self._over.is_set():
                    return
