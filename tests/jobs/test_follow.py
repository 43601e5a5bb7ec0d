"""Following a job: the stream of its events, and its output in every format."""

from __future__ import annotations

import json
import threading
import uuid
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from api.jobs import stream
from tests.jobs.test_routes import Rest
from worker.events import EventLog

Make = Callable[[str], uuid.UUID]

HOSTILE = [
    "\x1b[0;32mok: [web1]\x1b[0m",
    "<script>alert(1)</script> & 'quotes\"",
    "\x1b]0;a title\x07behind\x1b[2J\x1b[31mred, left open",
    "\x1b]8;;http://evil.example\x1b\\a link\x1b]8;;\x1b\\ \x9b31m \r\x08\x00end",
]


@pytest.fixture
def admin(engine: Any) -> Rest:
    return Rest(engine, ["*"], ["*"])


class Running:
    """A claimed job that writes what the test says."""

    def __init__(self, engine: Any) -> None:
        self._engine, self._taken = engine, engine.claim("web-a")
        self.id = str(self._taken.job_id)
        self._log, self._count = EventLog(engine.settings.data_dir / "jobs", self.id), 0

    def say(self, *lines: str) -> None:
        for line in lines:
            self._count += 1
            self._log.append({"counter": self._count, "event": "runner_on_ok", "stdout": line})

    def end(self) -> None:
        self._log.close()
        for host in self._taken.nodes:
            self._engine.fail(self._taken, host)
        self._engine.end(self._taken)


@pytest.fixture
def running(engine: Any, fqdn: Make) -> Running:
    fqdn("www.other.example")
    return Running(engine)


def read(response: Any) -> Iterator[dict[str, str]]:
    """Give the events of a stream as {id, event, data}."""
    text = ""
    for block in response.iter_encoded():
        text += block.decode()
        while "\n\n" in text:
            frame, text = text.split("\n\n", 1)
            event = dict(line.split(": ", 1) for line in frame.splitlines() if not line.startswith(":"))
            if "event" in event:
                yield event


def test_a_stream_follows_a_running_job_to_its_end(admin: Rest, running: Running) -> None:
    running.say("one", "two")
    response = admin(f"/jobs/{running.id}/events/stream")
    assert response.mimetype == "text/event-stream"
    events = read(response)
    seen = [next(events), next(events)]
    timer = threading.Timer(0.5, lambda: (running.say("three"), running.end()))
    timer.start()
    seen += events
    timer.join()
    assert [json.loads(event["data"]).get("stdout") for event in seen] == ["one", "two", "three", None]
    assert [event["event"] for event in seen] == ["runner_on_ok"] * 3 + ["end"]
    assert json.loads(seen[-1]["data"])["state"] == "successful"


def test_a_broken_stream_goes_on_where_it_was_and_shares_its_cursor_with_the_pages(
    admin: Rest, running: Running
) -> None:
    running.say(*(f"line {number}" for number in range(10)))
    running.end()
    path = f"/jobs/{running.id}/events"
    whole = list(read(admin(f"{path}/stream")))
    for behind in (0, 4, 9):
        last = whole[behind]["id"]
        rest = [event["data"] for event in whole[behind + 1 : -1]]
        assert [event["data"] for event in read(admin(f"{path}/stream", headers={"Last-Event-ID": last}))][:-1] == rest
        assert [json.dumps(item) for item in admin(f"{path}?offset={last}").json["items"]] == [
            json.dumps(json.loads(data)) for data in rest
        ]
    assert admin(f"{path}?limit=5").json["next_offset"] == int(whole[4]["id"])
    # What is no id of ours begins at the beginning, and one from behind the end waits for the end.
    assert len(list(read(admin(f"{path}/stream", headers={"Last-Event-ID": "x"})))) == 11
    assert len(list(read(admin(f"{path}/stream?offset=99999999")))) == 1


