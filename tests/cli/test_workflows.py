"""Workflows from the command line: launched, followed, approved and resumed, with a worker that plays the runs."""

from __future__ import annotations

import json
import threading
import uuid

import pytest
import sqlalchemy as sa

from api.jobs.finish import Ending, finish
from api.jobs.models import Job
from api.launch.claim import claim
from api.launch.models import Launch
from tests.cli.conftest import until
from worker import workflows
from worker.context import Context


@pytest.fixture
def runner(idle, server):
    """Takes launches and ends them; those of the template Broken fail, as long as it is broken."""
    stopped, errors, broken = threading.Event(), [], {"Broken"}
    context = Context(server.settings, idle.maker.kw["bind"], idle.maker, lambda _job: None)

    def work():
        try:
            while not stopped.wait(0.05):
                for job in idle.all(sa.select(Job).where(Job.state == "queued")):
                    with idle.transaction() as session:
                        row = session.get_one(Launch, job.id)
                        taken = claim(session, row, (), "test", 60)
                    with idle.transaction() as session:
                        finish(session, taken, Ending(reason="run_failed" if row.template in broken else ""))
                    workflows.go_on(context, job.id)
        except BaseException as error:
            errors.append(error)

    thread = threading.Thread(target=work)
    thread.start()
    yield broken
    stopped.set()
    thread.join(30)
    assert not errors, errors


@pytest.fixture
def release(cli, tmp_path):
    """Make a workflow from a file: build, ask, deploy."""
    templates = {name: cli.make("templates", name=name, playbook="site.yml")["id"] for name in ("Fine", "Broken")}
    nodes = [
        {"name": "build", "template_id": templates["Fine"], "success": ["ask"]},
        {"name": "ask", "type": "approval", "question": "Release it?", "timeout": 3600, "success": ["deploy"]},
        {"name": "deploy", "template_id": templates["Broken"], "parameters": {}},
    ]
    (tmp_path / "nodes.yml").write_text(json.dumps(nodes))
    cli.run("workflows", "create", "--name", "Release", "--nodes-file", str(tmp_path / "nodes.yml"))
    return nodes


def test_launch_approve_resume(cli, release, runner):
    process = cli.start("workflows", "launch", "Release")
    run = until(lambda: cli.json("workflows", "runs", "Release"), "no run")[0]["id"]
    until(lambda: pending(cli, run), "nobody is asked")
    assert f"run {run}: running" in cli.run("workflows", "approve", run, "ask", "--comment", "Fine.").stdout
    out, errors = process.communicate(timeout=60)
    assert process.returncode == 1, errors
    assert "build: running as job" in errors or "build: successful" in errors
    assert f"ask: Release it? (hostctl workflows approve {run} ask) until 20" in errors
    assert "deploy: failed: run_failed" in errors and f"run {run} ended failed" in errors
    assert f"run {run}: failed" in out
    runner.clear()
    assert "deploy: successful" in cli.run("workflows", "resume", run).stderr
    shown = cli.json("workflow-runs", "show", run)
    assert [step["state"] for step in shown["steps"]] == ["successful"] * 3 and shown["resumed"] == 1
    assert shown["steps"][1]["comment"] == "Fine."
    cli.run("workflows", "watch", run)
    cli.run("workflows", "resume", run, code=4)


def pending(cli, run):
    return any(step["state"] == "pending" for step in cli.json("workflow-runs", "show", run)["steps"])


def test_deny_cancel_and_refusals(cli, release, runner):
    started = cli.json("workflows", "launch", "Release", "--check", "--no-wait")
    run = started["resource"]["id"]
    assert started["resource"]["check"] is True and len(started["jobs"]) == 1
    until(lambda: pending(cli, run), "nobody is asked")
    denied = cli.json("workflows", "deny", run, "ask")["resource"]
    assert denied["state"] == "failed" and [step["state"] for step in denied["steps"]][1:] == ["denied", "skipped"]
    cli.run("workflows", "watch", run, code=1)
    cli.run("workflows", "approve", run, "ask", code=4)
    for name in ("nobody", "ask/../ask", "a b"):
        cli.run("workflows", "approve", run, name, code=3)
    cli.run("workflows", "launch", "Nobody", code=3)
    assert "nobody: no step asks for it" in cli.run("workflows", "launch", "Release", "--variable", "nobody=1",
                                                    code=4).stderr  # fmt: skip
    other = cli.json("workflows", "launch", "Release", "--no-wait")["resource"]["id"]
    until(lambda: pending(cli, other), "nobody is asked")
    assert "canceled" in cli.run("workflows", "cancel", other).stdout
    assert [row["id"] for row in cli.json("workflows", "runs", "--state", "canceled")] == [other]
    cli.run("workflows", "watch", str(uuid.uuid4()), code=3)


def test_a_file_that_describes_one(cli, release, tmp_path):
    schedule = {"name": "Every night", "workflow": "Nightly", "rule": "0 3 * * *"}
    document = {"workflows": [{"name": "Nightly", "nodes": release}], "schedules": [schedule]}
    (tmp_path / "flow.yml").write_text(json.dumps(document))
    assert cli.json("apply", "-f", str(tmp_path / "flow.yml"))["changed"] is True
    assert cli.json("apply", "-f", str(tmp_path / "flow.yml"))["changed"] is False
    release[0]["success"], release[1]["success"] = ["deploy"], ["build"]
    release[2]["always"] = ["ask"]
    (tmp_path / "flow.yml").write_text(json.dumps(document))
    circle = "the edges go in a circle: build → deploy → ask → build"
    assert circle in cli.run("apply", "-f", str(tmp_path / "flow.yml"), code=1).stdout.replace("\\u2192", "→")
