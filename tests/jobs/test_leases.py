"""Leases over REST: a terminal run takes its hosts, is refused by name, renews, ends, and may vanish."""

from __future__ import annotations

import threading
import uuid
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
import sqlalchemy as sa

from api.auth.keys import issue
from api.core.audit import Audit
from api.core.db import now
from api.core.kind import registry
from api.core.state import EXTENSION
from api.jobs.claim import Busy, claim
from api.jobs.models import Lease
from api.jobs.sql import clock
from api.jobs.sweep import sweep
from api.jobs.terminal import TerminalRun

Make = Callable[[str], uuid.UUID]


class Rest:
    """A client with a key."""

    def __init__(self, engine: Any, name: str, scopes: str = "*", brands: str = "*") -> None:
        with engine.maker.begin() as session:
            key = issue(session, name, [scopes], [brands])[1]
        self._app, self._headers = engine.app, {"Authorization": f"Bearer {key}"}

    def __call__(self, path: str, method: str = "GET", body: Any = None, **headers: str) -> Any:
        extra = {name.replace("_", "-"): value for name, value in headers.items()}
        client = self._app.test_client()
        return client.open(path, method=method, json=body, headers={**self._headers, **extra})

    def take(self, *hosts: str, owner: str = "ops@laptop", **headers: str) -> Any:
        return self("/leases", "POST", {"hosts": list(hosts), "owner": owner, "reason": "site.yml"}, **headers)


@pytest.fixture
def night(engine: Any) -> Rest:
    return Rest(engine, "night shift")


def refused(answer: Any) -> dict[str, str]:
    """Return host → reason of a refusal."""
    return {host: reasons[0] for host, reasons in answer.json["error"]["details"]["json"]["hosts"].items()}


def expire(engine: Any) -> None:
    with engine.maker.begin() as session:
        session.execute(sa.update(Lease).values(expires_at=clock(session, -1)))


def told(engine: Any, monkeypatch: pytest.MonkeyPatch) -> list[uuid.UUID]:
    """Return what the application will have told the queue."""
    found: list[uuid.UUID] = []
    publisher = engine.app.extensions[EXTENSION].publish
    monkeypatch.setattr(type(publisher), "__call__", lambda _self, job_id: found.append(job_id))
    return found


def test_a_run_takes_its_hosts_and_a_job_waits_for_its_end(
    engine: Any, night: Rest, fqdn: Make, monkeypatch: pytest.MonkeyPatch
) -> None:
    published = told(engine, monkeypatch)
    before = engine.all(sa.select(Lease.token).where(Lease.host == "web1"))[0]
    answer = night.take("web2", "web1", "web1")
    assert answer.status_code == 201, answer.text
    lease = answer.json["resource"]
    assert set(lease["hosts"]) == {"web1", "web2"}
    assert lease["hosts"]["web1"] > before
    assert lease["seconds"] == engine.settings.lease_seconds
    fqdn("www.other.example")
    job = engine.queued("web-a")
    with pytest.raises(Busy), engine.transaction() as session:
        claim(session, job.id, "test", 60)
    published.clear()
    ended = night(f"/leases/{lease['id']}", "DELETE")
    assert (ended.status_code, ended.json["resource"]["id"]) == (200, lease["id"])
    assert published == [job.id]
    assert engine.claim("web-a").tokens["web1"] > lease["hosts"]["web1"]
    assert night(f"/leases/{lease['id']}", "DELETE").status_code == 404
    assert engine.all(sa.select(TerminalRun)) == []


def test_a_refusal_names_the_other_terminal(engine: Any, night: Rest) -> None:
    first = night.take("web1", owner="anna@desk")
    second = Rest(engine, "day shift").take("web1", "web2", "lb1", owner="ben@laptop")
    assert (second.status_code, second.json["error"]["code"]) == (409, "CONFLICT")
    ((host, reason),) = refused(second).items()
    assert host == "web1"
    assert reason.startswith("is held by anna@desk (site.yml, key night shift) since 20")
    # All or nothing: what was free still is.
    assert Rest(engine, "day shift").take("web2", "lb1").status_code == 201
    assert first.status_code == 201


def test_a_refusal_names_the_job(engine: Any, night: Rest, fqdn: Make) -> None:
    fqdn("www.other.example")
    taken = engine.claim("web-a")
    reasons = refused(night.take("web1", "lb1"))
    assert list(reasons) == ["web1"]
    assert reasons["web1"].startswith(f"is held by job {taken.job_id} of shard web-a since 20")
    engine.end(taken)
    assert night.take("web1", "lb1").status_code == 201


def test_renewing_keeps_the_hosts_until_they_are_lost(engine: Any, night: Rest) -> None:
    lease = night.take("web1", "web2").json["resource"]
    with engine.maker.begin() as session:
        session.execute(sa.update(Lease).where(Lease.host == "web1").values(expires_at=clock(session, 1)))
    assert night(f"/leases/{lease['id']}/renew", "POST").json == lease
    left = engine.all(sa.select(Lease.expires_at).where(Lease.host == "web1"))[0] - now()
    assert left.total_seconds() > engine.settings.lease_seconds - 10
    assert engine.all(sa.select(Audit.action).where(Audit.resource_id == uuid.UUID(lease["id"]))) == ["create"]
    expire(engine)
    answer = night(f"/leases/{lease['id']}/renew", "POST")
    assert (answer.status_code, answer.json["error"]["message"]) == (409, "The lease of a host has ended.")
    assert night(f"/leases/{uuid.uuid4()}/renew", "POST").status_code == 404


