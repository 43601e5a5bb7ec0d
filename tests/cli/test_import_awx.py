"""``hostctl import awx``: an export as awxkit writes it, against a real API; then again, and with what goes wrong."""

from __future__ import annotations

import copy
import json

import pytest

from tests.cli.awx_export import EXPORT, SECRET, key, template


def imported(cli, path, document, *options, code=0):
    path.write_text(json.dumps(document))
    done = cli.run("import", "awx", str(path), *options, "--json", code=code)
    assert SECRET not in done.stdout + done.stderr and SECRET.replace(" ", "-") not in done.stdout + done.stderr
    return json.loads(done.stdout)


def actions(result):
    return {(item["kind"], item["source"]): item["action"] for item in result["items"]}


def told(result, what="notes"):
    return {note["where"]: note["what"] for note in result[what]}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "export.json"


@pytest.fixture
def result(cli, file):
    """The import of the whole export."""
    return imported(cli, file, EXPORT, code=1)


def test_everything_that_can_be_is_made_and_again_nothing_changes(cli, file, result):
    assert actions(result) == {
        ("projects", "Deployments"): "created",
        ("projects", "Old"): "not carried over",
        ("inventories", "Machines"): "created",
        ("inventories", "Cloud"): "not carried over",
        ("inventories", "No hosts: choose at launch"): "created",
        ("templates", "Deploy"): "created",
        ("templates", "No inventory"): "created",
        ("templates", "On cloud"): "blocked",
        ("templates", "From svn"): "blocked",
        ("templates", "By pattern"): "not carried over",
        ("templates", "Branched"): "not carried over",
        ("schedules", "Nightly"): "created",
        ("schedules", "Hourly"): "created",
        ("schedules", "Never on holidays"): "not carried over",
        ("schedules", "Cleanup"): "not carried over",
        ("workflow", "Roll out"): "not carried over",
        ("inventory source", "ec2"): "not carried over",
    }
    messages = {item["source"]: item["message"] for item in result["items"]}
    assert "Cloud" in messages["On cloud"] and "Old" in messages["From svn"]
    assert "~web.*" in messages["By pattern"] and "scm_branch" in messages["Branched"]
    assert "EXRULE" in messages["Never on holidays"]
    before = {
        plural: cli.json(plural, "list", "--all") for plural in ("projects", "inventories", "templates", "schedules")
    }
    again = imported(cli, file, EXPORT, code=1)
    assert again["changed"] is False and again["summary"].get("unchanged") == 7 and "created" not in again["summary"]
    assert {plural: cli.json(plural, "list", "--all") for plural in before} == before
    assert cli.json("credentials", "list") == []


def test_projects_and_templates_are_as_they_were(cli, result):
    project = cli.json("projects", "show", "Deployments")
    assert (project["url"], project["ref"]) == ("https://git.example.net/deployments.git", "stable")
    made = cli.json("templates", "show", "Deploy")
    inventory = cli.json("inventories", "show", "Machines")
    expected = {
        "project_id": project["id"], "inventory_id": inventory["id"], "playbook": "site.yml", "limit": "web-2:db1",
        "tags": ["deploy", "config"], "skip_tags": ["slow"], "check": True, "diff": True, "verbosity": 4, "forks": 7,
        "timeout": 600, "concurrency": "parallel", "credentials": [],
        "variables": {"app": "shop", "greeting": "hello {{ who }}"}, "ask": ["variables", "limit", "check"],
    }  # fmt: skip
    assert {name: made[name] for name in expected} == expected
    asked = {question["variable"]: question for question in made["survey"]}
    assert list(asked) == ["release", "count", "zones", "colour", "admin"]
    assert (asked["release"]["min"], asked["release"]["max"], asked["release"]["default"]) == (1, 40, "v1")
    assert (asked["count"]["type"], asked["count"]["default"], asked["count"]["required"]) == ("integer", 3, False)
    assert asked["zones"]["choices"] == ["a", "b", "c"] and asked["zones"]["default"] == ["a", "b"]
    assert asked["colour"]["type"] == "choice" and asked["admin"]["type"] == "password"
    assert asked["admin"]["default"] is None
    nobody = cli.json("templates", "show", "No inventory")
    assert nobody["concurrency"] == "queue" and nobody["ask"] == ["inventory_id"]
    assert cli.json("inventories", "show", nobody["inventory_id"])["hosts"] == {}


def test_an_inventory_keeps_what_each_host_has(cli, result):
    made = cli.json("inventories", "show", "Machines")
    # The inner group wins there; flat groups would be taken by name.
    groups = ["all_web", "blue"]
    assert made["hosts"] == {
        "web1": {"groups": groups, "vars": {"ansible_host": "10.0.0.11", "weight": 3}},
        "web-2": {"groups": groups, "vars": {"ansible_host": "10.0.0.12"}},
        "web3.example.net": {"groups": [], "vars": {"ansible_host": "WEB3.example.net"}},
        "db1": {"groups": [], "vars": {"token_ttl": 60}},
    }
    assert made["groups"] == {"all_web": {"vars": {"port": 80, "tier": "outer"}}, "blue": {"vars": {"tier": "inner"}}}
    assert made["variables"] == {"ntp": "ntp.example.net", "banner": "Welcome to {{ inventory_hostname }}"}


