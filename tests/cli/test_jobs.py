"""Jobs: shown, followed by stream and by pages, through broken connections, canceled, run again, converged."""

from __future__ import annotations

import json
import threading
import time
from contextlib import ExitStack

import httpx
import pytest

from tests.cli.proxy import Proxy
from tests.jobs.conftest import furnish
from worker.events import EventLog


@pytest.fixture
def platform(idle):
    """A furnished platform, everything active."""
    furnish(idle)
    return idle


def fqdn(engine, name):
    return engine.add("fqdn", brand_id=engine.ids["brand"], webroot_id=engine.ids["webroot"], fqdn=name)


class Play:
    """A job that runs as slowly as a test wants."""

    def __init__(self, engine, refuse=""):
        self.engine, self.refuse = engine, refuse
        self.fqdn = fqdn(engine, "www.acme.example")
        self.taken = engine.claim("web-a")
        self.id = str(self.taken.job_id)
        self.log = EventLog(engine.settings.data_dir / "jobs", self.id)

    def event(self, number, **data):
        event = {"counter": number, "event": "runner_on_ok", "stdout": f"line {number}", "event_data": data}
        self.log.append(event)

    def end(self):
        self.log.close()
        document = self.engine.document(self.taken)
        for host in document.sent:
            failed = {self.fqdn: self.refuse} if self.refuse else {}
            self.engine.report(self.taken, document, host, failed=failed)
        self.engine.end(self.taken)


def events_of(text):
    return [json.loads(line) for line in text.splitlines()]


def rest_of(process):
    """Return what a process still writes; ``communicate`` would lose what was read ahead."""
    found = process.stdout.read(), process.stderr.read()
    process.wait(30)
    return found


def test_a_job_is_followed_while_it_runs(cli, platform):
    play = Play(platform)
    play.event(0, host="web1", task="Make the resources equal")
    process = cli.start("jobs", "watch", play.id, "--json")
    assert json.loads(process.stdout.readline())["data"]["n"] == 0
    for number in range(1, 5):
        play.event(number)
    assert json.loads(process.stdout.readline())["data"]["n"] == 1
    play.end()
    rest, errors = rest_of(process)
    assert process.returncode == 0, errors
    *middle, end = events_of(rest)
    assert [event["data"]["n"] for event in middle] == [2, 3, 4]
    assert (end["event"], end["data"]["state"], end["data"]["id"]) == ("end", "successful", play.id)


def test_the_exit_code_is_the_jobs(cli, platform):
    play = Play(platform, refuse="disk full")
    play.event(0, host="web1", task="t", res={"resources": {str(play.fqdn): {"failed": True, "msg": "disk full"}}})
    play.end()
    done = cli.run("jobs", "watch", play.id, code=1)
    assert "web1" in done.stdout and "disk full" in done.stdout
    assert f"job {play.id} ended failed: resources_failed" in done.stderr
    found = cli.json("jobs", "resources", play.id)
    assert {(row["host"], row["failed"], row["message"]) for row in found} == {
        ("web1", True, "disk full"),
        ("web2", True, "disk full"),
    }
    assert cli.json("jobs", "list", "--state", "failed", "--shard", "web-a")[0]["id"] == play.id
    assert cli.json("jobs", "show", play.id)["failed"] == 2
    assert "line 0" in cli.run("jobs", "output", play.id).stdout
    assert "resources_failed" in cli.run("jobs", "list").stdout


def test_it_gives_up_in_time(cli, platform):
    play = Play(platform)
    done = cli.run("jobs", "watch", play.id, "--wait-timeout", "1", code=7)
    assert "did not end in time" in done.stderr
    play.end()


