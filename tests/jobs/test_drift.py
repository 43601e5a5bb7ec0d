"""Drift and plans of shards, with real searches: a load balancer whose map is a file here."""

from __future__ import annotations

import sys
import uuid
from collections.abc import Callable
from typing import Any

import pytest
import sqlalchemy as sa
from redis import Redis

from api.app import create_app
from api.auth.keys import issue
from api.core.announce import happened
from api.core.audit import Audit
from api.jobs.models import Delivery, Job, Lease
from api.kinds.shard import Shard
from api.plan import search
from api.plan.models import Drift
from tests.api.conftest import Rest
from tests.jobs.working import Work
from worker import sweeper
from worker.context import Context

Make = Callable[[str], uuid.UUID]

#: The module tells of each name; what it would do needs HAProxy, so a task does it: the map, and a file of the role.
PLAY = """
- name: Balance
  hosts: lb
  connection: local
  gather_facts: false
  vars: {{ansible_python_interpreter: {python}}}
  tasks:
    - name: Report
      hostreeve.hosting.lb_resources:
        fqdns: "{{{{ lb_fqdns }}}}"
        shards: "{{{{ lb_shards | map(attribute='name') }}}}"
        purge: "{{{{ lb_purge }}}}"
        job: "{{{{ hostreeve_job_id }}}}"
        map: {work}/hosts.map
        config: {work}/haproxy.cfg
        socket: {work}/none.sock
        master_socket: {work}/none.sock
      check_mode: true
    - name: Route the names
      ansible.builtin.copy:
        content: "{{% for one in lb_fqdns %}}{{{{ one.fqdn }}}} {{{{ one.shard }}}}\\n{{% endfor %}}"
        dest: {work}/hosts.map
        mode: "0600"
      check_mode: "{{{{ ansible_check_mode }}}}"
      no_log: true
      changed_when: false
    - name: Write the role's own file
      ansible.builtin.copy: {{content: "as made\\n", dest: "{work}/role.conf", mode: "0600"}}
"""


class Searched(Work):
    """A worker whose load balancer is searched for drift."""

    def __init__(self, engine: Any, path: Any, **changes: Any) -> None:
        super().__init__(engine, path, **changes)
        for name in ("site.yml", "converge.yml"):
            (path / "playbooks" / name).write_text(PLAY.format(work=path, python=sys.executable))
        with engine.maker.begin() as session:
            key = issue(session, "operator", ["*"], ["*"])[1]
        self.rest = Rest(create_app(self.settings), key)
        self.shard = engine.ids["lb-a"]

    def until(self, check: Callable[[], Any], seconds: float = 180) -> Any:
        # Each search is a run of its own, and a test waits for several.
        return super().until(check, seconds)

    @property
    def map(self) -> str:
        return (self.path / "hosts.map").read_text()

    def edit(self, text: str) -> None:
        (self.path / "hosts.map").write_text(text)

    def policy(self, value: str) -> None:
        """Set the policy without letting the shard be searched for it."""
        with self.engine.maker.begin() as session:
            session.execute(sa.update(Shard).where(Shard.id == self.shard).values(drift_policy=value))

    def search(self) -> Job:
        answer = self.rest.post(f"/shards/{self.shard}/check")
        assert answer.status_code == 202, answer.text
        return self.ended(uuid.UUID(answer.json["jobs"][0]["id"]))

    def found(self, **query: str) -> list[tuple[str, str, str]]:
        path = "/drift?" + "&".join(f"{name}={value}" for name, value in query.items())
        items = self.rest.get(path).json["items"]
        return sorted((row["host"], row["kind"], row["name"]) for row in items)


