"""From what happens to what receivers get: topics, facts and filters."""

from __future__ import annotations

import json
import uuid

import pytest
import sqlalchemy as sa

from api.core.announce import TOPICS, announce
from api.jobs.models import Job
from api.jobs.steer import cancel
from api.launch.models import Launch
from api.launch.start import queue
from api.notify.models import Notice


def told(receiver):
    """What a receiver got, as (topic, kind, name, status)."""
    found = [json.loads(got.body) for got in receiver.got]
    return [(body["topic"], body["kind"], body.get("name"), body.get("status")) for body in found]


def test_resources_are_told(stage, receiver, fqdn):
    stage.webhook(receiver.url, topics=["resource_active", "resource_failed", "resource_gone"], kinds=["fqdn"])
    engine, id_ = stage.engine, fqdn("www.acme.example")
    assert stage.send() == 0
    engine.settle_all()
    stage.send()
    assert told(receiver) == [("resource_active", "fqdn", "www.acme.example", "active")]
    body = json.loads(receiver.got[0].body)
    assert body["id"] == str(id_) and body["generation"] == 1 and body["message"] == ""
    assert body["brand_id"] == str(engine.ids["brand"]) and body["tenant_id"] == str(engine.ids["tenant"])
    assert engine.all(sa.select(Job.state).where(Job.id == uuid.UUID(body["job_id"])))

    engine.change("fqdn", id_, directives="")
    for shard in ("web-a", "lb-a"):
        taken = engine.claim(shard)
        document = engine.document(taken)
        for host in document.sent:
            engine.report(taken, document, host, failed={id_: "no room"})
        engine.end(taken)
    stage.send()
    topic, _, _, status = told(receiver)[1]
    assert (topic, status) == ("resource_failed", "failed")
    assert "web1: no room" in json.loads(receiver.got[1].body)["message"]

    engine.delete("fqdn", id_)
    engine.settle_all()
    stage.send()
    assert told(receiver)[2:] == [("resource_gone", "fqdn", "www.acme.example", "deleted")]
    last = json.loads(receiver.got[2].body)
    assert last["tenant_id"] == str(engine.ids["tenant"]) and last["generation"] == 3


def test_what_concerns_no_host_is_told_too(stage, receiver):
    stage.webhook(receiver.url, topics=["resource_active", "resource_gone"], kinds=["region"])
    made = stage.rest.make("regions", name="us-1")
    stage.rest.delete(f"/regions/{made['id']}")
    stage.send()
    assert told(receiver) == [
        ("resource_active", "region", "us-1", "active"),
        ("resource_gone", "region", "us-1", "deleted"),
    ]


def test_a_suspension_is_told_as_such(stage, receiver):
    stage.webhook(receiver.url, kinds=["tenant"])
    stage.rest.post(f"/tenants/{stage.engine.ids['tenant']}/suspend")
    stage.engine.settle_all()
    stage.send()
    assert [status for *_, status in told(receiver)] == ["suspended"]


def test_jobs_are_told(stage, receiver, fqdn):
    stage.webhook(receiver.url, topics=["job_started", "job_successful", "job_failed"])
    engine = stage.engine
    fqdn("www.acme.example")
    taken = engine.claim("lb-a")
    stage.send()
    body = json.loads(receiver.got[0].body)
    assert body["topic"] == "job_started" and body["id"] == str(taken.job_id)
    assert body["shard"] == "lb-a" and body["playbook"] == "converge.yml" and body["state"] == "running"
    engine.report(taken, engine.document(taken), "lb1")
    engine.end(taken)
    taken = engine.claim("web-a")
    engine.end(taken, reason="timeout")
    with engine.transaction() as session:
        fqdn_job = engine.queued("dns-a")
        if fqdn_job is not None:
            cancel(session, session.get(Job, fqdn_job.id), "somebody")
    stage.send()
    found = [json.loads(got.body) for got in receiver.got[1:]]
    assert [(body["topic"], body["state"], body["reason"]) for body in found[:3]] == [
        ("job_successful", "successful", ""),
        ("job_started", "running", ""),
        ("job_failed", "failed", "timeout"),
    ]
    if fqdn_job is not None:
        assert (found[3]["topic"], found[3]["state"]) == ("job_failed", "canceled")


def test_an_abandoned_job_has_failed(stage, receiver, fqdn):
    stage.webhook(receiver.url, topics=["job_failed"])
    fqdn("www.acme.example")
    taken = stage.engine.claim("lb-a")
    from api.jobs.finish import abandon

    with stage.engine.transaction() as session:
        assert abandon(session, taken.job_id, "lease_expired")
        assert not abandon(session, taken.job_id, "lease_expired")
    stage.send()
    assert [json.loads(got.body)["state"] for got in receiver.got] == ["abandoned"]


