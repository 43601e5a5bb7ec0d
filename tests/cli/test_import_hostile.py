"""Exports that somebody damaged or means ill with: nothing is run, one bad item harms no other, fields are named."""

from __future__ import annotations

import copy
import json

import pytest

from tests.cli.awx_export import EXPORT, key, schedule, template
from tests.cli.test_import_awx import small
from tests.cli.test_import_semaphore import BACKUP
from tests.cli.test_import_semaphore import template as of_semaphore

EVIL = "{{ lookup('pipe', 'touch %s') }}"


def run(cli, source, path, document, code=0):
    """Import; return the items by their names in the export."""
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    done = cli.run("import", source, str(path), "--json", code=code)
    return {item["source"]: item for item in json.loads(done.stdout)["items"]}


@pytest.fixture
def file(tmp_path):
    return tmp_path / "export.json"


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is no JSON"),
        ("{", "is no JSON: line 1"),
        ("[]", "must hold an object"),
        ("null", "must hold an object"),
        ("{}", "nothing in it that could be imported"),
        ('{"other": 1}', "nothing in it that could be imported"),
        ('{"projects": [NaN]}', "NaN is no JSON value"),
        ('{"projects": [], "projects": []}', "stands twice"),
        ("[" * 100_000, "too deep"),
        ('{"a": ' + "[" * 70 + "]" * 70 + "}", "too deep"),
        ('{"projects": {}}', "projects: must be a list"),
        (b'{"projects": "\xff"}', "is no JSON"),
    ],
)
@pytest.mark.parametrize("source", ["awx", "semaphore"])
def test_what_is_no_export_is_refused(cli, file, source, text, reason):
    if source == "semaphore" and isinstance(text, str):
        text = text.replace("projects", "templates")
        reason = reason.replace("projects", "templates")
    file.write_bytes(text.encode() if isinstance(text, str) else text)
    done = cli.run("import", source, str(file), code=4)
    assert reason in done.stderr and "Traceback" not in done.stderr
    cli.run("import", source, str(file) + ".gone", code=2)


def test_a_wrong_type_is_named_and_harms_no_other_item(cli, file):
    wrong = {
        "playbook": 7, "forks": "many", "limit": ["web"], "diff_mode": "yes", "project": "Deployments",
        "job_type": "scan",
        "extra_vars": "- a list", "related": [], "verbosity": True, "job_tags": "{{ tags }}",
        "inventory": 5,
    }  # fmt: skip
    bad = [template(f"Bad {field}", **{field: value}) for field, value in wrong.items()]
    broken = template("Unclosed", extra_vars="{a: [")
    items = run(cli, "awx", file, small(job_templates=[*bad, broken, "text", {"name": 3}, template("Good")]), code=1)
    for number, field in enumerate(wrong):
        item = items.get(f"Bad {field}") or items[f"job_templates[{number}]"]
        assert item["action"] == "not carried over" and field in item["message"], item
    assert items["Unclosed"]["message"].startswith("template Unclosed, extra_vars")
    assert items[f"job_templates[{len(bad) + 1}]"]["message"] == f"job_templates[{len(bad) + 1}]: must be an object"
    assert items[f"job_templates[{len(bad) + 2}]"]["message"] == f"job_templates[{len(bad) + 2}].name: must be a text"
    assert items["Good"]["action"] == "created"


def test_paths_options_and_templates_stay_texts_or_are_refused(cli, file, tmp_path):
    evil = EVIL % (tmp_path / "owned")
    projects = [
        {"name": name, "scm_type": "git", "scm_url": url, "scm_branch": branch}
        for name, url, branch in (
            ("Helper", "ext::sh -c touch% /tmp/owned", "main"),
            ("Option", "--upload-pack=touch", "main"),
            ("Climb", "https://git.example.net/../../etc", "main"),
            ("Elsewhere", "https://attacker.example/x.git", "main"),
            ("Branch", "https://git.example.net/x.git", "--force"),
        )
    ]
    projects.append({"name": "Directory", "scm_type": "", "local_path": "../../etc"})
    templates = [
        template("Climb", playbook="../../../etc/shadow.yml"),
        template("Absolute", playbook="/etc/cron.d/x.yml"),
        template("Loaded", extra_vars=json.dumps({"text": evil, "ansible_connection": "local", "hostreeve_fence": 1})),
        template("File", limit="@/etc/passwd"),
        template("Name {{ 1 }} \x1b[2J\u202e", description="\x07" + "x" * 5000),
    ]
    document = small(projects=[EXPORT["projects"][0], *projects], job_templates=templates)
    items = run(cli, "awx", file, document, code=1)
    assert {name for name, item in items.items() if item["action"] == "created"} == {
        "Deployments", "Machines", "Loaded", templates[4]["name"]
    }  # fmt: skip
    assert "HOSTREEVE_GIT_URLS" in items["Elsewhere"]["message"] and items["Branch"]["message"].startswith("ref")
    assert items["Directory"]["message"].startswith("directory") and "playbook" in items["Absolute"]["message"]
    assert cli.json("templates", "show", "Loaded")["variables"] == {"text": evil}
    name = items[templates[4]["name"]]["name"]
    assert name == "Name {{ 1 }} [2J" and len(cli.json("templates", "show", name)["description"]) == 2000
    plain = cli.run("import", "awx", str(file), code=1)
    assert "\x1b" not in plain.stdout and "\u202e" not in plain.stdout
    assert not (tmp_path / "owned").exists()