def test_whoever_came_after_an_expiry_is_not_disturbed_by_the_one_before(engine: Any, night: Rest) -> None:
    old = night.take("web1", "web2").json["resource"]
    expire(engine)
    new = night.take("web1").json["resource"]
    assert new["hosts"]["web1"] == old["hosts"]["web1"] + 1
    assert night(f"/leases/{old['id']}/renew", "POST").status_code == 409
    assert night(f"/leases/{old['id']}", "DELETE").status_code == 200
    assert night(f"/leases/{new['id']}/renew", "POST").status_code == 200


def test_the_sweeper_ends_a_run_that_vanished_and_wakes_the_job(engine: Any, night: Rest, fqdn: Make) -> None:
    def swept() -> list[uuid.UUID]:
        with engine.maker.begin() as session:
            return sweep(session)

    lease = night.take("web1").json["resource"]
    other = night.take("dns1").json["resource"]
    fqdn("www.other.example")
    job, balancer = engine.queued("web-a").id, engine.queued("lb-a").id
    assert job not in swept()
    with engine.maker.begin() as session:
        session.execute(sa.update(Lease).where(Lease.host == "web1").values(expires_at=clock(session, -1)))
    assert job in swept()
    assert balancer not in swept()
    assert engine.all(sa.select(TerminalRun.id)) == [uuid.UUID(other["id"])]
    assert night(f"/leases/{lease['id']}/renew", "POST").status_code == 404
    actions = sa.select(Audit.action).where(Audit.resource_id == uuid.UUID(lease["id"])).order_by(Audit.seq)
    assert engine.all(actions) == ["create", "expire"]
    assert engine.claim("web-a").tokens["web1"] > lease["hosts"]["web1"]


def test_hosts_that_are_no_nodes_are_named_and_nothing_is_taken(engine: Any, night: Rest) -> None:
    answer = night.take("web1", "nowhere", "gone")
    assert answer.status_code == 404
    assert refused(answer) == {"gone": "is not a node", "nowhere": "is not a node"}
    assert night.take("web1").status_code == 201


def test_of_many_runs_one_gets_the_hosts(engine: Any, night: Rest) -> None:
    barrier = threading.Barrier(6)

    def take(number: int) -> int:
        barrier.wait()
        hosts = ["web1", "web2", "lb1", "dns1"]
        return int(night.take(*hosts[number % 4 :], *hosts[: number % 4]).status_code)

    with ThreadPoolExecutor(6) as pool:
        assert sorted(pool.map(take, range(6))) == [201, *[409] * 5]
    assert len(engine.all(sa.select(TerminalRun))) == 1


def test_an_answer_that_was_lost_can_be_asked_for_again(night: Rest) -> None:
    first = night.take("web1", Idempotency_Key="k1")
    again = night.take("web1", Idempotency_Key="k1")
    assert (again.status_code, again.json) == (201, first.json)
    assert again.headers["Idempotency-Replayed"] == "true"


def test_who_holds_what_is_listed(engine: Any, night: Rest, fqdn: Make) -> None:
    fqdn("www.other.example")
    taken = engine.claim("web-a")
    lease = night.take("dns1", "lb1").json["resource"]
    first = night("/leases?limit=3").json
    second = night(f"/leases?limit=3&cursor={first['next_cursor']}").json
    assert (first["has_more"], second["has_more"]) == (True, False)
    rows = {row["host"]: row for row in [*first["items"], *second["items"]]}
    assert list(rows) == ["dns1", "lb1", "web1", "web2"]
    assert (rows["lb1"]["holder"], rows["lb1"]["token"]) == (lease["id"], lease["hosts"]["lb1"])
    assert (rows["lb1"]["owner"], rows["lb1"]["key_name"], rows["lb1"]["job_id"]) == ("ops@laptop", "night shift", None)
    assert rows["web1"]["held_by"].startswith(f"job {taken.job_id} of shard web-a since ")
    expire(engine)
    assert night("/leases").json["items"] == []


@pytest.mark.parametrize(
    "body",
    [
        {"hosts": []},
        {"hosts": "web1"},
        {"hosts": ["web1", 1]},
        {"hosts": ["x"] * 5001},
        {"owner": ""},
        {"owner": "a" * 129},
        {"owner": "ops\x1b[2J@laptop"},
        {"reason": "site.yml\nfaked line"},
        {"reason": "\u202elmth"},
        {"seconds": 99999},
    ],
)
def test_what_would_harm_others_is_refused(engine: Any, night: Rest, body: Any) -> None:
    given = {"hosts": ["web1"], "owner": "ops@laptop", "reason": "site.yml", **body}
    assert night("/leases", "POST", given).status_code == 422
    assert engine.all(sa.select(TerminalRun)) == []


def test_a_thousand_hosts_are_taken_renewed_and_given_back(engine: Any, night: Rest) -> None:
    node = registry["node"].model.__table__
    with engine.maker.begin() as session:
        row = dict(session.execute(sa.select(node).where(node.c.name == "web1")).mappings().one())
        rows = [
            {**row, "id": uuid.uuid4(), "name": f"n{number}", "address": f"fd00::{number}"} for number in range(1500)
        ]
        session.execute(node.insert(), rows)
    lease = night.take(*(f"n{number}" for number in range(1500))).json["resource"]
    assert len(lease["hosts"]) == 1500
    assert night(f"/leases/{lease['id']}/renew", "POST").status_code == 200
    assert night(f"/leases/{lease['id']}", "DELETE").status_code == 200
    assert engine.all(sa.select(Lease.host).where(Lease.holder.is_not(None))) == []