@pytest.fixture
def searched(engine: Any, tmp_path: Any, fqdn: Make, request: pytest.FixtureRequest) -> Any:
    """A shard that carries two names and is as it was made; no other shard of it is worked on."""
    Redis.from_url(engine.settings.redis_url).flushall()
    if engine.is_sqlite and request.node.originalname != "test_a_file_that_was_edited_is_found_and_repaired":
        pytest.skip("the database makes no difference here")
    made = Searched(engine, tmp_path)
    made.ids = [fqdn("www.other.example"), fqdn("api.other.example")]
    with engine.maker.begin() as session:
        others = sa.and_(Delivery.shard_id != made.shard)
        session.execute(sa.delete(Delivery).where(others))
        session.execute(
            sa.update(Job).where(Job.state == "queued", Job.shard_id != made.shard).values(state="canceled")
        )
    made.start()
    job_id = engine.queued("lb-a").id
    made.publish(job_id)
    assert made.ended(job_id).state == "successful"
    yield made
    made.abandon()


NAME = ("lb1", "fqdn", "www.other.example")
TASK = ("lb1", "", "Write the role's own file")


def test_a_file_that_was_edited_is_found_and_repaired(searched: Searched) -> None:
    right = searched.map
    job = searched.search()
    assert (job.state, job.purpose, job.full, searched.found()) == ("successful", "check", True, [])
    searched.edit(right.replace("www.other.example web-a", "www.other.example elsewhere") + "orphan.example web-a\n")
    (searched.path / "role.conf").write_text("by hand\n")
    edited = searched.map
    before = searched.engine.row("fqdn", searched.ids[0])
    job = searched.search()
    assert job.state == "successful" and searched.map == edited
    assert searched.found() == sorted([NAME, TASK, ("lb1", "", "orphan.example")])
    assert searched.found(kind="fqdn", node="lb1", resource_id=str(searched.ids[0])) == [NAME]
    assert searched.found(shard_id=str(searched.engine.ids["web-a"])) == []
    row = next(row for row in searched.rest.get("/drift").json["items"] if row["kind"] == "fqdn")
    difference = {"before": "www.other.example elsewhere\n", "after": "www.other.example web-a\n"}
    assert row["diff"] == [{"what": f"{searched.path}/hosts.map", **difference}]
    assert searched.rest.get(f"/drift/{row['id']}").json == row
    # Nobody's status, delivery or generation has moved, and nothing is held any longer.
    after = searched.engine.row("fqdn", searched.ids[0])
    assert (after.status, after.generation, after.revision) == (before.status, before.generation, before.revision)
    assert not searched.engine.deliveries() and searched.engine.queued("lb-a") is None
    assert searched.engine.all(sa.select(Lease.holder).where(Lease.host == "lb1")) == [None]
    # Again: the same drift, seen again.
    searched.search()
    again = searched.rest.get(f"/drift/{row['id']}").json
    assert again["first_seen"] == row["first_seen"] and again["last_seen"] > row["last_seen"]
    searched.policy("repair")
    searched.search()
    repair = searched.until(
        lambda: searched.engine.all(sa.select(Job).where(Job.purpose == "", Job.full, Job.state != "queued"))
    )[0]
    repair = searched.ended(repair.id)
    assert (repair.state, repair.playbook, repair.shard_id) == ("successful", "site.yml", searched.shard)
    assert searched.map == right and (searched.path / "role.conf").read_text() == "as made\n"
    assert searched.found() == []
    with searched.engine.maker() as session:
        told = session.execute(sa.select(Audit.result, Audit.after).where(Audit.action == "drift").order_by(Audit.seq))
        results = [(result, after["found"], after["new"], after["policy"]) for result, after in told]
    assert results == [("found", 3, 3, "report"), ("found", 3, 0, "report"), ("found", 3, 0, "repair")]


