"""``callback_url``: told once, when what a mutation wished has settled."""

from __future__ import annotations

import hashlib
import hmac
import json
import uuid
from urllib.parse import quote

import pytest
import sqlalchemy as sa

from api.auth.models import ApiKey
from api.jobs.finish import abandon
from api.notify.callbacks import settle_forgotten
from api.notify.models import Notice


@pytest.fixture
def secret(stage):
    return stage.rest.post("/callback-secret").json["secret"]


def asks(path, url):
    return f"{path}?callback_url={quote(url, safe='')}"


def bodies(receiver):
    return [json.loads(got.body) for got in receiver.got]


def create(stage, url, name="www"):
    body = {"webroot_id": str(stage.engine.ids["webroot"]), "fqdn": f"{name}.acme.example"}
    answer = stage.rest.post(asks("/fqdns", url), body)
    assert answer.status_code == 202, answer.text
    return uuid.UUID(answer.json["resource"]["id"])


def test_a_creation(stage, receiver, secret):
    url = f"{receiver.url}/done?token=canary-token"
    id_ = create(stage, url)
    waiting = stage.rest.get("/notices").json["items"]
    assert [(row["state"], row["topic"], row["notification_id"]) for row in waiting] == [("waiting", "callback", None)]
    assert stage.rest.post(f"/notices/{waiting[0]['id']}/redeliver").status_code == 409
    assert stage.send() == 0
    stage.engine.run("lb-a")
    assert stage.send() == 0
    stage.engine.settle_all()
    assert stage.send() == 1
    got, body = receiver.got[0], bodies(receiver)[0]
    assert got.path == "/done?token=canary-token" and got.headers["X-Hostreeve-Delivery"] == waiting[0]["id"]
    assert (body["topic"], body["status"], body["name"]) == ("resource_active", "active", "www.acme.example")
    assert body["id"] == str(id_) and body["generation"] == 1
    signed = got.headers["X-Hostreeve-Timestamp"].encode() + b"." + got.body
    expected = hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest()
    assert got.headers["X-Hostreeve-Signature"] == f"sha256={expected}"
    # The address may hold a token: it is in no answer and in no table as it is.
    assert "canary-token" not in stage.rest.get("/notices").text + stage.rest.get("/audit").text
    with stage.engine.maker() as session:
        assert "canary-token" not in str(session.execute(sa.text("select * from notice")).all())
    # Nothing more comes of it.
    stage.engine.change("fqdn", id_, directives="")
    stage.engine.settle_all()
    assert stage.send() == 0


def test_a_failure_and_its_retry(stage, receiver, secret):
    id_ = create(stage, receiver.url)
    engine = stage.engine
    taken = engine.claim("web-a")
    document = engine.document(taken)
    for host in document.sent:
        engine.report(taken, document, host, failed={id_: "no room"})
    engine.end(taken)
    # Other hosts have not said anything yet.
    assert stage.send() == 0
    engine.settle_all()
    assert stage.send() == 1
    assert bodies(receiver)[0]["status"] == "failed" and "no room" in bodies(receiver)[0]["message"]
    assert stage.rest.post(asks(f"/fqdns/{id_}/retry", receiver.url)).status_code == 202
    engine.settle_all()
    assert stage.send() == 1 and bodies(receiver)[1]["status"] == "active"


def test_a_deletion(stage, receiver, secret, fqdn):
    id_ = fqdn("www.acme.example")
    stage.engine.settle_all()
    assert stage.rest.delete(asks(f"/fqdns/{id_}", receiver.url)).status_code == 202
    stage.engine.settle_all()
    assert stage.send() == 1
    assert bodies(receiver)[0]["topic"] == "resource_gone" and bodies(receiver)[0]["status"] == "deleted"


