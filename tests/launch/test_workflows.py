"""Workflows on both databases: what leads to what, what people decide, and what survives what."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.core.announce import happened
from api.core.audit import Audit
from api.jobs.models import Job
from api.launch.models import Launch
from tests.launch.flow import APPROVAL
from worker import sweeper, workflows


def test_edges_lead_on(flow):
    run = flow.start(
        flow.node("build", success=["deploy"], failure=["mourn"], always=["tidy"]),
        flow.node("deploy", failure=["rollback"]),
        flow.node("mourn"),
        flow.node("tidy"),
        flow.node("rollback"),
    )
    assert flow.states(run) == "running: build=runn deploy=wait mourn=wait tidy=wait rollback=wait"
    flow.end(run, "build")
    assert flow.states(run) == "running: build=succ deploy=runn mourn=skip tidy=runn rollback=wait"
    assert {str(id_) for id_ in flow.engine.published} == {
        flow.step(run, name)["job_id"] for name in ("deploy", "tidy")
    }
    flow.end(run, "deploy", "host_failed: web1")
    assert flow.step(run, "deploy")["message"] == "host_failed: web1"
    flow.end(run, "tidy")
    assert flow.states(run) == "running: build=succ deploy=fail mourn=skip tidy=succ rollback=runn"
    flow.end(run, "rollback")
    assert flow.states(run).startswith("successful: ") and flow.run(run)["ended_at"]
    assert {row.requested_by for row in flow.launches(run)} == {"workflow Release"}
    told = flow.engine.all(sa.select(Audit.result).where(Audit.resource_id == uuid.UUID(run)))
    assert sorted(told) == ["accepted", *["launched"] * 4, "successful"]
    listed = flow.rest.get(f"/workflow-runs?workflow_id={flow.run(run)['workflow_id']}&state=successful").json
    assert [row["id"] for row in listed["items"]] == [run] and "steps" not in listed["items"][0]
    assert len(flow.rest.get(f"/launches?workflow_run_id={run}").json["items"]) == 4
    assert workflows.go_on(flow.context) == 0


@pytest.mark.parametrize(("converge", "state"), [("all", "skip"), ("any", "runn")])
def test_convergence(flow, converge, state):
    run = flow.start(
        flow.node("one", success=["last"]), flow.node("two", success=["last"]), flow.node("last", converge=converge)
    )
    flow.end(run, "one", "run_failed")
    assert flow.states(run) == f"running: one=fail two=runn last={'skip' if converge == 'all' else 'wait'}"
    flow.end(run, "two")
    # Nobody handled the failure of the first.
    if converge == "any":
        assert flow.states(run) == "running: one=fail two=succ last=runn"
        flow.end(run, "last")
    assert flow.states(run) == f"failed: one=fail two=succ last={state.replace('runn', 'succ')}"


def test_what_one_tells_others_are_given(flow):
    question = {"variable": "version", "question": "Which?", "type": "integer"}
    asking = flow.rest.make("templates", name="Asks", playbook="site.yml", survey=[question], variables={"size": 1})
    open_ = flow.rest.make("templates", name="Takes all", playbook="site.yml", ask=["variables"])
    run = flow.start(
        flow.node("far", always=["near"]),
        flow.node("near", always=["asks", "takes", "closed"]),
        flow.node("asks", template_id=asking["id"]),
        flow.node("takes", template_id=open_["id"], parameters={"variables": {"color": "red", "size": 2}}),
        flow.node("closed"),
        flow.node("beside", template_id=open_["id"]),
        variables={"kind": "x"},
    )
    evil = "{{ lookup('pipe', 'id') }}"
    flow.end(run, "far", data={"version": 1, "size": 3, "kind": "far", "text": [evil]})
    flow.end(run, "near", "run_failed", data={"version": 7})
    assert flow.step(run, "far")["data"] == {"version": 1, "size": 3, "kind": "far", "text": [evil]}
    given = {step["name"]: step["job_id"] for step in flow.run(run)["steps"]}
    variables = {name: flow.rest.get(f"/launches/{job}").json["variables"] for name, job in given.items()}
    # A template decides what it takes: its survey, variables, or nothing. The nearest goes before the farther, what
    # was told before what the node says, and what the launch said before all.
    assert variables["asks"] == {"size": 1, "version": 7}
    assert variables["takes"] == {"color": "red", "size": 3, "version": 7, "kind": "x", "text": [evil]}
    assert variables["closed"] == {} and variables["beside"] == {"kind": "x"}


def test_what_is_told_may_not_fit(flow):
    question = {"variable": "version", "question": "Which?", "type": "integer"}
    asking = flow.rest.make("templates", name="Asks", playbook="site.yml", survey=[question])
    run = flow.start(
        flow.node("first", success=["asks", "more"]),
        flow.node("asks", template_id=asking["id"], failure=["handle"]),
        flow.node("handle"),
        flow.node("more", success=["never"]),
        flow.node("never"),
    )
    flow.end(run, "first", data={"version": "seven"})
    assert flow.states(run) == "running: first=succ asks=fail handle=runn more=runn never=wait"
    assert "version: must be a whole number" in flow.step(run, "asks")["message"]
    # More than is kept: what comes next would miss something.
    taken = flow.take(run, "more")
    with flow.engine.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == taken.job_id).values(state="successful"))
        session.execute(sa.update(Launch).where(Launch.job_id == taken.job_id).values(data=None))
    sweeper.once(flow.context)
    assert flow.states(run) == "running: first=succ asks=fail handle=runn more=fail never=skip"
    assert "65536 bytes" in flow.step(run, "more")["message"]


def test_approvals(flow):
    heard = []

    def hear(topic, kind, ids, facts, **_):
        if topic == "approval_needed":
            heard.extend((kind, told["step"], told["question"]) for told in facts(ids).values())

    gate = {**APPROVAL, "name": "gate", "success": ["go"], "failure": ["stop"]}
    workflow = flow.make(flow.node("first", success=["gate"]), gate, flow.node("go"), flow.node("stop"))
    with happened.connected_to(hear):
        runs = [flow.launch(workflow) for _ in range(3)]
        for run in runs:
            flow.act(f"{run}/steps/gate/approve", {}, 409)
            flow.end(run, "first")
            assert flow.states(run) == "running: first=succ gate=pend go=wait stop=wait"
    assert heard == [("workflow_run", "gate", "Go on?")] * 3
    yes = flow.act(f"{runs[0]}/steps/gate/approve", {"comment": "Fine."})
    assert [job["id"] for job in yes["jobs"]] == [flow.step(runs[0], "go")["job_id"]]
    assert flow.states(runs[0]) == "running: first=succ gate=succ go=runn stop=skip"
    step = flow.step(runs[0], "gate")
    assert (step["decided_by"], step["comment"], step["deadline"]) == ("operator", "Fine.", None)
    flow.act(f"{runs[1]}/steps/gate/deny", {})
    assert flow.states(runs[1]) == "running: first=succ gate=deni go=skip stop=runn"
    flow.act(f"{runs[1]}/steps/gate/approve", {}, 409)
    flow.act(f"{runs[2]}/steps/nobody/approve", {}, 404)
    flow.act(f"{runs[2]}/steps/first/deny", {}, 409)
    flow.act(f"{runs[2]}/steps/gate/deny", {"comment": "x" * 2001}, 422)
    flow.act(f"{uuid.uuid4()}/steps/gate/deny", {}, 404)
    told = sa.select(Audit.action, Audit.actor_name, Audit.after).where(Audit.action.in_(["approve", "deny"]))
    with flow.engine.maker() as session:
        entries = {entry.action: (entry.actor_name, entry.after) for entry in session.execute(told)}
    assert entries["approve"] == (
        "operator", {"workflow": "Release", "state": "running", "step": "gate", "comment": "Fine."}
    )  # fmt: skip


def test_nobody_decides_in_time(flow):
    run = flow.start({**APPROVAL, "name": "gate", "timeout": 60, "success": ["go"]}, flow.node("go"))
    assert flow.step(run, "gate")["deadline"] is not None
    assert workflows.go_on(flow.context) == 0
    flow.late(run)
    # It is too late, even if nobody has looked yet.
    flow.act(f"{run}/steps/gate/approve", {}, 409)
    sweeper.once(flow.context)
    assert flow.states(run) == "failed: gate=time go=skip"
    flow.act(f"{run}/resume")
    assert flow.states(run) == "running: gate=pend go=wait"
    assert flow.step(run, "gate")["deadline"] is not None
    flow.act(f"{run}/steps/gate/approve", {})
    flow.end(run, "go")
    assert flow.run(run)["state"] == "successful" and flow.run(run)["resumed"] == 1


def test_check_mode_for_the_whole(flow):
    checks = flow.rest.make("templates", name="May check", playbook="site.yml", ask=["check"])
    nodes = [
        flow.node("first", success=["second"]),
        flow.node("second", template_id=checks["id"], parameters={"check": False}),
    ]
    run = flow.start(*nodes, check=True)
    flow.end(run, "first")
    flow.end(run, "second", "run_failed")
    flow.act(f"{run}/resume")
    flow.end(run, "second")
    assert [row.check for row in flow.launches(run)] == [True] * 3 and flow.run(run)["check"] is True


def test_resume_goes_on_from_what_failed(flow):
    open_ = flow.rest.make("templates", name="Takes all", playbook="site.yml", ask=["variables"])
    run = flow.start(
        flow.node("build", success=["deploy"]),
        flow.node("deploy", template_id=open_["id"], success=["tell"], always=["log"]),
        flow.node("tell"),
        flow.node("log", failure=["nobody"]),
        flow.node("nobody"),
    )
    flow.act(f"{run}/resume", None, 409)
    flow.end(run, "build", data={"version": 7})
    first = flow.end(run, "deploy", "host_failed: web1", {"half": True})
    flow.end(run, "log")
    # The edge of always counts as care: nothing is left to do.
    assert flow.states(run) == "successful: build=succ deploy=fail tell=skip log=succ nobody=skip"
    flow.act(f"{run}/resume", None, 409)
    plain = flow.launch(
        flow.make(
            flow.node("build", success=["deploy"]),
            flow.node("deploy", template_id=open_["id"], success=["tell"]),
            flow.node("tell"),
            name="Plain",
        )
    )
    built = flow.end(plain, "build", data={"version": 7})
    failed = flow.end(plain, "deploy", "host_failed: web1", {"half": True})
    assert flow.states(plain) == "failed: build=succ deploy=fail tell=skip"
    # The templates and the workflow go on to change; the run stays what it was.
    assert flow.rest.delete(f"/workflows/{flow.run(plain)['workflow_id']}").status_code == 202
    again = flow.act(f"{plain}/resume")
    assert flow.states(plain) == "running: build=succ deploy=runn tell=wait"
    assert flow.step(plain, "build")["job_id"] == str(built) and flow.step(plain, "deploy")["data"] == {}
    assert again["jobs"][0]["id"] == flow.step(plain, "deploy")["job_id"] not in (str(failed), str(first))
    assert flow.launches(plain)[-1].variables == {"version": 7}
    flow.end(plain, "deploy")
    flow.end(plain, "tell")
    assert flow.states(plain) == "successful: build=succ deploy=succ tell=succ"


def test_cancel(flow):
    run = flow.start(
        flow.node("queued", always=["later"]),
        flow.node("running", failure=["later"]),
        {**APPROVAL, "name": "gate"},
        flow.node("later", converge="any"),
    )
    taken = flow.take(run, "running")
    answer = flow.act(f"{run}/cancel")["resource"]
    # What runs ends when its last process is gone, and nothing follows it.
    assert flow.states(run) == "running: queued=canc running=runn gate=canc later=canc"
    assert answer["cancel_requested_at"] and answer["canceled_by"] == "operator"
    assert flow.engine.all(sa.select(Job.canceled_by).where(Job.id == taken.job_id)) == ["operator"]
    flow.act(f"{run}/cancel")
    flow.act(f"{run}/steps/gate/approve", {}, 409)
    with flow.engine.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == taken.job_id).values(state="canceled", reason="canceled"))
    sweeper.once(flow.context)
    assert flow.states(run) == "canceled: queued=canc running=canc gate=canc later=canc"
    flow.act(f"{run}/cancel", None, 409)
    flow.act(f"{run}/resume")
    assert flow.states(run) == "running: queued=runn running=runn gate=pend later=wait"
    assert flow.run(run)["canceled_by"] == "" and flow.run(run)["cancel_requested_at"] is None


def test_one_job_that_somebody_cancels_is_a_failure(flow):
    run = flow.start(flow.node("one", failure=["handle"]), flow.node("handle"))
    assert flow.rest.post(f"/jobs/{flow.step(run, 'one')['job_id']}/cancel").status_code == 202
    sweeper.once(flow.context)
    assert flow.states(run) == "running: one=canc handle=runn"


def test_questions_that_something_may_answer_later(flow):
    questions = [{"variable": name, "question": "?"} for name in ("version", "place")]
    asking = flow.rest.make("templates", name="Asks", playbook="site.yml", survey=questions)
    first = flow.node("first", template_id=asking["id"], parameters={"answers": {"place": "here"}}, success=["last"])
    workflow = flow.make(first, flow.node("last", template_id=asking["id"]))
    refused = flow.rest.post(f"/workflows/{workflow['id']}/launch", {}).json["error"]["details"]["json"]
    # What comes first is told nothing by others; what comes later may be.
    assert refused == {"nodes": {"first": {"answers": {"version": ["must be answered"]}}}}
    run = flow.launch(workflow, variables={"version": "7"})
    flow.end(run, "first")
    assert flow.states(run) == "failed: first=succ last=fail"
    assert "place: must be answered" in flow.step(run, "last")["message"]