def test_it_is_offered_where_the_policy_says_so(searched: Searched) -> None:
    right = searched.map
    searched.policy("ask")
    searched.edit("")
    first = searched.search()
    offered = searched.rest.get("/plans?origin=drift").json["items"]
    assert [(plan["state"], plan["subject"], plan["job_id"]) for plan in offered] == [("ready", "lb-a", str(first.id))]
    searched.search()
    assert searched.rest.get("/plans?origin=drift").json["items"] == offered
    (searched.path / "role.conf").write_text("by hand\n")
    searched.search()
    newer, older = searched.rest.get("/plans?origin=drift").json["items"]
    assert (newer["state"], older["state"]) == ("ready", "stale")
    names = {change["name"] for change in searched.rest.get(f"/plans/{newer['id']}").json["changes"]}
    assert names == {"www.other.example", "api.other.example", "Write the role's own file"}
    assert searched.map == ""
    assert searched.rest.post(f"/plans/{newer['id']}/approve", {}).status_code == 202
    answer = searched.rest.post(f"/plans/{newer['id']}/apply")
    job = searched.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    assert (job.state, job.purpose, job.shard_id) == ("successful", "apply", searched.shard)
    assert searched.map == right and searched.found() == []
    assert searched.rest.get(f"/plans/{newer['id']}").json["state"] == "applied"


def test_a_plan_of_a_shard_carries_what_waits_and_is_refused_when_it_moved(searched: Searched, fqdn: Make) -> None:
    right = searched.map

    def plan() -> dict[str, Any]:
        answer = searched.rest.post(f"/shards/{searched.shard}/plan").json
        searched.ended(uuid.UUID(answer["jobs"][0]["id"]))
        found: dict[str, Any] = searched.rest.get(f"/plans/{answer['resource']['id']}").json
        assert found["state"] == "ready", found
        assert searched.rest.post(f"/plans/{found['id']}/approve", {"comment": ""}).status_code == 202
        return found

    found = plan()
    assert (found["changes"], found["hosts"]) == ([], ["lb1"])
    id_ = fqdn("new.other.example")
    with searched.engine.maker.begin() as session:
        session.execute(sa.delete(Delivery).where(Delivery.shard_id != searched.shard))
    refused = searched.rest.post(f"/plans/{found['id']}/apply")
    assert refused.status_code == 409
    assert set(refused.json["error"]["details"]["json"]) == {"generations", "inventory"}
    live = sa.select(Job.id).where(Job.shard_id == searched.shard, Job.state.in_(("queued", "running")))
    searched.until(lambda: not searched.engine.all(live))
    assert not searched.engine.deliveries()
    # As if the run had not been: what it made is predicted again.
    searched.edit(right)
    found = plan()
    assert [(change["kind"], change["name"]) for change in found["changes"]] == [("fqdn", "new.other.example")]
    searched.edit("")
    answer = searched.rest.post(f"/plans/{found['id']}/apply")
    job = searched.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    assert job.reason.startswith("plan_refused: prediction moved") and searched.map == ""
    assert searched.rest.get(f"/plans/{found['id']}").json["moved"] == ["prediction"]
    assert searched.engine.status("fqdn", id_) == ("active", "") and searched.engine.queued("lb-a") is None


def test_what_waits_or_failed_is_no_drift_and_a_silent_host_keeps_its_own(searched: Searched) -> None:
    searched.edit("")
    lb1 = searched.engine.ids["lb1"]
    owed = {"kind": "fqdn", "resource_id": searched.ids[0], "node_id": lb1, "shard_id": searched.shard}
    with searched.engine.maker.begin() as session:
        session.add(Delivery(**owed, generation=1, state="failed", message="refused"))
    searched.search()
    assert searched.found() == [("lb1", "fqdn", "api.other.example")]
    with searched.engine.maker.begin() as session:
        session.execute(sa.delete(Delivery))
    play = searched.path / "playbooks" / "site.yml"
    text = play.read_text()
    play.write_text(text.replace("connection: local", "vars_files: []").replace("hosts: lb", "hosts: lb"))
    with searched.engine.maker.begin() as session:
        session.execute(sa.text("update node set address = '127.0.0.9', ssh_port = 9 where name = 'lb1'"))
    job = searched.search()
    assert (job.state, job.reason) == ("failed", "host_failed: lb1 (unreachable)")
    assert searched.found() == [("lb1", "fqdn", "api.other.example")]
    play.write_text(text)
    searched.search()
    assert searched.found() == sorted([NAME, ("lb1", "fqdn", "api.other.example")])


