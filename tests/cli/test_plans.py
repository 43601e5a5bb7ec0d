"""``hostctl plans``, ``shards plan`` and ``drift``: what would change is shown, approved and applied."""

from __future__ import annotations

import httpx

from tests.cli.test_templates import template, worker_process  # noqa: F401 - fixtures

PLAY = """
- name: Here
  hosts: all
  connection: local
  gather_facts: false
  tasks:
    - name: Write it
      ansible.builtin.copy: {content: "hello {{ who }}\\n", dest: "WORK/greeting", mode: "0600"}
"""


def test_a_launch_is_planned_approved_and_applied(cli, server, tmp_path, template, worker_process):  # noqa: F811
    (tmp_path / "projects" / "app" / "play.yml").write_text(PLAY.replace("WORK", str(tmp_path)))
    cli.run("templates", "update", "Greet", "--approval", "required")
    refused = cli.run("templates", "launch", "Greet", "-a", "who=you", code=4).stderr
    assert "need an approved plan" in refused
    shown = cli.run("templates", "launch", "Greet", "-a", "who=you", "--plan").stdout
    assert "Write it" in shown and "+hello you" in shown and not (tmp_path / "greeting").exists()
    plan = cli.json("plans", "list", "--state", "ready")[0]
    assert (plan["subject"], plan["total"]) == ("Greet", 1)
    cli.run("plans", "apply", plan["id"], code=4)
    assert cli.run("plans", "approve", plan["id"], "--comment", "fine").stdout == f"plan {plan['id']}: approved\n"
    cli.run("plans", "apply", plan["id"])
    assert (tmp_path / "greeting").read_text() == "hello you\n"
    applied = cli.json("plans", "show", plan["id"])
    assert (applied["state"], applied["comment"]) == ("applied", "fine")
    cli.run("plans", "reject", plan["id"], code=4)


def test_a_shard_is_planned_and_searched(cli, server):
    region = cli.make("regions", name="eu-1")
    cluster = cli.make("clusters", name="eu-1a", region=region["id"])
    cli.make("shards", name="web-a", role="web", cluster=cluster["id"], drift_policy="ask")
    result = cli.json("shards", "plan", "web-a", "--no-wait")
    assert result["resource"]["state"] == "planning" and result["jobs"][0]["state"] == "queued"
    cli.run("shards", "check", "web-a")
    found = httpx.get(f"{server.url}/jobs", headers={"Authorization": f"Bearer {server.key}"}).json()["items"]
    assert [(job["purpose"], job["state"]) for job in found] == [("check", "queued")] * 2
    assert cli.run("drift", "list", "--shard", "web-a").stdout.strip().count("\n") == 0
    assert cli.json("shards", "show", "web-a")["drift_policy"] == "ask"
