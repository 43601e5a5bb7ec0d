"""``hostctl import semaphore``: a project's backup against a real API; then again, and what an older backup holds."""

from __future__ import annotations

import copy
import json

import pytest

SECRET = "correct-horse-battery-staple"
INI = f"""
[web]
web[1:2].example.net weight=3
db1 ansible_host=10.0.0.21 ansible_password={SECRET} greeting="{{{{ lookup('pipe', 'touch OWNED') }}}}"

[blue:children]
web

[blue:vars]
colour=blue
port=80

[all:vars]
ntp=ntp.example.net
"""
YAML = f"""
all:
  hosts:
    one: {{ansible_port: 2222, listed: [1, {{deep: "{{% x %}}"}}], kept: !unsafe "{{{{ literal }}}}"}}
    two:
      hidden: !vault |
        $ANSIBLE_VAULT;1.1;AES256
        3631
      db_password: {SECRET}
"""


def template(name, **fields):
    base = {
        "name": name, "playbook": "site.yml", "repository": "Deployments", "inventory": "Machines", "app": "ansible",
        "type": "", "description": "", "arguments": "[]", "survey_vars": [], "vaults": [], "task_params": {},
        "autorun": False, "suppress_success_alerts": False, "allow_override_args_in_task": False,
    }  # fmt: skip
    return {**base, **fields}


def schedule(name, cron, of="Deploy", **fields):
    return {"name": name, "cron_format": cron, "template": of, "active": True, "type": "", "task_params": {}, **fields}


BACKUP = {
    "meta": {"name": "Shop", "alert": False, "max_parallel_tasks": 0, "type": ""},
    "keys": [
        {"name": "None", "type": "none"},
        {"name": "Fleet", "type": "ssh"},
        {"name": "Vault", "type": "login_password"},
    ],
    "repositories": [
        {"name": "Deployments", "git_url": "git@git.example.net:shop/deployments.git", "git_branch": "main",
         "ssh_key": "Fleet"},
        {"name": "Local", "git_url": "/srv/playbooks", "git_branch": "", "ssh_key": "None"},
    ],
    "inventories": [
        {"name": "Machines", "type": "static", "inventory": INI, "ssh_key": "Fleet", "become_key": "Vault"},
        {"name": "Others", "type": "static-yaml", "inventory": YAML, "ssh_key": "None"},
        {"name": "In the repository", "type": "file", "inventory": "inventory/hosts", "ssh_key": "None"},
        {"name": "Broken", "type": "static", "inventory": f"[web\nhost password={SECRET}", "ssh_key": "None"},
    ],
    "environments": [
        {"name": "Production", "json": json.dumps({"app": "shop", "hello": "{{ x }}", "api_key": SECRET}),
         "env": json.dumps({"AWS_PROFILE": SECRET})},
        {"name": "Empty", "json": "{}", "env": "{}", "password": None},
    ],
    "views": [{"title": "Everything", "position": 0}],
    "templates": [
        template(
            "Deploy", description="ours", environment="Production", survey_vars=[
                {"name": "release", "title": "Which?", "required": True, "type": "", "default_value": "v1"},
                {"name": "count", "title": "How many?", "required": False, "type": "int", "default_value": "3"},
                {"name": "zone", "title": "Where?", "required": False, "type": "enum",
                 "values": [{"name": "Here", "value": "here"}, {"name": "There", "value": "there"}]},
                {"name": "admin", "title": "Secret?", "type": "secret", "default_value": SECRET},
            ],
            arguments=json.dumps(["--check", "--diff", "-vv", "--forks=7", "-e", '{"more": [1]}', "-e", "one=two"]),
            task_params={"limit": ["blue", "!web2.example.net"], "tags": ["deploy"], "skip_tags": ["slow"],
                         "allow_override_limit": True, "allow_debug": True},
            vaults=[{"name": "prod", "vault_key": "Vault", "type": "password"}], allow_parallel_tasks=True,
            type="deploy", autorun=True,
        ),
        template("Other hosts", inventory="Others"),
        template("With a shell", app="bash"),
        template("With a file", inventory="In the repository"),
        template("Dangerous", arguments=json.dumps(["--vault-password-file=/etc/passwd", "--become"])),
        template("Local", repository="Local"),
        template("Everywhere", inventory=None),
    ],
    "schedules": [
        schedule("Nightly", "30 3 * * 1-5"),
        schedule("In Tokyo", "CRON_TZ=Asia/Tokyo 0 4 * * *", active=False),
        schedule("Often", "@every 1h"),
        schedule("With a limit", "0 1 * * *", task_params={"limit": "web"}),
    ],
    "integrations": [{"name": "From a push", "template": "Deploy", "auth_secret": "Vault", "aliases": ["abc"]}],
    "integration_aliases": [],
}  # fmt: skip