def test_a_later_wish_settles_both(stage, receiver, secret):
    """While a run carries the older wish, a newer one comes: the older one's report is no end."""
    engine = stage.engine
    body = {"tenant_id": str(engine.ids["tenant"])}
    made = stage.rest.post(asks("/webroots", f"{receiver.url}/1"), body).json["resource"]
    taken = engine.claim("web-a")
    document = engine.document(taken)
    changed = stage.rest.patch(asks(f"/webroots/{made['id']}", f"{receiver.url}/2"), {"env": {"A": "1"}})
    assert changed.json["resource"]["generation"] == 2
    for host in document.sent:
        engine.report(taken, document, host)
    engine.end(taken)
    assert stage.send() == 0
    engine.settle_all()
    assert stage.send() == 2
    assert sorted(got.path for got in receiver.got) == ["/1", "/2"]
    assert [body["generation"] for body in bodies(receiver)] == [2, 2]


def test_what_is_settled_already(stage, receiver, secret, fqdn):
    """A change that changes nothing, what no host carries, and a deletion of that."""
    id_ = fqdn("www.acme.example")
    stage.engine.settle_all()
    stage.rest.patch(asks(f"/fqdns/{id_}", f"{receiver.url}/same"), {})
    made = stage.rest.post(asks("/regions", f"{receiver.url}/made"), {"name": "us-1"}).json["resource"]
    stage.rest.delete(asks(f"/regions/{made['id']}", f"{receiver.url}/gone"))
    assert stage.send() == 3
    found = {got.path: (body["kind"], body["status"], body["name"])
             for got, body in zip(receiver.got, bodies(receiver), strict=True)}  # fmt: skip
    assert found == {
        "/same": ("fqdn", "active", "www.acme.example"),
        "/made": ("region", "active", "us-1"),
        "/gone": ("region", "deleted", "us-1"),
    }


def test_an_action(stage, receiver, secret):
    assert stage.rest.post(asks(f"/tenants/{stage.engine.ids['tenant']}/suspend", receiver.url)).status_code == 202
    stage.engine.settle_all()
    assert stage.send() == 1 and bodies(receiver)[0]["status"] == "suspended"


def test_a_run_that_vanishes_settles_nothing(stage, receiver, secret):
    create(stage, receiver.url)
    taken = stage.engine.claim("lb-a")
    with stage.engine.transaction() as session:
        abandon(session, taken.job_id, "lease_expired")
    assert stage.send() == 0
    stage.engine.settle_all()
    assert stage.send() == 1 and len(receiver.got) == 1


def test_the_same_request_twice(stage, receiver, secret):
    for _ in range(2):
        answer = stage.rest.post(asks("/regions", receiver.url), {"name": "us-1"}, Idempotency_Key="once")
        assert answer.status_code == 202
    assert stage.send() == 1


def test_what_nobody_announced(stage, receiver, secret):
    """Records go with their zone, by the database's own hand."""
    body = {"zone_id": str(stage.engine.ids["zone"]), "name": "mail", "type": "A", "content": "192.0.2.9"}
    record = stage.rest.post(asks("/records", receiver.url), body).json["resource"]
    with stage.engine.maker.begin() as session:
        session.execute(sa.text("delete from record"))
    with stage.engine.maker.begin() as session:
        assert settle_forgotten(session) == 1
        assert settle_forgotten(session) == 0
    assert stage.send() == 1
    assert bodies(receiver)[0]["id"] == record["id"] and bodies(receiver)[0]["status"] == "deleted"


def test_forgotten_ones_wait_while_they_should(stage, receiver, secret):
    create(stage, receiver.url)
    with stage.engine.maker.begin() as session:
        assert settle_forgotten(session) == 0
    assert stage.notices()[0].state == "waiting"


