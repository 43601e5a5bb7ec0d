"""Plans of launches, really run: what is predicted, who may approve it, and what refuses it."""

from __future__ import annotations

import json
import uuid
from datetime import UTC, datetime, timedelta

import sqlalchemy as sa

from api.auth.keys import issue
from api.core.audit import Audit
from api.jobs.models import Job, JobHost
from api.launch import schedules
from api.launch.kinds.schedule import Schedule
from api.plan.models import Plan
from tests.api.conftest import Rest

#: Two files of one host, one of which asks for a service to be told.
TASKS = """
    - name: Write the text
      ansible.builtin.copy: {content: "{{ text }}", dest: "{work}/{{ inventory_hostname }}.txt", mode: "0600"}
      notify: Tell
    - name: Write more of it
      ansible.builtin.copy: {content: "{{ item }}", dest: "{work}/{{ item }}.txt", mode: "0600"}
      loop: [red, blue]
  handlers:
    - name: Tell
      ansible.builtin.file: {path: "{work}/told", state: touch, mode: "0600"}
"""


def plan(stage, template, **body):
    """Ask for a plan and wait for it."""
    answer = stage.rest.post(f"/templates/{template['id']}/plan", body)
    assert answer.status_code == 202, answer.text
    assert answer.json["resource"]["state"] == "planning"
    stage.work.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    found = stage.rest.get(f"/plans/{answer.json['resource']['id']}").json
    return found


def ready(stage, template, **body):
    found = plan(stage, template, **body)
    assert found["state"] == "ready", found
    return found


def decide(rest, found, verdict, code=202, **body):
    answer = rest.post(f"/plans/{found['id']}/{verdict}", body)
    assert answer.status_code == code, answer.text
    return answer.json.get("resource") or answer.json["error"]


def applied(stage, found):
    """Apply an approved plan and wait; return (job, the plan afterwards)."""
    answer = stage.rest.post(f"/plans/{found['id']}/apply")
    assert answer.status_code == 202, answer.text
    job = stage.work.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    return job, stage.rest.get(f"/plans/{found['id']}").json


def refusal(stage, found):
    """Ask to apply a plan of which something moved; return what."""
    answer = stage.rest.post(f"/plans/{found['id']}/apply")
    assert answer.status_code == 409, answer.text
    assert "make a new plan" in answer.json["error"]["message"].lower()
    return sorted(answer.json["error"]["details"]["json"])


def test_a_plan_is_approved_and_applied(stage):
    stage.playbook("play.yml", TASKS)
    template = stage.template(variables={"text": "new\n"}, ask=["variables"])
    (stage.path / "one.txt").write_text("old\n")
    (stage.path / "one.txt").chmod(0o600)
    found = ready(stage, template)
    assert (stage.path / "one.txt").read_text() == "old\n" and not (stage.path / "red.txt").exists()
    assert (found["total"], found["cut"], found["hosts"], found["requested_by"]) == (3, False, ["one"], "operator")
    told = [(change["host"], change["name"], change["handler"]) for change in found["changes"]]
    assert told == [("one", "Write the text", False), ("one", "Write more of it", False), ("one", "Tell", True)]
    difference = found["changes"][0]["diff"][0]
    assert (difference["before"], difference["after"]) == ("old\n", "new\n")
    assert [one["after"] for one in found["changes"][1]["diff"]] == ["red", "blue"]
    check = stage.work.job(uuid.UUID(found["job_id"]))
    assert (check.purpose, check.state, check.changed) == ("check", "successful", 1)
    assert stage.rest.post(f"/plans/{found['id']}/apply").status_code == 409
    assert decide(stage.rest, found, "approve", comment="go on")["state"] == "approved"
    assert decide(stage.rest, found, "approve", 409)["code"] == "CONFLICT"
    job, after = applied(stage, found)
    assert (job.state, job.reason, job.purpose) == ("successful", "", "apply")
    assert (after["state"], after["decided_by"], after["comment"]) == ("applied", "operator", "go on")
    assert (stage.path / "one.txt").read_text() == "new\n" and (stage.path / "told").exists()
    # What the check said again is in the output; events and hosts are those of the run alone.
    assert stage.output(job).count("Write the text") == 2
    hosts = stage.work.engine.all(sa.select(JobHost).where(JobHost.job_id == job.id))
    assert [(host.host, host.changed) for host in hosts] == [("one", 3)]
    assert stage.rest.post(f"/plans/{found['id']}/apply").status_code == 409
    assert stage.rest.post(f"/jobs/{job.id}/relaunch", {"hosts": "all"}).status_code == 409
    with stage.work.engine.maker() as session:
        entries = set(session.execute(sa.select(Audit.action, Audit.actor_name).where(Audit.kind == "plan")))
    assert {tuple(entry) for entry in entries} == {(action, "operator") for action in ("plan", "approve", "apply")}
    listed = stage.rest.get(f"/plans?template_id={template['id']}&state=applied").json["items"]
    assert [row["id"] for row in listed] == [found["id"]] and "changes" not in listed[0]