def test_launches_by_template(stage, receiver):
    template = stage.rest.make("templates", name="Deploy", playbook="site.yml")
    other = stage.rest.make("templates", name="Other", playbook="site.yml")
    stage.webhook(receiver.url, topics=["job_failed"], template_id=template["id"])
    for row in (template, other):
        answer = stage.rest.post(f"/templates/{row['id']}/launch", {})
        stage.rest.post(f"/jobs/{answer.json['jobs'][0]['id']}/cancel")
    with stage.engine.transaction() as session:
        job, _ = queue(session, Launch(module="ansible.builtin.ping", requested_by="x"), "ansible.builtin.ping")
    stage.rest.post(f"/jobs/{job.id}/cancel")
    stage.send()
    bodies = [json.loads(got.body) for got in receiver.got]
    assert [(body["template"], body["state"]) for body in bodies] == [("Deploy", "canceled")]
    assert bodies[0]["requested_by"] == "operator"


@pytest.mark.parametrize("topic", ["approval_needed", "drift_found"])
def test_what_others_announce(stage, receiver, topic):
    """Whoever announces with a brand, a tenant or a template is filtered by them."""
    stage.webhook(receiver.url, topics=[topic])
    facts = {"name": "Apply", "url": "https://portal.example.net/plans/1", "nested": {"a": [1]}}
    with stage.engine.transaction() as session:
        announce(session, topic, "plan", uuid.uuid4(), facts)
    stage.send()
    body = json.loads(receiver.got[0].body)
    assert body.items() >= facts.items() and body["topic"] == topic and body["kind"] == "plan"


def test_filters(stage, receivers, fqdn):
    engine = stage.engine
    other = stage.rest.make(
        "brands",
        name="other",
        base_domain="o.example",
        hostmaster="h@o.example",
        nameservers=["a.o.example", "b.o.example"],
    )
    stranger = stage.rest.make("tenants", brand_id=str(engine.ids["brand"]))
    wanted = {
        "all": {},
        "fqdns": {"kinds": ["fqdn"]},
        "brand": {"brand_id": str(engine.ids["brand"]), "url": None},
        "tenant": {"tenant_id": str(engine.ids["tenant"])},
        "stranger": {"tenant_id": stranger["id"]},
        "failed": {"topics": ["resource_failed"]},
        "off": {"enabled": False},
    }
    made = {}
    for name, fields in wanted.items():
        receiver = receivers()
        # A brand's messages reach only the internet; who gets a notice is decided before.
        url = "https://portal.example.net/" if "brand_id" in fields else receiver.url
        made[name] = (stage.webhook(**{**fields, "name": name, "url": url}), receiver)
    made["theirs"] = (stage.webhook("https://o.example/", name="theirs", brand_id=other["id"]), None)
    engine.settle_all()
    with engine.maker.begin() as session:
        session.execute(sa.delete(Notice))
    fqdn("www.acme.example")
    engine.settle_all()
    names = {row["id"]: name for name, (row, _) in made.items()}
    counts = {name: set() for name in made}
    for notice in stage.notices():
        counts[names[str(notice.notification_id)]].add((notice.kind, notice.payload["name"]))
    mine, record = ("fqdn", "www.acme.example"), ("record", "www")
    assert mine in counts["all"] and mine in counts["brand"]
    assert counts["fqdns"] == counts["tenant"] == {mine}
    assert counts["brand"] <= {mine, record}
    assert counts["stranger"] == counts["failed"] == counts["off"] == counts["theirs"] == set()


def test_nothing_is_told_of_what_did_not_happen(stage, receiver):
    stage.webhook(receiver.url, topics=list(TOPICS), kinds=["region"])
    with pytest.raises(ZeroDivisionError), stage.engine.transaction() as session:
        announce(session, "resource_active", "region", uuid.uuid4(), {"name": "x"})
        raise ZeroDivisionError
    assert stage.notices() == []


def count_statements(engine, work):
    statements = []

    def note(connection, cursor, statement, parameters, context, many):
        statements.append(statement)

    bind = engine.maker.kw["bind"]
    sa.event.listen(bind, "before_cursor_execute", note)
    try:
        work()
    finally:
        sa.event.remove(bind, "before_cursor_execute", note)
    return statements


def test_many_resources_cost_few_statements(stage, receiver):
    """The number of statements of a report does not grow with its resources, whether somebody listens or not."""
    engine = stage.engine

    def settle(number, prefix):
        with engine.transaction() as session:
            from api.core.kind import registry
            from api.core.service import _defaults
            from api.jobs import dispatch

            kind = registry["record"]
            values = {"brand_id": engine.ids["brand"], "zone_id": engine.ids["zone"], "type": "TXT", "content": "x"}
            rows = [kind.model(**{**_defaults(kind), **values, "name": f"{prefix}{n}"}) for n in range(number)]
            session.add_all(rows)
            dispatch.deliver_many(session, kind, rows)
        taken = engine.claim("dns-a")
        document = engine.document(taken)
        statements = []
        for host in document.sent:
            statements += count_statements(engine, lambda host=host: engine.report(taken, document, host))
        engine.end(taken)
        return len(statements), sum("notice" in text for text in statements)

    few, many = settle(5, "few"), settle(500, "many")
    assert many[0] <= few[0] + 4
    assert many[1] <= few[1] + 1
    stage.webhook(receiver.url, kinds=["record"])
    few, many = settle(5, "heard-few"), settle(500, "heard-many")
    assert many[0] <= few[0] + 6
    assert len(stage.notices(topic="resource_active")) == 505
