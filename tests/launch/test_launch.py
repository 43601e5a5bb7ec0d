"""Launches, really run: what reaches Ansible, what is refused, who waits for whom, and what is done again."""

from __future__ import annotations

import json
import os
import time
import uuid
from itertools import pairwise

import pytest
import sqlalchemy as sa
from redis import Redis

from api.core.audit import Audit
from api.core.kind import registry
from api.jobs.models import Job, JobHost, Lease
from api.jobs.queue import queue_of
from api.launch.claim import forget_alone
from api.launch.models import Launch

SHOW = """
    - ansible.builtin.copy: {content: "{{ [text, number, nested, tree, password | default('')] | to_json }}", dest: "{work}/{{ inventory_hostname }}.json", mode: "0600"}
      no_log: true
    - ansible.builtin.debug: {msg: "tagged {{ text | length }}"}
      tags: extra
    - ansible.builtin.file: {path: "{work}/changed", state: touch, mode: "0600"}
      tags: never
"""  # noqa: E501
EVIL = "{{ lookup('pipe', 'touch {work}/owned') }}"


def test_a_launch_runs_and_is_told(stage):
    stage.playbook("play.yml", SHOW)
    evil = EVIL.replace("{work}", str(stage.path))
    # Before the play's own of that name.
    odd = evil + "\n- \"ü': #\u2028\t\x7f !unsafe &a *a\n"
    survey = [
        {"variable": "number", "question": "How many?", "type": "integer", "min": 1, "max": 9, "default": 3},
        {"variable": "password", "question": "Secret?", "type": "password", "min": 4},
    ]
    inventory = stage.inventory("two", {"one": {"vars": {"tree": {"deep": [evil]}}}, "two": {"vars": {"tree": 0}}})
    template = stage.template(
        inventory_id=inventory["id"], variables={"text": odd, "nested": [evil]}, survey=survey, ask=["tags"]
    )
    job = stage.run(template, answers={"password": evil}, tags=["all"])
    assert (job.state, job.reason, job.shard_id, job.playbook) == ("successful", "", None, "play.yml")
    # What users typed arrived as it is, and nothing of it was evaluated.
    assert json.loads((stage.path / "one.json").read_text()) == [odd, 3, [evil], {"deep": [evil]}, evil]
    assert json.loads((stage.path / "two.json").read_text()) == [odd, 3, [evil], 0, evil]
    assert not (stage.path / "owned").exists() and not (stage.path / "changed").exists()
    hosts = stage.work.engine.all(sa.select(JobHost).where(JobHost.job_id == job.id).order_by(JobHost.host))
    assert [(host.host, host.ok, host.changed, host.failed) for host in hosts] == [("one", 2, 1, 0), ("two", 2, 1, 0)]
    assert (job.changed, job.failed) == (2, 0)
    shown = stage.rest.get(f"/launches/{job.id}").json
    assert shown["template"] == "Template" and shown["requested_by"] == "operator" and shown["tags"] == ["all"]
    assert shown["variables"] == {"text": odd, "nested": [evil], "number": 3, "password": "***"}
    assert shown["revision"].startswith("sha256:")
    assert "tagged" in stage.output(job)
    with stage.work.engine.maker() as session:
        entries = session.execute(sa.select(Audit.action, Audit.kind, Audit.result).where(Audit.at >= job.created_at))
        assert {tuple(entry) for entry in entries} >= {
            ("launch", "template", "accepted"),
            ("run", "launch", "successful"),
        }
        assert session.scalars(sa.select(Lease.holder).where(Lease.host.in_(["one", "two"]))).all() == [None, None]
    assert not (stage.work.settings.run_dir / "jobs" / str(job.id)).exists()


def refusals(stage, template, **body):
    answer = stage.rest.post(f"/templates/{template['id']}/launch", body)
    assert answer.status_code == 422, answer.text
    return answer.json["error"]["details"]["json"]