def test_inventories_that_cannot_be(cli, file):
    def inventory(name, hosts=(), groups=(), text=""):
        related = {"hosts": list(hosts), "groups": list(groups)}
        return {"name": name, "kind": "", "variables": text, "natural_key": key("inventory", name), "related": related}

    def group(name, *children, hosts=()):
        inner = {"children": [{"name": child} for child in children], "hosts": [{"name": host} for host in hosts]}
        return {"name": name, "variables": "", "related": inner}

    bomb = "a: &a [1, 1]\n" + "".join(
        f"{b}: &{b} [{', '.join([f'*{a}'] * 9)}]\n" for a, b in zip("abcdefg", "bcdefgh", strict=True)
    )
    items = run(
        cli, "awx", file,
        {"inventory": [
            inventory("Circle", groups=[group("a", "b"), group("b", "a")]),
            inventory("Twins", hosts=[{"name": "Web_1"}, {"name": "web-1"}]),
            inventory("Bomb", text=bomb),
            inventory("Python", text="a: !!python/object/apply:os.system [id]"),
            inventory("Strange", hosts=[{"name": "..."}]),
            inventory("Reserved", groups=[group("hostreeve_api", hosts=["one"])], hosts=[{"name": "one"}]),
        ]}, code=1,
    )  # fmt: skip
    assert items["Circle"]["message"] == "group a contains itself"
    assert "would be called web-1" in items["Twins"]["message"] and "too large" in items["Bomb"]["message"]
    assert "Python" in items["Python"]["message"] and items["Strange"]["action"] == "not carried over"
    assert items["Reserved"]["action"] == "created"
    assert cli.json("inventories", "show", "Reserved")["groups"] == {"g_hostreeve_api": {"vars": {}}}


def test_texts_of_inventories_run_no_program_and_end(cli, file, tmp_path):
    owned = tmp_path / "owned"
    script = f"#!/bin/sh\ntouch {owned}\necho '{{}}'\n"
    plugin = "plugin: ansible.builtin.generator\nhosts: {name: '%s'}\nlayers: {}\n" % (EVIL % owned)
    inventories = [
        {"name": "Script", "type": "static", "inventory": script},
        {"name": "Plugin", "type": "static-yaml", "inventory": plugin},
        {"name": "Range", "type": "static", "inventory": "[web]\nweb[1:999999999]\n"},
        {"name": "Type", "type": "static", "inventory": 5},
        {
            "name": "Templates",
            "type": "static",
            "inventory": f'one text="{EVIL % owned}" ansible_host="{EVIL % owned}"',
        },
        {"name": "Fine", "type": "static", "inventory": "one text=" + json.dumps(EVIL % owned)},
    ]
    document = copy.deepcopy({**BACKUP, "inventories": inventories, "schedules": [], "templates": []})
    items = run(cli, "semaphore", file, document, code=1)
    for name in ("Script", "Plugin", "Range", "Type"):
        assert items[name]["action"] == "not carried over", items[name]
    assert items["Type"]["message"] == "inventories[3].inventory: must be a text"
    assert items["Fine"]["action"] == "created" and not owned.exists()
    # Where a host was reached by a template, nobody knows which machine it is.
    assert cli.json("inventories", "show", "Templates")["hosts"] == {}


def test_arguments_of_semaphore(cli, file):
    wrong = [
        '["--check"',
        '{"a": 1}',
        '["--forks", "x"]',
        '["@/etc/passwd"]',
        '["-e", "@/etc/passwd"]',
        '["--start-at-task=x"]',
    ]
    templates = [of_semaphore(f"T{number}", arguments=text) for number, text in enumerate(wrong)]
    items = run(cli, "semaphore", file, {**BACKUP, "templates": templates, "schedules": []}, code=1)
    for number in range(len(wrong)):
        assert items[f"T{number}"]["action"] == "not carried over" and "arguments" in items[f"T{number}"]["message"]


def test_rules_that_there_are_none_of(cli, file):
    wrong = {
        "Nothing": "",
        "No start": "RRULE:FREQ=DAILY",
        "No zone": "DTSTART:20300101T000000 RRULE:FREQ=DAILY",
        "Nowhere": "DTSTART;TZID=Mars/Olympus:20300101T000000 RRULE:FREQ=DAILY",
        "Path": "DTSTART;TZID=../../etc/passwd:20300101T000000 RRULE:FREQ=DAILY",
        "No day": "DTSTART:20300231T000000Z RRULE:FREQ=DAILY",
        "Seconds": "DTSTART:20300101T000000Z RRULE:FREQ=SECONDLY",
        "Easter": "DTSTART:20300101T000000Z RRULE:FREQ=YEARLY;BYEASTER=0",
        "Past": "DTSTART:20100101T000000Z RRULE:FREQ=DAILY;COUNT=3",
        "Of nobody": "DTSTART:20300101T000000Z RRULE:FREQ=DAILY",
    }
    schedules = [schedule(name, rule, of="Nobody" if name == "Of nobody" else "Deploy") for name, rule in wrong.items()]
    schedules += [{"name": "Loose", "rrule": "x"}, schedule("Good", "DTSTART:20300101T000000Z RRULE:FREQ=DAILY")]
    items = run(cli, "awx", file, small(schedules=schedules), code=1)
    for name in wrong:
        assert items[name]["action"] in ("not carried over", "failed", "blocked"), name
    assert "never fires" in items["Past"]["message"] and "Nobody" in items["Of nobody"]["message"]
    assert items["schedules[10]"]["action"] == "not carried over" and items["Good"]["action"] == "created"


def test_a_key_that_may_not_is_told_at_once(cli, server, file, tmp_path):
    other = tmp_path / "reader"
    other.write_text(server.issue("*:read"))
    other.chmod(0o600)
    file.write_text(json.dumps(small()))
    done = cli.run("--key-file", str(other), "import", "awx", str(file), code=5)
    assert "project:write" in done.stderr or "scope" in done.stderr
    assert cli.json("projects", "list") == []
