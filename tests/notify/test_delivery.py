"""Notices on their way: signatures, headers, tries, redelivery, the log, and whose it is."""

from __future__ import annotations

import hashlib
import hmac
import uuid
from datetime import timedelta

import sqlalchemy as sa

from api.core.audit import Audit
from api.core.db import now
from api.notify import sender as sending
from api.notify.models import Notice
from api.notify.sender import PAUSES


def test_signature(stage, receiver):
    """As a receiver would check it, with what it was shown when the notification was made."""
    made = stage.webhook(receiver.url)
    stage.rest.post(f"/notifications/{made['id']}/test")
    stage.send()
    got = receiver.got[0]
    signed = got.headers["X-Hostreeve-Timestamp"].encode() + b"." + got.body
    expected = "sha256=" + hmac.new(made["secret"].encode(), signed, hashlib.sha256).hexdigest()
    assert got.headers["X-Hostreeve-Signature"] == expected
    assert abs(int(got.headers["X-Hostreeve-Timestamp"]) - now().timestamp()) < 60
    assert got.headers["X-Hostreeve-Topic"] == "test" and got.headers["Content-Type"] == "application/json"
    notice = stage.notices()[0]
    assert got.headers["X-Hostreeve-Delivery"] == str(notice.id) and notice.state == "sent"
    rotated = stage.rest.post(f"/notifications/{made['id']}/rotate").json["secret"]
    stage.rest.post(f"/notices/{notice.id}/redeliver")
    stage.send()
    got = receiver.got[1]
    signed = got.headers["X-Hostreeve-Timestamp"].encode() + b"." + got.body
    assert got.headers["X-Hostreeve-Signature"].endswith(hmac.new(rotated.encode(), signed, hashlib.sha256).hexdigest())


def test_headers(stage, receiver):
    stage.webhook(
        receiver.url,
        headers={"X-Team": "web", "content-type": "text/plain"},
        authorization="Bearer canary",
        body="{{ name }}!",
        topics=["resource_active"],
        kinds=["region"],
    )
    stage.rest.make("regions", name="us-1")
    stage.send()
    got = receiver.got[0]
    assert got.headers["X-Team"] == "web" and got.headers["Authorization"] == "Bearer canary"
    types = [value for name, value in got.headers.items() if name.lower() == "content-type"]
    assert types == ["text/plain"] and got.body == b"us-1!"


def test_secrets_stay(stage, receiver, caplog):
    """Neither the log of notices, nor the audit, nor what is sent, nor the process's log has a secret."""
    canaries = ["Bearer canary-canary", "canary-secret-0123456789"]
    made = stage.webhook(receiver.url, authorization=canaries[0], secret=canaries[1])
    tenant = stage.rest.make("tenants", brand_id=str(stage.engine.ids["brand"]))
    database = {"tenant_id": tenant["id"]}
    stage.rest.post(f"/notifications/{made['id']}/test")
    receiver.answer = lambda got: (500, {}, b"token=inside-answer")
    stage.send()
    texts = [
        stage.rest.get(where).text for where in ("/notices", "/audit", "/notifications", f"/notifications/{made['id']}")
    ]
    texts += [str(got.body) for got in receiver.got] + [caplog.text, str(database)]
    with stage.engine.maker() as session:
        for table in ("notice", "notification", "audit"):
            texts.append(str(session.execute(sa.text(f"select * from {table}")).all()))
    assert not any(canary in text for canary in [*canaries, "inside-answer"] for text in texts)


def test_tries_and_pauses(stage, receiver):
    """It fails, with longer pauses each time, until it is given up; and a redelivery begins anew."""
    made = stage.webhook(receiver.url)
    stage.rest.post(f"/notifications/{made['id']}/test")
    receiver.answer = lambda got: (503, {}, b"")
    for number, pause in enumerate(PAUSES, 1):
        assert stage.send() == 1 and stage.send() == 0
        notice = stage.notices()[0]
        assert (notice.state, notice.tries, notice.answer) == ("failed", number, "HTTP 503")
        assert pause * 0.9 < (notice.next_at - now()).total_seconds() < pause * 1.25
        stage.later()
    stage.send()
    notice = stage.notices()[0]
    assert notice.state == "given_up" and notice.ended_at is not None
    stage.later()
    assert stage.send() == 0
    assert len({got.headers["X-Hostreeve-Delivery"] for got in receiver.got}) == 1
    assert len(receiver.got) == len(PAUSES) + 1

    answer = stage.rest.post(f"/notices/{notice.id}/redeliver")
    assert answer.status_code == 202 and answer.json["resource"]["state"] == "pending"
    stage.send()
    notice = stage.notices()[0]
    assert notice.state == "failed" and (notice.next_at - now()).total_seconds() < PAUSES[0] * 1.25
    receiver.answer = lambda got: (200, {}, b"ok")
    stage.later()
    stage.send()
    assert stage.notices()[0].state == "sent"
    with stage.engine.maker() as session:
        assert session.scalar(sa.select(sa.func.count()).select_from(Audit).where(Audit.action == "redeliver")) == 1


def test_it_fails_n_times_and_arrives(stage, receiver):
    made = stage.webhook(receiver.url)
    stage.rest.post(f"/notifications/{made['id']}/test")
    receiver.answer = lambda got: (500 if len(receiver.got) < 4 else 200, {}, b"")
    for _ in range(4):
        stage.send()
        stage.later()
    assert stage.notices()[0].state == "sent" and len(receiver.got) == 4
    assert len({got.body for got in receiver.got}) == 1


