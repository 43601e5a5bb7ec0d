"""Ad-hoc runs: the modules that the operator allows, with arguments that are data."""

from __future__ import annotations

import uuid

import pytest
import sqlalchemy as sa

from api.jobs.models import Job

ALLOWED = "ansible.builtin.copy, ansible.builtin.command"


@pytest.mark.parametrize("stage", [{"adhoc_modules": ALLOWED}], indirect=True)
def test_a_module_runs_on_the_hosts_of_a_pattern(stage, sshd):
    inventory = stage.inventory("ssh", {"one": {"vars": sshd}, "two": {"vars": sshd}})
    evil = "{{ lookup('pipe', 'touch %s/owned') }}" % stage.path
    body = {
        "module": "ansible.builtin.copy",
        "arguments": {"content": evil, "dest": f"{stage.path}/copied", "mode": "0600"},
        "inventory_id": inventory["id"],
        "limit": "two",
        "become": False,
    }
    answer = stage.rest.post("/ad-hoc", body)
    assert answer.status_code == 202, answer.text
    assert answer.json["resource"]["module"] == "ansible.builtin.copy"
    job = stage.work.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    assert job.state == "successful", stage.output(job)
    assert (stage.path / "copied").read_text() == evil and not (stage.path / "owned").exists()
    assert [host["host"] for host in stage.rest.get(f"/jobs/{job.id}").json["hosts"]] == ["two"]
    again = stage.rest.post("/ad-hoc", {**body, "module": "ansible.builtin.command", "arguments": {"cmd": "false"}})
    job = stage.work.ended(uuid.UUID(again.json["jobs"][0]["id"]))
    assert (job.state, job.reason) == ("failed", "host_failed: two")


@pytest.mark.parametrize("stage", [{"adhoc_modules": ALLOWED}], indirect=True)
def test_what_is_not_allowed_is_refused(stage):
    fine = {"module": "ansible.builtin.command", "arguments": {"cmd": "id"}, "limit": "all"}
    for change, field in (
        ({"module": "ansible.builtin.shell"}, "module"),
        ({"module": "copy"}, "module"),
        ({"module": ""}, "module"),
        ({"arguments": {"_uses_shell": True, "cmd": "id"}}, "arguments"),
        ({"arguments": "id"}, "arguments"),
        ({"limit": ""}, "limit"),
        ({"limit": "@/etc/passwd"}, "limit"),
        ({"nope": 1}, "nope"),
    ):
        answer = stage.rest.post("/ad-hoc", {**fine, **change})
        assert answer.status_code == 422 and field in answer.json["error"]["details"]["json"], change
    assert stage.rest.post("/ad-hoc", {**fine, "inventory_id": str(uuid.uuid4())}).status_code == 404
    assert stage.work.engine.all(sa.select(Job.id).where(Job.shard_id.is_(None))) == []


@pytest.mark.parametrize("stage", [{"adhoc_modules": ALLOWED}], indirect=True)
def test_a_key_of_its_own_reaches_the_host(stage, sshd):
    """The worker's own key is not known to this server, so a run without the credential must fail."""
    inventory = stage.inventory("ssh", {"one": {"vars": {**sshd, "ansible_port": sshd["ansible_port"] + 1}}})
    body = {
        "module": "ansible.builtin.command",
        "arguments": {"cmd": "id"},
        "inventory_id": inventory["id"],
        "limit": "one",
    }
    answer = stage.rest.post("/ad-hoc", body)
    job = stage.work.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    assert (job.state, job.reason) == ("failed", "host_failed: one (unreachable)")
    key = stage.rest.make("credentials", name="key", type="ssh_key", secret=(stage.path / "other-key").read_text())
    answer = stage.rest.post("/ad-hoc", {**body, "credentials": [key["id"]]})
    job = stage.work.ended(uuid.UUID(answer.json["jobs"][0]["id"]))
    assert job.state == "successful", stage.output(job)