def test_what_moved_refuses_it_by_name(stage):
    stage.playbook("play.yml", TASKS)
    inventory = stage.inventory("one", {"one": {}}, variables={"text": "new\n"})
    template = stage.template(inventory_id=inventory["id"])
    found = ready(stage, template)
    decide(stage.rest, found, "approve")

    def plant(statement):
        with stage.work.engine.maker.begin() as session:
            session.execute(sa.text(statement))

    assert stage.rest.patch(f"/templates/{template['id']}", {"description": "another"}).status_code == 202
    assert refusal(stage, found) == ["generations"]
    plant("update template set generation = 1")
    # Nobody wished anything of the inventory: only what it holds tells.
    plant('update inventory set variables = \'{"text": "newer"}\'')
    stage.playbook("play.yml", TASKS + "# another\n")
    assert refusal(stage, found) == ["inventory", "revision"]
    plant('update inventory set variables = \'{"text": "new\\n"}\'')
    assert refusal(stage, found) == ["revision"]
    stage.playbook("play.yml", TASKS)
    # All that moved came back, and is what was approved; but for a file of the host, which only a look there tells.
    (stage.path / "one.txt").write_text("by hand\n")
    job, after = applied(stage, found)
    assert job.state == "failed" and job.reason.startswith("plan_refused: prediction moved")
    assert (after["state"], after["moved"]) == ("stale", ["prediction"])
    assert (stage.path / "one.txt").read_text() == "by hand\n" and "new plan" in after["message"]
    assert stage.rest.post(f"/plans/{found['id']}/apply").status_code == 409


def test_the_worker_sees_what_the_api_cannot(stage):
    """The files of a project are the worker's; another host that the limit means is known to it alone."""
    project = stage.rest.make("projects", name="app", source="directory", directory="app")
    stage.playbook("play.yml", TASKS)
    (stage.path / "projects" / "app").mkdir()
    (stage.path / "playbooks" / "play.yml").rename(stage.path / "projects" / "app" / "play.yml")
    inventory = stage.inventory("one", {"one": {}}, variables={"text": "new\n"})
    template = stage.template(project_id=project["id"], inventory_id=inventory["id"])
    found = ready(stage, template)
    decide(stage.rest, found, "approve")
    (stage.path / "projects" / "app" / "more.yml").write_text("---\n")
    job, after = applied(stage, found)
    assert (job.state, after["state"], after["moved"]) == ("failed", "stale", ["revision"])
    found = ready(stage, template)
    decide(stage.rest, found, "approve")
    with stage.work.engine.maker.begin() as session:
        session.execute(sa.text('update inventory set hosts = \'{"one": {}, "two": {}}\''))
    job, after = applied(stage, found)
    assert (job.state, after["state"], after["moved"]) == ("failed", "stale", ["inventory"])
    assert not (stage.path / "two.txt").exists() and not (stage.path / "one.txt").exists()


def test_nobody_approves_their_own_where_a_template_says_so(stage):
    stage.playbook("play.yml", TASKS)
    template = stage.template(variables={"text": "new\n"}, approval="other")
    path = f"/templates/{template['id']}"
    answer = stage.rest.post(f"{path}/launch", {})
    assert answer.status_code == 409 and "approval" in answer.json["error"]["details"]["json"]
    assert "check" in stage.rest.post(f"{path}/plan", {"check": False}).json["error"]["details"]["json"]
    found = ready(stage, template)
    with stage.work.engine.maker.begin() as session:
        scopes = ["plan:read", "plan:approve", "job:read"]
        other, branded = (issue(session, "other", scopes, brands)[1] for brands in (["*"], [str(uuid.uuid4())]))
    other, branded = (Rest(stage.rest.client.application, key) for key in (other, branded))
    assert "asked for it" in decide(stage.rest, found, "approve", 403)["message"]
    assert branded.get("/plans").status_code == 403
    assert other.post(f"/plans/{found['id']}/apply").status_code == 403
    assert decide(other, found, "approve")["decided_by"] == "other"
    job, after = applied(stage, found)
    assert (job.state, after["state"], after["applied_by"]) == ("successful", "applied", "operator")
    assert stage.rest.post(f"/jobs/{job.id}/relaunch", {"hosts": "all"}).status_code == 409
    found = ready(stage, template)
    assert decide(other, found, "reject", comment="not now")["state"] == "rejected"
    assert stage.rest.post(f"/plans/{found['id']}/apply").status_code == 409