def test_a_refused_target_is_given_up_at_once(stage, receiver):
    """Allowed when it was written, and not any longer."""
    made = stage.webhook(receiver.url)
    stage.rest.post(f"/notifications/{made['id']}/test")
    stage.send(sending.Sender(stage.engine.settings, stage.engine.maker))
    assert stage.notices()[0].state == "given_up" and receiver.got == []


def test_a_brand_reaches_only_the_internet(stage, receiver):
    """What the operator allows is for the platform's own notifications, when written and when sent."""
    brand = str(stage.engine.ids["brand"])
    body = {"brand_id": brand, "name": "a", "type": "webhook", "topics": ["resource_active"]}
    for url in (receiver.url, f"https://127.0.0.1:{receiver.port}/", "http://portal.example.net/"):
        refused = stage.rest.post("/notifications", {**body, "url": url})
        assert refused.status_code == 422 and "url" in refused.json["error"]["details"]["json"]
    made = stage.webhook("https://localtest.example/", rest=stage.brand, brand_id=brand)
    stage.brand.post(f"/notifications/{made['id']}/test")
    stage.sender._theirs.resolver = lambda host, port: ["127.0.0.1"]
    stage.send()
    notice = stage.notices()[0]
    assert notice.state == "given_up" and "not an address of the internet" in notice.answer


def test_what_a_brand_may(stage):
    brand = str(stage.engine.ids["brand"])
    body = {"name": "a", "type": "webhook", "url": "https://portal.example.net/", "topics": ["resource_active"]}
    template = stage.rest.make("templates", name="Deploy", playbook="site.yml")
    for wrong, field in [
        ({}, "brand_id"),
        ({"brand_id": brand, "topics": ["job_failed"]}, "topics"),
        ({"brand_id": brand, "template_id": template["id"]}, "template_id"),
        ({"brand_id": brand, "type": "email", "url": None, "recipients": ["a@b.example"]}, "type"),
    ]:
        refused = stage.brand.post("/notifications", {**body, **wrong})
        assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == [field], wrong
    mine = stage.webhook("https://portal.example.net/", rest=stage.brand, brand_id=brand)
    platforms = stage.webhook("https://portal.example.net/", name="platform")
    for made in (mine, platforms):
        stage.rest.post(f"/notifications/{made['id']}/test")
    assert [row["id"] for row in stage.brand.get("/notifications").json["items"]] == [mine["id"]]
    seen = stage.brand.get("/notices").json["items"]
    assert [row["notification_id"] for row in seen] == [mine["id"]]
    theirs = next(row for row in stage.notices() if str(row.notification_id) == platforms["id"])
    assert stage.brand.get(f"/notices/{theirs.id}").status_code == 404
    assert stage.brand.post(f"/notices/{theirs.id}/redeliver").status_code == 404
    assert stage.brand.get(f"/notices/{seen[0]['id']}").json == seen[0]
    assert stage.brand.post(f"/notices/{seen[0]['id']}/redeliver").status_code == 202
    # A tenant of another brand is not to be listened to.
    other = stage.rest.make("brands", name="other", base_domain="o.example", hostmaster="h@o.example",
                            nameservers=["a.o.example", "b.o.example"])  # fmt: skip
    refused = stage.rest.post(
        "/notifications", {**body, "brand_id": other["id"], "tenant_id": str(stage.engine.ids["tenant"])}
    )
    assert list(refused.json["error"]["details"]["json"]) == ["tenant_id"]


def test_the_log(stage, receiver):
    made = stage.webhook(receiver.url)
    for _ in range(3):
        stage.rest.post(f"/notifications/{made['id']}/test")
    stage.send()
    receiver.answer = lambda got: (500, {}, b"")
    stage.rest.post(f"/notifications/{made['id']}/test")
    stage.send()

    def found(query):
        return len(stage.rest.get(f"/notices?limit=200&{query}").json["items"])

    assert found("") == 4 and found(f"notification_id={made['id']}") == 4 and found("topic=test") == 4
    assert found("state=sent") == 3 and found("state=failed") == 1 and found("topic=job_failed") == 0
    assert found(f"notification_id={uuid.uuid4()}") == 0 and found(f"resource_id={made['id']}") == 4
    page = stage.rest.get("/notices?limit=3").json
    assert page["has_more"] and len(page["items"]) == 3
    assert len(stage.rest.get(f"/notices?limit=3&cursor={page['next_cursor']}").json["items"]) == 1
    for wrong in ("state=x", "topic=x", "notification_id=x", "nope=1"):
        assert stage.rest.get(f"/notices?{wrong}").status_code == 422


def test_disabled_meanwhile(stage, receiver):
    made = stage.webhook(receiver.url)
    stage.rest.post(f"/notifications/{made['id']}/test")
    stage.rest.patch(f"/notifications/{made['id']}", {"enabled": False})
    stage.send()
    assert stage.notices()[0].state == "given_up" and receiver.got == []
    stage.rest.delete(f"/notifications/{made['id']}")
    assert stage.notices() == []


def test_old_notices_go(stage, receiver):
    made = stage.webhook(receiver.url)
    for _ in range(2):
        stage.rest.post(f"/notifications/{made['id']}/test")
    stage.send()
    stage.rest.post(f"/notifications/{made['id']}/test")
    old = stage.notices(state="sent")[0]
    with stage.engine.maker.begin() as session:
        session.execute(sa.update(Notice).where(Notice.id == old.id).values(ended_at=now() - timedelta(days=31)))
        pending = sa.update(Notice).where(Notice.state == "pending").values(created_at=now() - timedelta(days=99))
        session.execute(pending)
    with stage.engine.maker.begin() as session:
        assert sending.forget(session, 0) == 0
        assert sending.forget(session, 30) == 1
    assert old.id not in [row.id for row in stage.notices()] and len(stage.notices()) == 2