def test_a_broken_connection_is_taken_up_where_it_broke(cli, platform, server):
    """Answers that carry events break in the middle of one, twice; each event still comes once."""
    play, marks = Play(platform), [b'"n":7,', b'"n":15,']

    def cut(answer):
        if not marks or marks[0] not in answer:
            return None
        return answer.index(marks.pop(0))

    proxy = Proxy(server.url, cut)
    for number in range(10):
        play.event(number)

    def go_on():
        for number in range(10, 20):
            time.sleep(0.1)
            play.event(number)
        play.end()

    thread = threading.Thread(target=go_on)
    thread.start()
    done = cli.run("jobs", "watch", play.id, "--json", HOSTCTL_URL=proxy.url)
    thread.join()
    proxy.close()
    assert not marks, "nothing was cut"
    *events, end = events_of(done.stdout)
    assert [event["data"]["n"] for event in events] == list(range(20))
    assert end["data"]["state"] == "successful" and end["data"]["hosts"] == []
    asked = [request for request in proxy.requests if b"/events/stream" in request]
    assert len(asked) >= 3 and all(b"Last-Event-ID" in request for request in asked[1:])


def test_without_a_place_for_a_stream_it_reads_page_by_page(cli, platform, server):
    play = Play(platform)
    play.event(0)
    headers = {"Authorization": f"Bearer {server.key}"}
    with ExitStack() as stack, httpx.Client(headers=headers) as http:
        while True:
            url = f"{server.url}/jobs/{play.id}/events/stream"
            answer = stack.enter_context(http.stream("GET", url))
            if answer.status_code == 503:
                break
        process = cli.start("jobs", "watch", play.id, "--json")
        assert json.loads(process.stdout.readline())["data"]["n"] == 0
        play.event(1)
        play.end()
        rest, errors = rest_of(process)
    assert process.returncode == 0, errors
    assert [event["event"] for event in events_of(rest)] == ["runner_on_ok", "end"]


def test_a_brands_key_is_told_the_end(cli, platform, server):
    play = Play(platform)
    play.event(0)
    play.end()
    key = server.issue("job:read", str(platform.ids["brand"]))
    done = cli.run("jobs", "watch", play.id, "--json", HOSTCTL_KEY_FILE=None, HOSTCTL_KEY=key)
    (end,) = events_of(done.stdout)
    assert (end["event"], end["data"]["state"]) == ("end", "successful")


def test_cancel_and_run_again(cli, platform):
    name = fqdn(platform, "www.acme.example")
    queued = str(platform.queued("web-a").id)
    result = cli.json("jobs", "cancel", queued, "--wait")
    assert result["resource"]["state"] == "canceled"
    assert platform.status("fqdn", name)[0] in ("failed", "pending", "provisioning")
    assert "canceled already" in cli.run("jobs", "cancel", queued, code=4).stderr
    assert cli.run("jobs", "watch", queued, code=1).stderr.strip().endswith("ended canceled: canceled")
    again = cli.json("jobs", "relaunch", queued)
    assert again["jobs"][0]["id"] == str(platform.queued("web-a").id) != queued


def test_cancel_waits_until_the_run_has_ended(cli, platform):
    play = Play(platform)
    process = cli.start("jobs", "cancel", play.id, "--wait")
    time.sleep(1.0)
    assert process.poll() is None
    play.end()
    _, errors = process.communicate(timeout=30)
    assert process.returncode == 1
    assert "ended before it was canceled: successful" in errors


def test_converge_follows_its_job(cli, platform, worker):
    result = cli.json("converge", "web-a")
    assert result["jobs"][0]["state"] == "successful" and result["jobs"][0]["full"]
    done = cli.run("converge", str(platform.ids["web-a"]))
    assert "successful" in done.stdout
    worker.stopped.set()
    assert cli.json("converge", "lb-a", "--no-wait")["jobs"][0]["state"] == "queued"
    assert "no shard called nowhere" in cli.run("converge", "nowhere", code=3).stderr


def test_what_is_no_job(cli):
    nobody = "00000000-0000-4000-8000-000000000000"
    for verb in ("show", "watch", "cancel", "relaunch", "output", "resources"):
        cli.run("jobs", verb, nobody, code=3)
    cli.run("jobs", "show", "web-a", code=2)
