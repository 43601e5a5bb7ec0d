"""Workflows, really run: playbooks tell each other what they found, workers die, and secrets stay where they are."""

from __future__ import annotations

import json
import os
import signal
import uuid

import pytest

from api.launch.data import MOST_TOLD, told
from tests.launch.test_launch import EVIL

TELL = """
    - ansible.builtin.set_stats:
        data: {version: 7, deep: {list: [1, "{{ text }}"]}, Upper: 1, ansible_host: x, said: "it is {{ password }}"}
    - ansible.builtin.set_stats: {data: {mine: 1}, per_host: true}
"""
USE = """
    - ansible.builtin.copy:
        content: "{{ [version, deep, said, mine | default('none')] | to_json }}"
        dest: "{work}/told.json"
        mode: "0600"
"""
FAIL_ONCE = """
    - ansible.builtin.shell: "echo x >> {work}/tries"
    - ansible.builtin.set_stats: {data: {tried: true}}
    - ansible.builtin.stat: {path: "{work}/go"}
      register: ready
    - ansible.builtin.assert: {that: ready.stat.exists}
"""
MARK = """
    - ansible.builtin.shell: "echo {{ tried | default('') }} >> {work}/marked"
"""
BIG = """
    - ansible.builtin.set_stats: {data: {text: "{{ 'x' * 70000 }}"}}
"""


class Workflows:
    """What the tests want from a stage."""

    def __init__(self, stage):
        self.stage = stage
        self.inventory = stage.inventory("one", {"one": {}})["id"]

    def node(self, name, tasks, fields=None, **node):
        """Return a node with a template and a playbook of its own."""
        playbook = self.stage.playbook(f"{name}.yml", tasks)
        template = self.stage.template(name=name, playbook=playbook, inventory_id=self.inventory, **(fields or {}))
        return {"name": name, "template_id": template["id"], **node}

    def launch(self, *nodes, body=None, **fields):
        workflow = self.stage.rest.make("workflows", name="Release", nodes=list(nodes), **fields)
        answer = self.stage.rest.post(f"/workflows/{workflow['id']}/launch", body or {})
        assert answer.status_code == 202, answer.text
        return answer.json["resource"]["id"]

    def run(self, id_):
        return self.stage.rest.get(f"/workflow-runs/{id_}").json

    def ended(self, id_, seconds=60):
        return self.stage.work.until(lambda: (run := self.run(id_))["state"] != "running" and run, seconds)

    def until(self, id_, name, *states, seconds=60):
        def look():
            step = steps(self.run(id_))[name]
            return step["state"] in states and step

        return self.stage.work.until(look, seconds)


def steps(run):
    return {step["name"]: step for step in run["steps"]}


def states(run):
    return {name: step["state"] for name, step in steps(run).items()}


@pytest.fixture
def made(stage):
    return Workflows(stage)


def test_a_workflow_runs(stage, made):
    evil = EVIL.replace("{work}", str(stage.path))
    secret = {"variable": "password", "question": "Secret?", "type": "password"}
    tell = made.node("tell", TELL, {"survey": [secret], "variables": {"text": evil}}, success=["use"], failure=["no"])
    use = made.node("use", USE, {"ask": ["variables"]}, success=["gate"])
    gate = {"name": "gate", "type": "approval", "question": "Release?", "success": ["last"]}
    last, no = made.node("last", MARK), made.node("no", MARK)
    nodes = [tell, use, gate, last, no]
    open_ = {"name": "x", "nodes": [{**tell, "parameters": {"answers": {"password": "Canary-77"}}}, *nodes[1:]]}
    refused = stage.rest.post("/workflows", open_)
    assert "password is a secret" in refused.text and "Canary-77" not in refused.text
    run = made.launch(*nodes, secret_answers=json.dumps({"tell": {"password": "Canary-77"}}))
    made.until(run, "gate", "pending")
    found = steps(made.run(run))
    # Names that no variable may have stay behind, and the run's secrets are no data.
    assert found["tell"]["data"] == {"version": 7, "deep": {"list": [1, evil]}, "said": "it is ***"}
    assert json.loads((stage.path / "told.json").read_text()) == [7, {"list": [1, evil]}, "it is ***", "none"]
    assert not (stage.path / "owned").exists() and not (stage.path / "marked").exists()
    output = stage.rest.get(f"/jobs/{found['tell']['job_id']}/output?format=text").text
    assert "cannot be variables and are not kept: Upper, ansible_host" in output
    assert stage.rest.get(f"/launches/{found['tell']['job_id']}").json["data"] == found["tell"]["data"]
    assert "Canary" not in json.dumps([made.run(run), stage.rest.get("/workflows").json])
    assert stage.rest.post(f"/workflow-runs/{run}/steps/gate/approve", {}).status_code == 202
    ended = made.ended(run)
    assert states(ended) == {**dict.fromkeys(("tell", "use", "gate", "last"), "successful"), "no": "skipped"}
    assert ended["state"] == "successful"


