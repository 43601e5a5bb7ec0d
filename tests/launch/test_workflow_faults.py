"""Workflows on both databases: who comes first, what survives what, and what else changes meanwhile."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime

import sqlalchemy as sa

from api.core.announce import happened
from api.core.settings import ROOT
from api.jobs.models import Job
from api.jobs.retention import forget
from api.launch.models import Firing
from api.workflow.models import WorkflowRun, WorkflowStep
from tests.launch.flow import APPROVAL
from tests.launch.test_schedules import back
from worker import sweeper

#: One worker that takes on what it finds: says when it is ready, waits for the word, and looks a few times.
LOOK = """
import sys
from api.core.settings import load
from worker.context import context_for
from worker.workflows import go_on
context = context_for(load())
with context.maker() as session:
    session.connection()
print("ready", flush=True)
sys.stdin.readline()
print(sum(go_on(context) for _ in range(3)), flush=True)
"""


def test_a_worker_that_dies_behind_the_end_of_a_job_loses_no_step(flow):
    run = flow.start(flow.node("one", success=["two"]), flow.node("two", success=["three"]), flow.node("three"))
    flow.end(run, "one", told=False)
    assert flow.states(run) == "running: one=runn two=wait three=wait"
    sweeper.once(flow.context)
    assert flow.states(run) == "running: one=succ two=runn three=wait"
    with flow.engine.transaction() as session:
        # Retention, a restored backup: nobody can say any longer how it ended.
        session.execute(sa.delete(Job).where(Job.id == uuid.UUID(flow.step(run, "two")["job_id"])))
    sweeper.once(flow.context)
    assert flow.states(run) == "failed: one=succ two=fail three=skip"
    assert flow.step(run, "two")["message"] == "its job is gone"


def test_schedules_launch_workflows(flow):
    workflow = flow.make(flow.node("one", success=["gate"]), {**APPROVAL, "name": "gate"})
    said = {"name": "Nightly", "rule": "* * * * *", "workflow_id": workflow["id"], "parameters": {"check": True}}
    for wrong in ({"template_id": flow.template["id"]}, {"workflow_id": None}):
        assert "template_id" in flow.rest.post("/schedules", {**said, **wrong}).json["error"]["details"]["json"]
    for wrong in ({"overlap": "queue"}, {"secret_answers": "{}"}, {"parameters": {"limit": "web"}},
                  {"parameters": {"variables": {"nobody": 1}}}):  # fmt: skip
        refused = flow.rest.post("/schedules", {**said, **wrong})
        assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == list(wrong)
    schedule = flow.rest.make("schedules", **said)
    assert flow.rest.delete(f"/workflows/{workflow['id']}").json["error"]["details"]["has"] == ["schedules"]

    def fire():
        back(flow.engine, 1)
        with flow.engine.transaction() as session:
            session.execute(sa.delete(Firing))
        sweeper.once(flow.context)
        return flow.rest.get(f"/schedules/{schedule['id']}/firings").json["items"][0]

    first = fire()
    run = first["workflow_run_id"]
    assert first["result"] == "launched" and first["job_id"] is None
    assert flow.states(run) == "running: one=runn gate=wait" and flow.run(run)["check"] is True
    assert flow.run(run)["requested_by"] == "schedule Nightly" and flow.run(run)["schedule_id"] == schedule["id"]
    assert fire()["message"] == "the run of before has not ended"
    flow.act(f"{run}/cancel")
    assert fire()["workflow_run_id"] not in (None, run)
    assert len(flow.rest.get(f"/workflow-runs?schedule_id={schedule['id']}").json["items"]) == 2


def test_templates_that_workflows_name(flow):
    """They cannot go; they can change, and then a step says truthfully that it could not be launched."""
    open_ = flow.rest.make("templates", name="Open", playbook="site.yml", ask=["limit"])
    workflow = flow.make(flow.node("one", template_id=open_["id"], parameters={"limit": "web"}))
    for name, value in (("limit", "@x"), ("tags", ["x"]), ("answers", {"nobody": 1})):
        nodes = [flow.node("two", template_id=open_["id"], parameters={name: value})]
        refused = flow.rest.post("/workflows", {"name": "No", "nodes": nodes})
        assert refused.status_code == 422
        assert refused.json["error"]["details"]["json"]["nodes"][0].startswith(f"node two: parameters: {name}: ")
    assert flow.rest.delete(f"/templates/{open_['id']}").json["error"]["details"]["has"] == ["workflows"]
    both = flow.make(flow.node("first", success=["one"]), workflow["nodes"][0], name="Both")
    run = flow.launch(both)
    flow.rest.patch(f"/templates/{open_['id']}", {"ask": []})
    refused = flow.rest.post(f"/workflows/{workflow['id']}/launch", {}).json["error"]["details"]["json"]["nodes"]
    assert list(refused["one"]) == ["limit"]
    flow.end(run, "first")
    assert flow.states(run) == "failed: first=succ one=fail"
    assert "limit: may not be set at the launch of this template" in flow.step(run, "one")["message"]
    for row in (workflow, both):
        flow.rest.delete(f"/workflows/{row['id']}")
    assert flow.rest.delete(f"/templates/{open_['id']}").status_code == 202
    flow.act(f"{run}/resume")
    assert flow.states(run) == "failed: first=succ one=fail"
    assert flow.step(run, "one")["message"] == "The template is gone."


def test_old_runs_go(flow):
    run = flow.start({**APPROVAL, "name": "gate"})
    going = flow.launch(flow.make({**APPROVAL, "name": "gate"}, name="Other"))
    flow.act(f"{run}/steps/gate/approve", {})
    with flow.engine.transaction() as session:
        session.execute(sa.update(WorkflowRun).values(created_at=datetime(2020, 1, 1, tzinfo=UTC)))
        session.execute(sa.update(WorkflowRun).where(WorkflowRun.ended_at.is_not(None)).values(
            ended_at=datetime(2020, 1, 1, tzinfo=UTC)
        ))  # fmt: skip
        forget(session, 1)
    assert [row["id"] for row in flow.rest.get("/workflow-runs").json["items"]] == [going]
    assert {str(id_) for id_ in flow.engine.all(sa.select(WorkflowStep.run_id))} == {going}


def test_an_error_leaves_nothing_half_done(flow, monkeypatch):
    run = flow.start(flow.node("one", success=["two", "gate"]), flow.node("two"), {**APPROVAL, "name": "gate"})

    def refuse(topic, **facts):
        if topic == "approval_needed":
            raise RuntimeError("a receiver broke")

    with happened.connected_to(refuse):
        flow.end(run, "one")
        assert flow.states(run) == "running: one=runn two=wait gate=wait" and len(flow.launches(run)) == 1
    sweeper.once(flow.context)
    assert flow.states(run) == "running: one=succ two=runn gate=pend" and len(flow.launches(run)) == 2


def test_many_workers_go_on_and_each_step_is_launched_once(flow):
    """Two parents of each run have ended and nobody took them on; now everybody does at the same time."""
    workflow = flow.make(
        flow.node("a", success=["all", "any"]),
        flow.node("b", success=["all", "any"]),
        flow.node("all"),
        flow.node("any", converge="any"),
    )
    runs = [flow.launch(workflow) for _ in range(15)]
    for run in runs:
        flow.end(run, "a", told=False)
        flow.end(run, "b", told=False)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}
    env |= {f"HOSTREEVE_{name.upper()}": str(value) for name, value in vars(flow.engine.settings).items()}
    started = [
        subprocess.Popen([sys.executable, "-c", LOOK], env=env, stdin=-1, stdout=-1, stderr=subprocess.PIPE, text=True)
        for _ in range(3)
    ]
    for process in started:
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in started:
        process.stdin.write("go\n")
        process.stdin.flush()
    for process in started:
        out, errors = process.communicate(timeout=60)
        assert process.returncode == 0 and out.strip().isdigit(), out + errors
    assert all(flow.states(run) == "running: a=succ b=succ all=runn any=runn" for run in runs)
    assert [len(flow.launches(run)) for run in runs] == [4] * 15
    jobs = flow.engine.all(sa.select(WorkflowStep.job_id).where(WorkflowStep.state == "running"))
    assert len(set(jobs)) == 30


def test_a_decision_and_a_resume_come_once(flow):
    run = flow.start({**APPROVAL, "name": "gate", "success": ["go"]}, flow.node("go"))
    path = f"/workflow-runs/{run}/steps/gate/approve"
    first, again = (flow.rest.post(path, {}, Idempotency_Key="once") for _ in range(2))
    assert first.json == again.json and again.headers["Idempotency-Replayed"] == "true"
    flow.act(f"{run}/steps/gate/approve", {}, 409)
    assert len(flow.launches(run)) == 1
