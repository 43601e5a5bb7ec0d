"""Health, metrics, the description and its page."""

from __future__ import annotations

import dataclasses
import re

import pytest

from api.app import create_app
from api.core.proxy import TrustedProxies
from tests.api.conftest import SHARDS


@pytest.fixture
def anonymous(world):
    return world.rest["anonymous"]


def test_health(anonymous):
    for path in ("/healthz", "/readyz"):
        answer = anonymous.get(path)
        assert answer.status_code == 200 and answer.json == {"status": "ok"}


def broken(settings, **changes):
    return create_app(dataclasses.replace(settings, **changes)).test_client()


def test_not_ready_names_what_is_missing(settings, tmp_path):
    answer = broken(settings, redis_url="unix:///nowhere.sock").get("/readyz")
    assert answer.status_code == 503 and answer.json["error"]["details"] == {"queue": "does not answer"}
    answer = broken(settings, database_url=f"sqlite:///{tmp_path}/empty.db").get("/readyz")
    assert answer.json["error"]["details"] == {"database": "not migrated: run `python -m api db upgrade`"}
    down = broken(settings, database_url="postgresql+psycopg://x@/x?host=/nowhere")
    answer = down.get("/readyz")
    assert answer.status_code == 503 and answer.json["error"]["details"] == {"database": "does not answer"}
    assert down.get("/healthz").status_code == 200
    answer = down.get("/zones", headers={"Authorization": "Bearer hr_aaaaaaaaaa_" + "a" * 43})
    assert answer.status_code == 503 and answer.json["error"]["code"] == "SERVICE_UNAVAILABLE"
    assert "nowhere" not in answer.text and answer.headers["Retry-After"]


def test_a_dead_queue_stops_nobody(settings, world):
    """What is accepted is kept; the sweeper tells the queue later."""
    client = broken(settings, redis_url="unix:///nowhere.sock")
    answer = client.post("/tenants", json={"brand_id": world["acme"]}, headers=world.admin.headers)
    assert answer.status_code == 202 and answer.json["jobs"]


def test_the_secret_key_is_asked_for(settings):
    for key in ("", "short"):
        with pytest.raises(RuntimeError, match="HOSTREEVE_SECRET_KEY"):
            broken(settings, secret_key=key)
    broken(settings)


def test_the_description_is_asked_for_cheaply_and_tells_what_clients_need(anonymous):
    first = anonymous.get("/openapi.json")
    again = anonymous.get("/openapi.json", If_None_Match=first.headers["ETag"])
    assert (again.status_code, again.data) == (304, b"")
    assert anonymous.get("/openapi.json", If_None_Match='"other"').data == first.data
    tenants = first.json["paths"]["/tenants"]["get"]["x-kind"]
    assert tenants == {"name": "tenant", "title": "name", "parent": "brand_id", "identity": ["label"]}
    schemas = first.json["components"]["schemas"]
    assert schemas["Fqdn"]["properties"]["webroot_id"]["x-refers-to"] == "webroots"
    assert schemas["ShardCreate"]["properties"]["tsig_secret"]["writeOnly"] is True


def test_metrics(world):
    world.admin.get("/zones")
    world.admin.get("/zones/00000000-0000-0000-0000-000000000000")
    world.admin.call("FOO", "/nope")
    answer = world.admin.get("/metrics")
    assert answer.status_code == 200 and answer.content_type.startswith("text/plain")
    assert f'hostreeve_jobs{{state="queued"}} {len(SHARDS)}.0' in answer.text
    assert 'hostreeve_deliveries{state="pending"}' in answer.text
    assert 'hostreeve_requests_total{method="GET",route="/zones/<uuid:id>",status="404"}' in answer.text
    assert 'hostreeve_requests_total{method="other",route="none",status="404"}' in answer.text
    assert "00000000-0000" not in answer.text
    assert world.rest["acme"].get("/metrics").status_code == 403