@pytest.mark.parametrize(
    "url",
    [
        "",
        "x",
        "ftp://a.example/",
        "https://127.0.0.1@a.example/",
        "https://10.0.0.1/",
        "https://[::1]/",
        "file:///etc/passwd",
    ],
)
def test_urls_that_are_refused(stage, secret, url):
    refused = stage.rest.post(asks("/regions", url), {"name": "us-1"})
    assert refused.status_code == 422 and "callback_url" in refused.json["error"]["details"]["query"], refused.text
    assert stage.rest.get("/regions?name=us-1").json["items"] == [] and stage.notices() == []


def test_other_parameters_are_refused(stage, secret):
    for method, path in (("POST", "/regions"), ("PATCH", f"/regions/{stage.engine.ids['region']}")):
        refused = stage.rest.call(method, f"{path}?callback_ulr=x", {"name": "us-1"} if method == "POST" else {})
        assert refused.status_code == 422 and "callback_ulr" in refused.json["error"]["details"]["query"]


def test_without_a_secret(stage):
    refused = stage.rest.post(asks("/regions", "https://a.example/"), {"name": "us-1"})
    assert refused.status_code == 422 and "callback-secret" in str(refused.json["error"]["details"]["query"])
    assert stage.rest.get("/regions?name=us-1").json["items"] == []


def test_the_secret_is_shown_once(stage, receiver):
    first = stage.rest.post("/callback-secret", Idempotency_Key="a").json
    assert stage.rest.post("/callback-secret", Idempotency_Key="a").json["secret"] is None
    second = stage.rest.post("/callback-secret").json["secret"]
    assert first["secret"] != second and len(second) >= 32
    with stage.engine.maker() as session:
        texts = [str(session.execute(sa.text(f"select * from {name}")).all()) for name in ("callback_secret", "audit")]
    assert not any(secret in text for secret in (first["secret"], second) for text in texts)
    stage.rest.post(asks("/regions", receiver.url), {"name": "us-1"})
    stage.send()
    got = receiver.got[0]
    signed = got.headers["X-Hostreeve-Timestamp"].encode() + b"." + got.body
    assert got.headers["X-Hostreeve-Signature"].endswith(hmac.new(second.encode(), signed, hashlib.sha256).hexdigest())


def test_a_brands_key(stage, receiver):
    """It reaches only the internet, and sees its own call-backs; the platform's are not its business."""
    for rest in (stage.rest, stage.brand):
        rest.post("/callback-secret")
    tenant = f"/tenants/{stage.engine.ids['tenant']}"
    for url in (receiver.url, f"https://127.0.0.1:{receiver.port}/"):
        assert stage.brand.patch(asks(tenant, url), {}).status_code == 422
    assert stage.brand.patch(asks(tenant, "https://portal.example.net/x"), {}).status_code == 202
    assert stage.rest.patch(asks(tenant, f"{receiver.url}/x"), {}).status_code == 202
    seen = stage.brand.get("/notices").json["items"]
    assert [row["target"] for row in seen] == ["https://portal.example.net"]
    stage.sender._theirs.resolver = lambda host, port: ["127.0.0.1"]
    stage.send()
    assert stage.notice(seen[0]["id"]).state == "given_up" and len(receiver.got) == 1


def test_a_revoked_key_calls_nobody(stage, receiver, secret):
    create(stage, receiver.url)
    with stage.engine.maker.begin() as session:
        session.execute(sa.update(ApiKey).values(revoked_at=sa.func.current_timestamp()))
    stage.engine.settle_all()
    assert stage.send() == 1 and receiver.got == []
    notice = stage.engine.all(sa.select(Notice))[0]
    assert notice.state == "given_up" and "revoked" in notice.answer


def test_it_is_described(stage):
    paths = stage.rest.get("/openapi.json").json["paths"]
    for operation in (paths["/fqdns"]["post"], paths["/fqdns/{id}"]["patch"], paths["/fqdns/{id}"]["delete"],
                      paths["/tenants/{id}/suspend"]["post"], paths["/fqdns/{id}/retry"]["post"]):  # fmt: skip
        assert "callback_url" in [parameter["name"] for parameter in operation["parameters"] if "name" in parameter]