def test_what_is_not_allowed_is_refused_by_name(stage):
    pick = {"variable": "pick", "question": "Which?", "type": "multiple_choice", "choices": ["a", "b"], "max": 1}
    survey = [{"variable": "name", "question": "Who?"}, {**pick, "required": False}]
    stage.playbook("play.yml", SHOW)
    template = stage.template(survey=survey, ask=["limit", "variables"])
    before = stage.work.engine.all(sa.select(sa.func.count()).select_from(Job))
    fine = {"answers": {"name": "x"}}
    assert refusals(stage, template, **fine, tags=["x"], check=True) == {
        name: ["may not be set at the launch of this template"] for name in ("tags", "check")
    }
    assert refusals(stage, template, **fine, playbook="x.yml", extra_vars={}) == {
        name: ["Unknown field."] for name in ("playbook", "extra_vars")
    }
    assert refusals(stage, template) == {"answers": {"name": ["must be answered"]}}
    assert refusals(stage, template, answers={"name": 1, "nope": 1, "pick": ["a", "b"]}) == {
        "answers": {"name": ["must be a text"], "nope": ["is not asked"], "pick": ["must be at most 1 choices"]}
    }
    for name in ("ansible_connection", "ansible_python_interpreter", "hostreeve_fence", "hostvars", "A-b"):
        assert name in refusals(stage, template, **fine, variables={name: "x"})["variables"][0]
    trusted = {"nested": [{"__ansible_type": "_AnsibleTaggedStr", "value": EVIL}]}
    assert "variables" in refusals(stage, template, **fine, variables=trusted)
    for limit in ("@/etc/passwd", "-i", "~.*", "a b", "{{ 1 }}"):
        assert "limit" in refusals(stage, template, **fine, limit=limit)
    assert stage.work.engine.all(sa.select(sa.func.count()).select_from(Job)) == before
    assert stage.rest.post(f"/templates/{uuid.uuid4()}/launch", {}).status_code == 404


def test_options_reach_ansible(stage):
    stage.playbook("play.yml", SHOW)
    variables = {"text": "t", "nested": 0, "tree": 0, "number": 1}
    hosts = {name: {"groups": ["g"]} for name in ("one", "two", "three")}
    template = stage.template(
        inventory_id=stage.inventory("three", hosts)["id"],
        variables=variables,
        limit="g:!three",
        tags=["never", "extra"],
        skip_tags=["extra"],
        check=True,
        diff=True,
        verbosity=1,
        forks=1,
        ask=["limit", "check"],
    )
    job = stage.run(template)
    assert job.state == "successful" and not (stage.path / "changed").exists()
    assert [host.host for host in stage.work.engine.all(sa.select(JobHost).order_by(JobHost.host))] == ["one", "two"]
    assert "tagged" not in stage.output(job)
    job = stage.run(template, limit="two", check=False)
    assert job.state == "successful" and (stage.path / "changed").exists()
    job = stage.run(template, limit="nobody")
    assert (job.state, job.reason) == ("failed", "run_failed")


def test_idempotency(stage):
    stage.playbook("play.yml", SHOW)
    template = stage.template(variables={"text": "t", "nested": 0, "tree": 0, "number": 1})
    path = f"/templates/{template['id']}/launch"
    first, again = (stage.rest.post(path, {}, Idempotency_Key="once") for _ in range(2))
    assert first.json == again.json and again.headers["Idempotency-Replayed"] == "true"
    copied = stage.rest.post(f"/templates/{template['id']}/copy", {"name": "Other"}).json["resource"]
    assert copied["name"] == "Other" and copied["variables"] == template["variables"]
    assert stage.rest.post(f"/templates/{template['id']}/copy", {"name": "Other"}).status_code == 409
    assert (
        "name" in stage.rest.post(f"/templates/{template['id']}/copy", {"name": " "}).json["error"]["details"]["json"]
    )


def test_turns(stage, wait):
    """Launches of one template one after the other, though they touch different hosts; or no second one."""
    three = stage.inventory("three", {name: {} for name in ("one", "two", "three")})["id"]
    template = stage.template(playbook="wait.yml", concurrency="queue", inventory_id=three, ask=["limit"])
    jobs = [stage.launch(template, limit=name) for name in ("one", "two", "three")]
    stage.work.until(lambda: stage.state(jobs[0]) == "running")
    time.sleep(2)
    assert [stage.state(id_) for id_ in jobs] == ["running", "queued", "queued"]
    refusing = stage.template(name="One", playbook="wait.yml", concurrency="refuse", inventory_id=None, limit="x")
    other = stage.launch(refusing)
    answer = stage.rest.post(f"/templates/{refusing['id']}/launch", {})
    assert answer.status_code == 409 and str(other) in answer.json["error"]["message"]
    wait()
    ended = [stage.work.ended(id_) for id_ in jobs]
    assert all(before.ended_at <= after.started_at for before, after in pairwise(ended))
    stage.work.ended(other)
    assert stage.rest.post(f"/templates/{refusing['id']}/launch", {}).status_code == 202