def test_resume_after_a_failure(stage, made):
    run = made.launch(
        made.node("build", MARK, success=["deploy"]),
        made.node("deploy", FAIL_ONCE, success=["tell"]),
        made.node("tell", MARK, {"ask": ["variables"]}),
    )
    failed = made.ended(run)
    assert failed["state"] == "failed"
    assert states(failed) == {"build": "successful", "deploy": "failed", "tell": "skipped"}
    assert steps(failed)["deploy"]["message"] == "host_failed: one" and steps(failed)["deploy"]["data"] == {
        "tried": True
    }
    stage.work.go()
    assert stage.rest.post(f"/workflow-runs/{run}/resume").status_code == 202
    assert made.ended(run)["state"] == "successful"
    assert (stage.path / "tries").read_text() == "x\nx\n"
    # The first step was not done again, the last one was given what the second try told.
    assert (stage.path / "marked").read_text() == "\nTrue\n"


def test_nothing_is_changed_in_check_mode(stage, made):
    run = made.launch(
        made.node("tell", TELL, {"variables": {"text": "t", "password": "open"}}, success=["use"]),
        made.node("use", USE, {"ask": ["variables"]}),
        body={"check": True},
    )
    assert made.ended(run)["state"] == "successful"
    assert not (stage.path / "told.json").exists()
    assert steps(made.run(run))["tell"]["data"]["version"] == 7


def test_a_worker_is_killed(stage, made, wait):
    """The run of a step vanishes: the step has failed, and what cares for failures begins."""
    wait_template = stage.template(name="Wait", playbook="wait.yml", inventory_id=made.inventory)
    run = made.launch(
        {"name": "wait", "template_id": wait_template["id"], "success": ["never"], "failure": ["care"]},
        made.node("never", MARK),
        made.node("care", MARK),
    )
    stage.work.until((stage.path / "began").exists)
    job = stage.work.job(uuid.UUID(steps(made.run(run))["wait"]["job_id"]))
    os.kill(int(job.worker.rpartition(":")[2]), signal.SIGKILL)
    ended = made.ended(run, 120)
    assert states(ended) == {"wait": "failed", "never": "skipped", "care": "successful"}
    assert steps(ended)["wait"]["message"] == "lease_expired" and ended["state"] == "successful"


def test_canceled_while_it_runs(stage, made, wait):
    wait_template = stage.template(name="Wait", playbook="wait.yml", inventory_id=made.inventory)
    run = made.launch(
        {"name": "wait", "template_id": wait_template["id"], "always": ["never"]}, made.node("never", MARK)
    )
    stage.work.until((stage.path / "began").exists)
    assert stage.rest.post(f"/workflow-runs/{run}/cancel").json["resource"]["state"] == "running"
    ended = made.ended(run)
    assert ended["state"] == "canceled" and states(ended) == {"wait": "canceled", "never": "canceled"}
    assert not (stage.path / "marked").exists()


def test_more_than_is_kept(stage, made):
    run = made.launch(made.node("big", BIG, success=["never"]), made.node("never", MARK))
    ended = made.ended(run)
    assert states(ended) == {"big": "failed", "never": "skipped"} and "set_stats" in steps(ended)["big"]["message"]
    job = stage.rest.get(f"/jobs/{steps(ended)['big']['job_id']}").json
    # The run itself went well.
    assert job["state"] == "successful"
    assert "nothing of it is kept" in stage.rest.get(f"/jobs/{job['id']}/output?format=text").text


@pytest.mark.parametrize(
    ("given", "kept"),
    [
        ({"a": 1, "hostreeve_fence": 2, "A": 3, "vars": 4, "x" * 101: 5}, {"a": 1}),
        ({"a": "x" * MOST_TOLD}, None),
        ({"a": "\0"}, None),
        ({"a": 2**70}, None),
        ({"a": float("nan")}, None),
        ([1], None),
        ({}, {}),
    ],
)
def test_what_is_kept(given, kept):
    assert told(given)[0] == kept