def test_streams_are_bounded_and_their_places_come_back(
    admin: Rest, running: Running, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(stream, "_places", threading.BoundedSemaphore(2))
    path = f"/jobs/{running.id}/events/stream"
    one, _two = admin(path), admin(path)
    third = admin(path)
    assert (third.status_code, third.headers["Retry-After"]) == (503, "5")
    one.close()
    assert admin(path).status_code == 200
    assert admin(f"/jobs/{running.id}/events").status_code == 200


def test_a_stream_ends_after_its_time(admin: Rest, running: Running, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stream, "LONGEST", 0.0)
    running.say("one")
    assert list(read(admin(f"/jobs/{running.id}/events/stream"))) == []


def test_the_platforms_events_are_not_a_brands(engine: Any, running: Running) -> None:
    brand = Rest(engine, ["job:read"], [str(engine.ids["brand"])])
    for path in ("events", "events/stream", "output"):
        assert brand(f"/jobs/{running.id}/{path}").status_code == 403


def test_the_output_in_every_format(admin: Rest, running: Running) -> None:
    running.say(*HOSTILE)
    running.end()
    path = f"/jobs/{running.id}/output"

    text = admin(path)
    assert (text.mimetype, text.text.splitlines()[0]) == ("text/plain", "ok: [web1]")
    assert "\x1b" not in text.text
    assert text.text.splitlines()[2:] == ["behindred, left open", "a link 31m end"]

    ansi = admin(f"{path}?format=ansi").text
    assert ansi.splitlines()[0] == HOSTILE[0]
    assert "\x1b[31mred" in ansi
    assert all(bad not in ansi for bad in ("\x1b]", "\x1b[2J", "\x07", "\x9b", "\x08", "\x00"))

    page = admin(f"{path}?format=html")
    assert page.mimetype == "text/html"
    assert "default-src 'none'" in page.headers["Content-Security-Policy"]
    assert "<script" not in page.text
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in page.text
    assert "evil.example" not in page.text
    body = page.text.partition("<body")[2]
    assert 'class="ansi32"' in body
    assert body.count("<span") == body.count("</span")

    rows = admin(f"{path}?format=json").json
    assert [row["line"] for row in rows["lines"]] == [0, 1, 2, 3]
    assert (rows["lines"][0]["text"], rows["next"]) == ("ok: [web1]", 4)


def test_the_output_by_range_and_as_a_file(admin: Rest, running: Running) -> None:
    running.say(*(f"line {number}" for number in range(2000)))
    path = f"/jobs/{running.id}/output"
    assert admin(f"{path}?start=600&end=602").text == "line 600\nline 601\n"
    rows = admin(f"{path}?format=json&start=1998").json
    assert ([row["text"] for row in rows["lines"]], rows["next"]) == (["line 1998", "line 1999"], 2000)
    assert admin(f"{path}?format=json&start=5000").json == {"lines": [], "next": 5000}
    file = admin(f"{path}?download=true&format=html")
    assert file.headers["Content-Disposition"] == f'attachment; filename="job-{running.id}.html"'
    assert file.text.count("line ") == 2000
    assert admin(f"{path}?format=pdf").status_code == 422
    assert admin(f"{path}?start=-1").status_code == 422


def test_cancel_and_relaunch_by_rest(admin: Rest, engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = str(engine.queued("web-a").id)
    weak = Rest(engine, ["job:read"], ["*"])
    assert weak(f"/jobs/{job_id}/cancel", "POST").status_code == 403
    assert admin(f"/jobs/{uuid.uuid4()}/cancel", "POST").status_code == 404
    assert admin(f"/jobs/{job_id}/relaunch", "POST").status_code == 409
    answer = admin(f"/jobs/{job_id}/cancel", "POST")
    assert (answer.status_code, answer.json["resource"]["state"]) == (202, "canceled")
    assert answer.json["resource"]["canceled_by"] == "test"
    assert admin(f"/jobs/{job_id}/cancel", "POST").status_code == 409
    again = admin(f"/jobs/{job_id}/relaunch", "POST")
    assert [job["state"] for job in again.json["jobs"]] == ["queued"]
    actions = [row["action"] for row in admin(f"/audit?resource_id={job_id}").json["items"]]
    assert actions == ["relaunch", "cancel"]