def test_a_launch_takes_the_leases_of_its_hosts(stage, wait, request):
    """Of the platform's hosts, and of what is one under another name."""
    engine = stage.work.engine
    template = stage.template(playbook="wait.yml", inventory_id=None, limit="web1:dns1")
    alias = stage.inventory("alias", {"other-name": {"vars": {"ansible_host": "10.0.0.11"}}})
    second = stage.template(name="Alias", playbook="wait.yml", inventory_id=alias["id"])
    with (stage.path / "playbooks" / "wait.yml").open("a") as play:
        play.write("    - ansible.builtin.copy: {content: '{{ hostreeve_fence }}', mode: '0600',\n")
        play.write(f"        dest: '{stage.path}/fence'}}\n")
    first = stage.launch(template)
    stage.work.until(lambda: stage.state(first) == "running")
    held = set(engine.all(sa.select(Lease.host).where(Lease.holder == first)))
    assert held == {"web1", "dns1"}
    assert {row["host"]: row["held_by"] for row in stage.rest.get("/leases").json["items"]}.keys() == held
    later = stage.launch(second)
    fqdn = engine.add("fqdn", brand_id=engine.ids["brand"], webroot_id=engine.ids["webroot"], fqdn="w.other.example")
    shard = engine.queued("web-a").id
    stage.work.publish(shard)
    time.sleep(2)
    assert stage.state(later) == stage.state(shard) == "queued"
    wait()
    assert stage.work.ended(first).state == "successful"
    assert stage.work.ended(later).state == "successful"
    token = engine.all(sa.select(Lease.token).where(Lease.host == "web1"))[0]
    # The host knows the node's tokens, whatever it is called.
    assert token - 1 <= int((stage.path / "fence").read_text()) <= token
    # The play of the shard's job has nothing for web hosts, which is no success; but it ran.
    assert stage.work.ended(shard).state == "failed" and engine.status("fqdn", fqdn)[0] != "active"


def test_the_platform_arrives_with_its_desired_state(stage):
    stage.playbook(
        "play.yml",
        """
    - ansible.builtin.copy:
        content: "{{ vars | to_json }}"
        dest: "{work}/{{ inventory_hostname }}.json"
        mode: "0600"
""",
    )
    made = stage.rest.make(
        "inventories", name="webs", source="constructed", filter={"roles": ["web"], "hosts": ["web2"]}
    )
    job = stage.run(stage.template(inventory_id=made["id"], variables={"web_purge": "mine"}))
    assert job.state == "successful", stage.output(job)
    told = json.loads((stage.path / "web2.json").read_text())
    assert not (stage.path / "web1.json").exists()
    assert told["ansible_host"] == "10.0.0.12" and len(told["web_webroots"]) == 1 and told["web_purge"] == "mine"
    assert told["hostreeve_job_id"] == str(job.id) and told["hostreeve_fence"] > 0


def test_relaunch_of_all_and_of_failed_hosts(stage):
    stage.playbook("play.yml", """
    - ansible.builtin.command: "test {{ inventory_hostname }} != two -o -e {work}/go"
""")  # fmt: skip
    hosts = {name: {} for name in ("one", "two")}
    job = stage.run(stage.template(inventory_id=stage.inventory("both", hosts)["id"]))
    assert (job.state, job.reason, job.changed, job.failed) == ("failed", "host_failed: two", 1, 1)
    stage.work.go()

    def again(what):
        answer = stage.rest.post(f"/jobs/{job.id}/relaunch", {"hosts": what})
        assert answer.status_code == 202, answer.text
        ended = stage.work.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
        rows = stage.work.engine.all(sa.select(JobHost.host).where(JobHost.job_id == ended.id))
        return ended, sorted(rows)

    ended, rows = again("failed")
    assert ended.state == "successful" and rows == ["two"]
    assert stage.rest.get(f"/launches/{ended.id}").json["relaunch_of"] == str(job.id)
    ended, rows = again("all")
    assert rows == ["one", "two"]
    nothing = stage.rest.post(f"/jobs/{ended.id}/relaunch", {"hosts": "failed"})
    assert nothing.status_code == 202 and nothing.json["jobs"] == []