def test_the_page_works_without_the_internet(anonymous):
    page = anonymous.get("/docs")
    assert page.status_code == 200 and page.content_type.startswith("text/html")
    policy = page.headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy and "script-src 'self';" in policy and "http" not in policy
    assert "<script>" not in page.text and "style=" not in page.text
    links = re.findall(r'(?:href|src)="([^"]+)"', page.text)
    assert len(links) >= 5
    for link in links:
        assert link.startswith("/") and anonymous.get(link).status_code == 200, link
    assert anonymous.get("/docs/start.js").content_type.startswith("text/javascript")
    for path in ("/docs/index.html", "/docs/..%2fsetup.py", "/docs/%2e%2e", "/docs/swagger-ui-bundle.js.map"):
        assert anonymous.get(path).status_code in (401, 404), path


def test_the_description(anonymous):
    spec = anonymous.get("/openapi.json").json
    names = [
        operation["operationId"]
        for path in spec["paths"].values()
        for operation in path.values()
        if "operationId" in operation
    ]
    assert len(names) == len(set(names)) > 70
    for name in ("list_fqdns", "create_fqdn", "get_fqdn", "update_fqdn", "delete_fqdn", "retry_fqdn", "suspend_tenant"):
        assert name in names
    schemas = spec["components"]["schemas"]
    assert not any(re.search(r"\d$", name) for name in schemas), "two schemas share a name"
    assert "tsig_secret" in schemas["ShardCreate"]["properties"] and "tsig_secret" not in schemas["Shard"]["properties"]
    assert schemas["RecordCreate"]["properties"]["type"]["enum"] and "reversed" not in schemas["Fqdn"]["properties"]
    for path in spec["paths"].values():
        for operation in (value for key, value in path.items() if key != "parameters"):
            assert operation["responses"]["401"]


def test_every_answer_is_traceable(world):
    for path in ("/zones", "/nope", "/healthz"):
        headers = world.admin.get(path).headers
        assert re.fullmatch(r"[0-9a-f]{32}", headers["X-Trace-Id"])
        assert headers["X-Content-Type-Options"] == "nosniff"


@pytest.mark.parametrize(
    ("peer", "forwarded", "seen"),
    [("203.0.113.5", "10.0.0.1", "203.0.113.5"), ("127.0.0.1", "203.0.113.5", "203.0.113.5"),
     ("127.0.0.1", "6.6.6.6, 203.0.113.5", "203.0.113.5"), ("127.0.0.1", "203.0.113.5, 127.0.0.1", "203.0.113.5"),
     ("127.0.0.1", "nonsense", "127.0.0.1"), ("127.0.0.1", "", "127.0.0.1")],
)  # fmt: skip
def test_forged_addresses(peer, forwarded, seen):
    """X-Forwarded-For counts from listed peers only, and only its last foreign entry."""
    environ = {"REMOTE_ADDR": peer, "HTTP_X_FORWARDED_FOR": forwarded}
    TrustedProxies(lambda environ, _start: [], "127.0.0.1")(environ, None)
    assert environ["REMOTE_ADDR"] == seen


def test_idempotency_rows_expire(world):
    from datetime import timedelta

    import sqlalchemy as sa

    from api.core import idempotency
    from api.core.db import now

    first = world.admin.post("/regions", {"name": "once"}, Idempotency_Key="e").json["resource"]
    with world.session() as session, session.begin():
        assert idempotency.purge(session) == 0
        session.execute(sa.update(idempotency.Idempotency).values(created_at=now() - timedelta(hours=25)))
    world.admin.delete(f"/regions/{first['id']}")
    again = world.admin.post("/regions", {"name": "once"}, Idempotency_Key="e")
    assert again.status_code == 202 and again.json["resource"]["id"] != first["id"]
    with world.session() as session, session.begin():
        session.execute(sa.update(idempotency.Idempotency).values(created_at=now() - timedelta(hours=25)))
        assert idempotency.purge(session) == 1