def imported(cli, path, document, *options, code=0):
    path.write_text(json.dumps(document))
    done = cli.run("import", "semaphore", str(path), *options, "--json", code=code)
    assert SECRET not in done.stdout + done.stderr
    return json.loads(done.stdout)


def actions(result):
    return {(item["kind"], item["source"]): item["action"] for item in result["items"]}


def told(result, what="notes"):
    return {note["where"]: note["what"] for note in result[what]}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "backup.json"


@pytest.fixture
def result(cli, file):
    """The import of the whole backup."""
    return imported(cli, file, BACKUP, "--timezone", "Europe/Berlin", code=1)


def test_everything_that_can_be_is_made_and_again_nothing_changes(cli, file, result):
    assert actions(result) == {
        ("projects", "Deployments"): "created",
        ("projects", "Local"): "not carried over",
        ("inventories", "Machines"): "created",
        ("inventories", "Others"): "created",
        ("inventories", "In the repository"): "not carried over",
        ("inventories", "Broken"): "not carried over",
        ("templates", "Deploy"): "created",
        ("templates", "Other hosts"): "created",
        ("templates", "With a shell"): "not carried over",
        ("templates", "With a file"): "blocked",
        ("templates", "Dangerous"): "not carried over",
        ("templates", "Local"): "blocked",
        ("templates", "Everywhere"): "not carried over",
        ("schedules", "Nightly"): "created",
        ("schedules", "In Tokyo"): "created",
        ("schedules", "Often"): "failed",
        ("schedules", "With a limit"): "not carried over",
    }
    messages = {item["source"]: item["message"] for item in result["items"]}
    assert messages["Broken"] == "Ansible cannot read it as INI"
    assert "--become, --vault-password-file" in messages["Dangerous"]
    assert messages["With a file"] == "needs the inventory In the repository, which is not carried over"
    again = imported(cli, file, BACKUP, "--timezone", "Europe/Berlin", code=1)
    assert again["changed"] is False and again["summary"]["unchanged"] == 7
    assert cli.json("credentials", "list") == []