def test_cancel(stage, wait):
    template = stage.template(playbook="wait.yml")
    running, waiting = stage.launch(template), stage.launch(template)
    stage.work.until((stage.path / "began").exists)
    for id_ in (waiting, running):
        assert stage.rest.post(f"/jobs/{id_}/cancel").status_code == 202
    assert [stage.work.ended(id_).state for id_ in (waiting, running)] == ["canceled", "canceled"]
    assert stage.work.engine.all(sa.select(Lease.holder).where(Lease.host == "one")) == [None]


def test_a_launch_that_vanishes_is_not_done_again(stage, wait):
    job_id = stage.launch(stage.template(playbook="wait.yml"))
    stage.work.until((stage.path / "began").exists)
    os.kill(int(stage.work.job(job_id).worker.rpartition(":")[2]), 9)
    job = stage.work.ended(job_id)
    assert (job.state, job.reason) == ("abandoned", "lease_expired")
    assert stage.work.engine.all(sa.select(sa.func.count()).select_from(Launch)) == [1]


def test_a_launch_without_hosts_lives_longer_than_a_lease(stage):
    stage.playbook("play.yml", "    - ansible.builtin.wait_for: {timeout: 8}\n", hosts="localhost")
    job = stage.run(stage.template(inventory_id=stage.inventory("none", {})["id"]))
    assert job.state == "successful", job.reason
    with stage.work.engine.transaction() as session:
        forget_alone(session)
        assert session.scalars(sa.select(Lease).where(Lease.host.like("job:%"))).all() == []


@pytest.mark.parametrize("stage", [{"job_timeout": 60}], indirect=True)
def test_a_timeout_of_its_own(stage, wait):
    job = stage.run(stage.template(playbook="wait.yml", timeout=3))
    assert (job.state, job.reason) == ("failed", "timeout")


def test_a_row_that_no_api_wrote_ends_the_job(stage):
    stage.playbook("play.yml", SHOW)
    stage.work.stop()
    template = stage.template(ask=["limit"])
    jobs = [stage.launch(template, limit="one[x]"), stage.launch(template)]
    with stage.work.engine.maker.begin() as session:
        hosts = {"one": {"vars": {"ansible_connection": "local"}}, "-oProxyCommand=id": {}}
        session.execute(sa.update(registry["inventory"].model).values(hosts=hosts))
    stage.work.start()
    for id_ in jobs:
        job = stage.work.ended(id_)
        assert job.state == "failed" and job.reason, job.reason
    assert "-oProxyCommand" in stage.work.job(jobs[1]).reason or "ansible_connection" in stage.work.job(jobs[1]).reason


def test_what_is_gone_fails_the_job(stage):
    stage.playbook("play.yml", SHOW)
    inventory = stage.inventory("soon gone", {"one": {}})
    template = stage.template(inventory_id=inventory["id"])
    assert stage.rest.delete(f"/inventories/{inventory['id']}").json["error"]["details"]["has"] == ["templates"]
    stage.work.stop()
    job_id = stage.launch(template)
    stage.rest.delete(f"/templates/{template['id']}")
    assert stage.rest.delete(f"/inventories/{inventory['id']}").status_code == 202
    stage.work.start()
    job = stage.work.ended(job_id)
    assert (job.state, job.reason) == ("failed", "the inventory is gone")


def test_a_launch_runs_on_the_workers_of_its_queue(stage):
    stage.playbook("play.yml", SHOW)
    redis = Redis.from_url(stage.work.settings.redis_url)
    template = stage.template(queue="far", ask=["queue"], variables={"text": "", "number": 1, "nested": [], "tree": 0})
    far, near = stage.launch(template), stage.launch(template, queue="default")
    # The worker of these tests listens on "default".
    assert stage.work.ended(near).state == "successful", stage.output(stage.work.ended(near))
    assert stage.state(far) == "queued"
    assert f"job-{far}-1" in queue_of("far", redis).job_ids
    assert stage.rest.get(f"/launches/{far}").json["queue"] == "far"
    assert "queue" in refusals(stage, template, queue="Far away")
    answer = stage.rest.post("/ad-hoc", {"module": "ansible.builtin.ping", "limit": "all", "queue": "far"})
    assert answer.status_code == 202 and answer.json["resource"]["queue"] == "far"
