"""Templates from the command line: the survey in a terminal, the job followed live by a real worker, its exit code."""

from __future__ import annotations

import json
import os
import pty
import subprocess
import sys
import time

import pytest

from tests.cli.conftest import ROOT
from tests.launch.conftest import LOCAL

PLAY = (
    LOCAL.format(hosts="all", python=sys.executable)
    + """
    - ansible.builtin.debug: {msg: "{{ who }} of {{ many | default('none') }} {{ parts | default([]) | join('+') }}"}
    - ansible.builtin.assert: {that: "secret | default('right one') == 'right one'"}
      no_log: true
"""
)
SURVEY = [
    {"variable": "who", "question": "Who?", "min": 2},
    {"variable": "many", "question": "How many?", "type": "integer", "default": 3},
    {"variable": "parts", "question": "Which?", "type": "multiple_choice", "choices": ["a", "b"], "required": False},
    {"variable": "secret", "question": "Secret?", "type": "password", "required": False},
]


@pytest.fixture
def worker_process(server, cli, tmp_path):
    """A real worker, with a project directory of ours."""
    (tmp_path / "projects" / "app").mkdir(parents=True)
    (tmp_path / "projects" / "app" / "play.yml").write_text(PLAY)
    for name in ("key", "known_hosts"):
        (tmp_path / name).touch()
    changes = {"PROJECTS": "projects", "SSH_KEY": "key", "SSH_KNOWN_HOSTS": "known_hosts"}
    env = {**server.env, **{f"HOSTREEVE_{name}": str(tmp_path / path) for name, path in changes.items()}}
    env["HOSTREEVE_SWEEP_SECONDS"] = "1"
    with (tmp_path / "worker.log").open("w") as log:
        process = subprocess.Popen([sys.executable, "-m", "worker"], cwd=ROOT, env=env, stdout=log, stderr=log)
    yield
    process.terminate()
    process.wait(30)
    print((tmp_path / "worker.log").read_text()[-2000:])


@pytest.fixture
def template(cli, tmp_path):
    (tmp_path / "survey.yml").write_text(json.dumps(SURVEY))
    cli.make("projects", name="app", source="directory", directory="app")
    cli.make("inventories", name="mine", source="static", hosts='one={"groups": ["g"]}')
    cli.run(
        "templates", "create", "--name", "Greet", "--playbook", "play.yml", "--project", "app", "--inventory", "mine",
        "--survey-file", str(tmp_path / "survey.yml"), "--ask", "limit", "--ask", "variables",
    )  # fmt: skip
    return cli.json("templates", "show", "Greet")


def test_a_launch_is_followed_and_ends_as_the_job(cli, worker_process, template):
    assert [question["variable"] for question in template["survey"]] == ["who", "many", "parts", "secret"]
    done = cli.run("templates", "launch", "Greet", "-a", "who=you", "-a", "parts=a,b", "--limit", "g")
    assert "one: ok" in done.stdout and "successful" in done.stdout
    job = cli.json("launches", "list")[0]
    assert job["variables"] == {"who": "you", "many": 3, "parts": ["a", "b"]} and job["limit"] == "g"
    assert "you of 3 a+b" in cli.run("jobs", "output", job["id"]).stdout
    failed = cli.run(
        "templates", "launch", "Greet", "-a", "who=you", "--answers-file", "-", stdin="secret: wrong", code=1
    )
    assert "host_failed: one" in failed.stderr
    assert "wrong" not in failed.stdout
    again = cli.json("templates", "launch", "Greet", "-a", "who=you", "--no-wait")
    assert again["resource"]["state"] == "queued" and len(again["jobs"]) == 1


def test_what_is_refused_is_said(cli, template):
    refused = cli.run("templates", "launch", "Greet", code=4)
    assert "who" in refused.stderr and "must be answered" in refused.stderr
    assert "tags" in cli.run("templates", "launch", "Greet", "-a", "who=you", "--tag", "x", code=4).stderr
    assert "secret" in cli.run("templates", "launch", "Greet", "-a", "secret=x", code=2).stderr
    assert "many" in cli.run("templates", "launch", "Greet", "-a", "many=x", code=2).stderr
    cli.run("templates", "launch", "Nobody", code=3)
    cli.run("ad-hoc", "ansible.builtin.shell", "cmd=id", "--limit", "all", code=4)
    assert cli.json("jobs", "list") == []
    assert cli.json("templates", "copy", "Greet", "Other")["resource"]["survey"] == template["survey"]
    assert [row["name"] for row in cli.json("templates", "list", "--sort", "name")] == ["Greet", "Other"]


def test_the_survey_is_asked_in_a_terminal(cli, template):
    main, other = pty.openpty()
    command = [sys.executable, "-m", "hostctl", "templates", "launch", "Greet", "--no-wait", "--json"]
    with subprocess.Popen(command, cwd=ROOT, env={**cli.env, "TERM": "dumb"}, stdin=other, stderr=other,
                          stdout=subprocess.PIPE, start_new_session=True) as process:  # fmt: skip
        os.close(other)
        seen = ""
        answers = [("Who?", "me"), ("How many?", "x"), ("How many?", "7"), ("Which?", "b"), ("Secret?", "hidden one")]
        for question, typed in answers:
            start = len(seen)
            end = time.monotonic() + 30
            while question not in seen[start:]:
                assert time.monotonic() < end, seen
                seen += os.read(main, 4096).decode()
            os.write(main, f"{typed}\n".encode())
        out, _ = process.communicate(timeout=30)
        assert process.returncode == 0, seen
    resource = json.loads(out)["resource"]
    assert resource["variables"] == {"who": "me", "many": 7, "parts": ["b"], "secret": "***"}
    assert "hidden one" not in seen and "This is no integer" in seen
    os.close(main)


def test_schedules_and_a_file_that_describes_it_all(cli, tmp_path):
    document = {
        "inventories": [{"name": "mine", "source": "static", "hosts": {"one": {"vars": {"list": [1, {"a": "b"}]}}}}],
        "templates": [{"name": "Greet", "playbook": "site.yml", "survey": SURVEY, "inventory": "mine"}],
        "schedules": [{"name": "Nightly", "template": "Greet", "rule": "FREQ=DAILY;BYHOUR=2;BYMINUTE=30",
                       "timezone": "Europe/Berlin", "parameters": {"answers": {"who": "you"}}}],
    }  # fmt: skip
    file = tmp_path / "launch.yml"
    file.write_text(json.dumps(document))
    cli.run("apply", "-f", str(file))
    assert cli.json("apply", "-f", str(file))["changed"] == 0
    shown = cli.json("schedules", "preview", "Nightly")
    assert len(shown) == 10 and all(row["local"][11:16] in ("02:30", "03:30") for row in shown)
    assert cli.json("schedules", "firings", "Nightly") == []
    assert cli.json("schedules", "disable", "Nightly")["resource"]["next_at"] is None
    cli.run("schedules", "create", "--name", "By cron", "--template", "Greet", "--rule", "0 4 * * 1-5",
            "--parameters", 'answers={"who": "you"}')  # fmt: skip
    assert cli.json("schedules", "show", "By cron")["rule"] == "FREQ=DAILY;BYHOUR=4;BYMINUTE=0;BYDAY=MO,TU,WE,TH,FR"