def test_schedules_fire_as_they_did(cli, result):
    nightly = cli.json("schedules", "show", "Nightly")
    # Until 03:30 in Berlin, where it is summer on that day.
    assert nightly["rule"] == "FREQ=WEEKLY;INTERVAL=1;BYDAY=MO,FR;UNTIL=20350701T033000"
    assert (nightly["timezone"], nightly["starts_at"][:16]) == ("Europe/Berlin", "2030-01-15T02:30")
    shown = [row["local"] for row in cli.json("schedules", "preview", "Nightly")]
    assert shown[0] == "2030-01-18T03:30:00+01:00" and {text[11:19] for text in shown} == {"03:30:00"}
    hourly = cli.json("schedules", "show", "Hourly")
    assert (hourly["enabled"], hourly["rule"], hourly["timezone"]) == (False, "FREQ=HOURLY;INTERVAL=2", "UTC")
    assert hourly["parameters"] == {
        "limit": "web-2", "check": True, "answers": {"release": "v2", "colour": "green"}, "variables": {"more": 1}
    }  # fmt: skip


def test_what_is_left_out_is_listed(result):
    secrets = told(result, "secrets")
    for where in (
        "credential Fleet",
        "project Deployments, address",
        "project Deployments, credential Git",
        "inventory Machines, host db1, variable ansible_password",
        "inventory Machines, host db1, variable api_token",
        "template Deploy, credential Fleet",
        "template Deploy, variable db_password",
        "template Deploy, question admin",
        "template Deploy, webhook",
        "schedule Hourly, answer admin",
    ):
        assert where in secrets, where
    notes = told(result)
    for where, what in {
        "inventory Machines, host Web_2": "is called web-2 here",
        "inventory Machines, group all-web": "is called all_web here",
        "inventory Machines, host gone": "is disabled",
        "inventory Machines, host App_9": "another machine",
        "inventory Machines, host app10": "another machine",
        "inventory Machines, host WEB3.example.net, variable ansible_user": "its value is not allowed",
        "inventory Machines, host Web_2, variable MyVar": "names are lower-case",
        "inventory Machines, host Web_2, variable ansible_connection": "not for users to set",
        "inventory Machines, variable banner": "holds a template",
        "template Deploy, variable greeting": "holds a template",
        "template Deploy, become_enabled": "say become in the playbook",
        "template Deploy, ask_labels_on_launch": "not carried over",
        "template Deploy, labels prod": "not carried over",
        "template No inventory": "has no inventory",
        "user anna": "not carried over",
    }.items():
        assert what in notes[where], where


def test_people_read_it_as_lines(cli, file):
    file.write_text(json.dumps(EXPORT))
    done = cli.run("import", "awx", str(file), "--dry-run", code=1)
    assert "would create  template  Deploy" in done.stdout
    assert "Secrets, which no export holds, to be made by hand:" in done.stdout
    assert "  template Deploy, credential Fleet: make it" in done.stdout
    assert "10 of 17 are not carried over." in done.stderr
    assert cli.json("projects", "list") == []


def small(**lists):
    """Return an export with a project, an inventory and a template that can be carried over."""
    document = {
        "projects": [EXPORT["projects"][0]],
        "inventory": [EXPORT["inventory"][0]],
        "job_templates": [template("Deploy")],
    }
    return copy.deepcopy({**document, **lists})


def test_an_export_that_is_wholly_carried_over_ends_well(cli, file):
    assert imported(cli, file, small())["summary"] == {"created": 3}
    assert imported(cli, file, small())["summary"] == {"unchanged": 3}
    cli.run("templates", "update", "Deploy", "--forks", "3")
    again = imported(cli, file, small(), code=1)
    (item,) = [item for item in again["items"] if item["action"] == "differs"]
    assert item["source"] == "Deploy" and item["message"].endswith("forks")
    assert cli.json("templates", "show", "Deploy")["forks"] == 3
    assert imported(cli, file, small(), "--prefix", "old ")["summary"] == {"created": 3}
    assert [row["name"] for row in cli.json("templates", "list", "--sort", "name")] == ["Deploy", "old Deploy"]


def test_one_name_in_two_organizations_and_names_that_are_too_long(cli, file):
    other = {"name": "Other", "type": "organization"}
    names = [
        template("Deploy"),
        template("Deploy", natural_key=key("job_template", "Deploy", other)),
        template("x" * 300),
    ]
    result = imported(cli, file, small(job_templates=names))
    made = sorted(item["name"] for item in result["items"] if item["kind"] == "templates")
    assert made[:2] == ["Default / Deploy", "Other / Deploy"] and len(made[2]) == 100
    assert imported(cli, file, small(job_templates=names))["changed"] is False


def test_what_stands_by_that_name_is_used(cli, file):
    cli.make("inventories", name="Cloud", source="constructed", filter='roles=["web"]')
    result = imported(cli, file, small(job_templates=[template("On cloud", inventory=key("inventory", "Cloud"))]))
    assert actions(result)["templates", "On cloud"] == "created"
    found = cli.json("inventories", "show", "Cloud")["id"]
    assert cli.json("templates", "show", "On cloud")["inventory_id"] == found