def test_templates_are_as_they_were(cli, result):
    project = cli.json("projects", "show", "Deployments")
    assert (project["url"], project["ref"]) == ("ssh://git@git.example.net/shop/deployments.git", "main")
    made = cli.json("templates", "show", "Deploy")
    expected = {
        "project_id": project["id"], "playbook": "site.yml", "description": "ours", "check": True, "diff": True,
        "inventory_id": cli.json("inventories", "show", "Machines")["id"], "verbosity": 2, "forks": 7,
        "limit": "blue,!web2.example.net", "tags": ["deploy"], "skip_tags": ["slow"], "concurrency": "parallel",
        "variables": {"app": "shop", "hello": "{{ x }}", "more": [1], "one": "two"}, "ask": ["limit", "verbosity"],
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    asked = {question["variable"]: question for question in made["survey"]}
    assert (asked["release"]["default"], asked["release"]["required"]) == ("v1", True)
    assert (asked["count"]["type"], asked["count"]["default"]) == ("integer", 3)
    assert (asked["zone"]["type"], asked["zone"]["choices"]) == ("choice", ["here", "there"])
    assert (asked["admin"]["type"], asked["admin"]["default"]) == ("password", None)
    assert cli.json("templates", "show", "Other hosts")["concurrency"] == "queue"


def test_inventories_are_read_by_ansible_and_nothing_is_evaluated(cli, result, tmp_path):
    machines = cli.json("inventories", "show", "Machines")
    evil = "{{ lookup('pipe', 'touch OWNED') }}"
    assert machines["hosts"] == {
        "web1.example.net": {"groups": ["blue", "web"], "vars": {"weight": 3}},
        "web2.example.net": {"groups": ["blue", "web"], "vars": {"weight": 3}},
        "db1": {"groups": ["blue", "web"], "vars": {"ansible_host": "10.0.0.21", "greeting": evil}},
    }
    assert machines["groups"] == {"web": {"vars": {}}, "blue": {"vars": {"colour": "blue", "port": 80}}}
    assert machines["variables"] == {"ntp": "ntp.example.net"}
    others = cli.json("inventories", "show", "Others")
    listed = [1, {"deep": "{% x %}"}]
    assert others["hosts"] == {
        "one": {"groups": [], "vars": {"ansible_port": 2222, "listed": listed, "kept": "{{ literal }}"}},
        "two": {"groups": [], "vars": {}},
    }
    assert not list(tmp_path.rglob("OWNED"))


def test_schedules_fire_as_they_did(cli, result):
    nightly = cli.json("schedules", "show", "Nightly")
    assert nightly["rule"] == "FREQ=DAILY;BYHOUR=3;BYMINUTE=30;BYDAY=MO,TU,WE,TH,FR"
    assert (nightly["timezone"], nightly["enabled"]) == ("Europe/Berlin", True)
    tokyo = cli.json("schedules", "show", "In Tokyo")
    assert (tokyo["timezone"], tokyo["enabled"], tokyo["next_at"]) == ("Asia/Tokyo", False, None)


def test_what_is_left_out_is_listed(result):
    secrets = told(result, "secrets")
    for where in (
        "key Fleet",
        "key Vault",
        "inventory Machines, ssh_key Fleet",
        "inventory Machines, become_key Vault",
        "inventory Machines, host db1, variable ansible_password",
        "inventory Others, host two, variable hidden",
        "inventory Others, host two, variable db_password",
        "environment Production, AWS_PROFILE",
        "template Deploy, variable api_key",
        "template Deploy, question admin",
        "template Deploy, vault Vault",
    ):
        assert where in secrets, where
    assert "key None" not in secrets
    notes = told(result)
    for where in ("template Deploy, variable hello", "inventory Machines, host db1, variable greeting"):
        assert "holds a template" in notes[where]
    for where in ("template Deploy, autorun", "integration From a push", "view Everything"):
        assert notes[where] == "is not carried over"


def test_an_older_backup(cli, file):
    """Schedules stand in templates, surveys are texts, and there is no app."""
    old = copy.deepcopy(
        {**BACKUP, "inventories": BACKUP["inventories"][1:2], "repositories": BACKUP["repositories"][:1]}
    )
    del old["schedules"], old["integrations"]
    one = template("Deploy", inventory="Others", cron="0 4 * * *", vault_key="Vault",
                   survey_vars=json.dumps([{"name": "release", "title": "Which?", "type": ""}]))  # fmt: skip
    del one["app"], one["task_params"], one["vaults"]
    old["templates"] = [one]
    result = imported(cli, file, old)
    assert result["summary"] == {"created": 4} and "template Deploy, vault Vault" in told(result, "secrets")
    made = cli.json("schedules", "list")[0]
    assert (made["name"], made["rule"]) == ("Deploy: 0 4 * * *", "FREQ=DAILY;BYHOUR=4;BYMINUTE=0")
    assert cli.json("templates", "show", "Deploy")["survey"][0]["variable"] == "release"
    assert imported(cli, file, old)["summary"] == {"unchanged": 4}
