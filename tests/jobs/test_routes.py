"""The routes of jobs, and what a brand's key sees of them."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from api.auth.keys import issue
from tests.jobs.conftest import DIFF
from worker.events import EventLog

Make = Callable[[str], uuid.UUID]


class Rest:
    """A client with a key."""

    def __init__(self, engine: Any, scopes: list[str], brands: list[str]) -> None:
        with engine.maker.begin() as session:
            key = issue(session, "test", scopes, brands)[1]
        self._client, self._headers = engine.app.test_client(), {"Authorization": f"Bearer {key}"}

    def __call__(self, path: str, method: str = "GET", headers: dict[str, str] | None = None) -> Any:
        return self._client.open(path, method=method, headers={**self._headers, **(headers or {})})


@pytest.fixture
def admin(engine: Any) -> Rest:
    return Rest(engine, ["*"], ["*"])


@pytest.fixture
def ran(engine: Any, fqdn: Make) -> tuple[str, uuid.UUID]:
    """A job that carried a name, failed on one host, and left events."""
    id_ = fqdn("www.acme.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    log = EventLog(engine.settings.data_dir / "jobs", str(taken.job_id))
    for number in range(5):
        log.append({"counter": number, "event": "runner_on_ok", "stdout": f"line {number}"})
    log.close()
    engine.report(taken, document, "web1", changed=[id_])
    engine.report(taken, document, "web2", failed={id_: "disk full"})
    engine.end(taken)
    return str(taken.job_id), id_


def test_a_job_is_shown_with_its_resources(admin: Rest, ran: Any) -> None:
    job_id, id_ = ran
    job = admin(f"/jobs/{job_id}").json
    assert (job["state"], job["reason"], job["changed"], job["failed"]) == ("failed", "resources_failed", 1, 1)
    assert job["seconds"] >= 0
    rows = admin(f"/jobs/{job_id}/resources").json["items"]
    assert [(row["host"], row["changed"], row["failed"], row["message"]) for row in rows] == [
        ("web1", True, False, ""),
        ("web2", False, True, "disk full"),
    ]
    assert {row["resource_id"] for row in rows} == {str(id_)}
    assert [row["diff"] for row in rows] == [DIFF, None]
    told = admin(f"/fqdns/{id_}/history").json["items"][0]["results"]
    assert [result["diff"] for result in told] == [DIFF, None]
    first = admin(f"/jobs/{job_id}/resources?limit=1").json
    second = admin(f"/jobs/{job_id}/resources?limit=1&cursor={first['next_cursor']}").json
    assert [row["host"] for row in first["items"] + second["items"]] == ["web1", "web2"]
    assert not second["has_more"]


def test_the_list_filters_and_pages(admin: Rest, ran: Any, engine: Any) -> None:
    job_id, id_ = ran
    assert [job["id"] for job in admin(f"/jobs?resource_id={id_}").json["items"]] == [job_id]
    assert admin(f"/jobs?resource_id={uuid.uuid4()}").json["items"] == []
    states = {job["state"] for job in admin("/jobs?state=failed").json["items"]}
    assert states == {"failed"}
    shard = engine.ids["web-a"]
    seen, cursor = [], ""
    while True:
        page = admin(f"/jobs?limit=2&shard_id={shard}{cursor}").json
        seen += page["items"]
        if not page["has_more"]:
            break
        cursor = f"&cursor={page['next_cursor']}"
    assert seen[0]["id"] == job_id
    assert [job["created_at"] for job in seen] == sorted((job["created_at"] for job in seen), reverse=True)
    for wrong in ("state=lost", "sort=reason", "limit=0", "resource_id=1", "nonsense=1"):
        assert admin(f"/jobs?{wrong}").status_code == 422


def test_events_and_output_are_read_as_they_grow(admin: Rest, ran: Any) -> None:
    job_id, _ = ran
    page = admin(f"/jobs/{job_id}/events?limit=3").json
    assert ([event["n"] for event in page["items"]], page["ended"]) == ([0, 1, 2], False)
    page = admin(f"/jobs/{job_id}/events?offset={page['next_offset']}").json
    assert ([event["n"] for event in page["items"]], page["ended"]) == ([3, 4], True)
    output = admin(f"/jobs/{job_id}/output")
    assert output.mimetype == "text/plain"
    assert output.text.splitlines()[0] == "line 0"
    queued = admin("/jobs?state=queued").json["items"][0]["id"]
    assert admin(f"/jobs/{queued}/events").json == {"items": [], "next_offset": 0, "ended": False}
    assert admin(f"/jobs/{queued}/output").text == ""
    assert admin(f"/jobs/{job_id}/events?offset=-1").status_code == 422
    assert admin(f"/jobs/{uuid.uuid4()}/events").status_code == 404


def test_a_brand_sees_what_concerns_it_and_no_more(engine: Any, admin: Rest, ran: Any, fqdn: Make) -> None:
    job_id, _ = ran
    own = Rest(engine, ["job:read"], [str(engine.ids["brand"])])
    other = Rest(engine, ["job:read"], [str(uuid.uuid4())])
    job = own(f"/jobs/{job_id}").json
    assert (job["resources"], job["changed"], job["failed"], job["hosts"]) == (1, 1, 1, [])
    assert len(own(f"/jobs/{job_id}/resources").json["items"]) == 2
    assert other(f"/jobs/{job_id}").status_code == 404
    assert other(f"/jobs/{job_id}/resources").status_code == 404
    for path in ("/jobs", f"/jobs/{job_id}/events", f"/jobs/{job_id}/output", "/inventory"):
        assert own(path).status_code == 403
    fqdn("queued.acme.example")
    queued = engine.queued("web-a").id
    assert own(f"/jobs/{queued}").json["state"] == "queued"
    assert other(f"/jobs/{queued}").status_code == 404
    engine.claim("web-a")
    assert own(f"/jobs/{queued}").json["state"] == "running"


def test_a_full_converge_is_asked_for(engine: Any, admin: Rest) -> None:
    answer = admin(f"/shards/{engine.ids['web-a']}/converge", "POST")
    assert answer.status_code == 202
    assert engine.queued("web-a").full
    assert [job["id"] for job in answer.json["jobs"]] == [str(engine.queued("web-a").id)]
    assert admin(f"/shards/{uuid.uuid4()}/converge", "POST").status_code == 404
    brand = Rest(engine, ["shard:converge"], [str(engine.ids["brand"])])
    assert brand(f"/shards/{engine.ids['web-a']}/converge", "POST").status_code == 403


def test_the_inventory_is_for_operators_and_is_not_kept(engine: Any, admin: Rest) -> None:
    answer = admin("/inventory?shard=dns-a")
    assert answer.status_code == 200
    assert "no-store" in answer.headers["Cache-Control"]
    assert set(answer.json["hosts"]) == {"dns1", "dns2"}
    assert answer.json["groups"]["shard_dns_a"]["vars"]["dns_tsig_secret"]
    assert set(admin("/inventory").json["hosts"]) == {"web1", "web2", "lb1", "dns1", "dns2"}
    assert admin("/inventory?shard=nowhere").status_code == 404
    assert Rest(engine, ["job:read"], ["*"])("/inventory").status_code == 403