def test_a_schedule_makes_a_plan_and_the_newer_one_takes_its_place(stage):
    stage.playbook("play.yml", TASKS)
    template = stage.template(variables={"text": "new\n"}, approval="required")
    schedule = stage.rest.make("schedules", name="Nightly", template_id=template["id"], rule="0 3 * * *")
    found = []
    for number in range(2):
        with stage.work.engine.maker.begin() as session:
            due = datetime.now(UTC) - timedelta(seconds=5 - number)
            session.execute(sa.update(Schedule).values(next_at=due))
        with stage.work.engine.transaction() as session:
            fired = schedules.fire(session, uuid.UUID(schedule["id"]))
        if fired is None:  # the worker's own sweeper was faster
            query = sa.select(Plan.job_id).order_by(Plan.created_at.desc())
            job_id = stage.work.until(lambda query=query, n=number: len(f := stage.work.engine.all(query)) > n and f[0])
        else:
            assert (fired.result, fired.job_id is None) == ("planned", False)
            job_id = fired.job_id
        stage.work.publish(job_id)
        assert stage.work.ended(job_id).purpose == "check"
        found.append(job_id)
    rows = {row["job_id"]: row for row in stage.rest.get("/plans?origin=schedule").json["items"]}
    assert [rows[str(id_)]["state"] for id_ in found] == ["stale", "ready"]
    assert rows[str(found[1])]["requested_by"] == "schedule Nightly"
    assert stage.rest.get(f"/schedules/{schedule['id']}/firings").json["items"][0]["result"] == "planned"
    assert not (stage.path / "one.txt").exists()


def test_no_secret_is_left_behind_and_the_run_has_it(stage):
    stage.playbook("play.yml", TASKS)
    survey = [{"variable": "text", "question": "Secret?", "type": "password"}]
    template = stage.template(survey=survey)
    found = ready(stage, template, answers={"text": "canary-in-a-mine"})
    assert found["changes"][0]["diff"][0]["after"] == "***"
    with stage.work.engine.maker() as session:
        rows = [str(dict(row)) for row in session.execute(sa.select(Plan.__table__)).mappings()]
    assert "canary" not in "".join(rows) + json.dumps(found)
    decide(stage.rest, found, "approve")
    job, _ = applied(stage, found)
    assert job.state == "successful" and (stage.path / "one.txt").read_text() == "canary-in-a-mine"
    assert "canary" not in stage.output(job)


def test_a_check_that_does_not_come_through_is_no_plan(stage, wait):
    stage.playbook("play.yml", "\n    - ansible.builtin.command: /nonexistent/program\n      check_mode: false\n")
    found = plan(stage, stage.template())
    assert (found["state"], found["message"], found["changes"]) == ("failed", "host_failed: one", [])
    assert decide(stage.rest, found, "approve", 409)["code"] == "CONFLICT"
    waiting = """
    - ansible.builtin.shell: "echo x > {work}/began"
      check_mode: false
    - ansible.builtin.wait_for: {path: "{work}/go", timeout: 60, sleep: 1}
"""
    stage.playbook("slow.yml", waiting)
    template = stage.template(name="Slow", playbook="slow.yml", inventory_id=found_inventory(stage))
    answer = stage.rest.post(f"/templates/{template['id']}/plan", {}).json
    stage.work.until((stage.path / "began").exists)
    assert stage.rest.post(f"/jobs/{answer['jobs'][0]['id']}/cancel").status_code == 202
    assert stage.work.ended(uuid.UUID(answer["jobs"][0]["id"])).state == "canceled"
    assert stage.rest.get(f"/plans/{answer['resource']['id']}").json["state"] == "failed"


def found_inventory(stage):
    return stage.rest.get("/inventories?name=one").json["items"][0]["id"]


def test_an_apply_that_is_canceled_before_its_run_keeps_the_approval(stage, wait):
    stage.playbook("play.yml", TASKS)
    template = stage.template(variables={"text": "new\n"})
    found = ready(stage, template)
    decide(stage.rest, found, "approve")
    holder = stage.launch(stage.template(name="Holder", playbook="wait.yml", inventory_id=found_inventory(stage)))
    stage.work.until((stage.path / "began").exists)
    answer = stage.rest.post(f"/plans/{found['id']}/apply").json
    assert stage.rest.get(f"/plans/{found['id']}").json["state"] == "applying"
    assert stage.rest.post(f"/jobs/{answer['jobs'][0]['id']}/cancel").json["resource"]["state"] == "canceled"
    assert stage.rest.get(f"/plans/{found['id']}").json["state"] == "approved"
    stage.work.go()
    stage.work.ended(holder)
    job, after = applied(stage, found)
    assert (job.state, after["state"]) == ("successful", "applied")
    assert stage.work.engine.all(sa.select(sa.func.count()).where(Job.purpose == "apply")) == [2]