def test_a_brand_sees_that_something_differs_and_not_what(searched: Searched) -> None:
    searched.edit("")
    (searched.path / "role.conf").write_text("by hand\n")
    searched.search()
    with searched.engine.maker.begin() as session:
        keys = [
            issue(session, "b", ["drift:read"], [str(id_)])[1] for id_ in (searched.engine.ids["brand"], uuid.uuid4())
        ]
    own, stranger = (Rest(searched.rest.client.application, key) for key in keys)
    rows = own.get("/drift").json["items"]
    assert {(row["name"], row["task"], row["diff"]) for row in rows} == {
        (name, "", None) for name in ("www.other.example", "api.other.example")
    }
    assert stranger.get("/drift").json["items"] == []
    assert stranger.get(f"/drift/{rows[0]['id']}").status_code == 404
    assert own.post(f"/shards/{searched.shard}/check").status_code == 403


def test_a_search_is_queued_once_when_it_is_due(engine: Any) -> None:
    shard = engine.ids["lb-a"]
    context = Context(engine.settings, engine.maker.kw["bind"], engine.maker, engine.published.append)
    assert engine.row("shard", shard).drift_policy == "report"
    assert sweeper.search_due(context) == 0
    with engine.maker.begin() as session:
        session.execute(sa.update(Shard).values(drift_at=sa.func.coalesce(Shard.created_at, Shard.drift_at)))
        session.execute(sa.update(Shard).where(Shard.id == engine.ids["web-a"]).values(drift_policy="off"))
    with engine.maker() as session:
        seen = search.due(session)
    assert set(seen) == {shard, engine.ids["dns-a"]}
    revision = engine.row("shard", shard).revision
    assert sweeper.search_due(context) == 2
    for id_ in seen:  # another sweeper that had seen the same
        with engine.transaction() as session:
            assert search.begin(session, id_) is None
    jobs = engine.all(sa.select(Job).where(Job.purpose == "check"))
    assert sorted(job.shard_id for job in jobs) == sorted(seen) and set(engine.published) == {job.id for job in jobs}
    assert engine.row("shard", shard).revision == revision
    # While one waits there is no second one, and wishes have a job of their own beside it.
    with engine.maker.begin() as session:
        session.execute(sa.update(Shard).values(drift_at=Shard.created_at))
    assert sweeper.search_due(context) == 0
    engine.add("fqdn", brand_id=engine.ids["brand"], webroot_id=engine.ids["webroot"], fqdn="www.other.example")
    assert engine.queued("lb-a") is not None and not engine.all(sa.select(Drift))


def test_others_are_told(engine: Any) -> None:
    from api.jobs.claim import hold
    from api.plan import drift
    from api.plan.prediction import Prediction

    told: list[tuple[str, dict[str, Any]]] = []

    def listen(topic: str, ids: Any, facts: Any, **_: Any) -> None:
        if topic in ("approval_needed", "drift_found"):
            told.extend((topic, one) for one in facts(ids).values())

    found = Prediction()
    result = {"changed": True, "diff": {"before": "a", "after": "b", "before_header": "/etc/x"}}
    event = {"event": "runner_on_ok", "event_data": {"host": "lb1", "task": "Write", "role": "lb", "res": result}}
    found.take(event)
    with happened.connected_to(listen):
        for _ in range(2):
            with engine.transaction() as session:
                session.execute(sa.update(Shard).values(drift_policy="ask"))
                job = search.lone(session, engine.ids["lb-a"], "check")
                session.flush()
                held = hold(session, job.id, "test", 60)
                assert held is not None
                parts = dict.fromkeys(("generations", "revision", "inventory"), "x")
                drift.note(session, held, ["lb1"], found, parts, whole=True)
                session.execute(sa.update(Lease).values(holder=None))
    assert [topic for topic, _ in told] == ["approval_needed", "drift_found"]
    assert told[0][1]["changes"] == 1 and told[1][1]["names"] == ["lb: Write"]
