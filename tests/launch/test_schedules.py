"""Schedules, with real schedulers beside each other on both databases: once each, whatever happens."""

from __future__ import annotations

import os
import subprocess
import sys
import uuid
from datetime import UTC, datetime, timedelta

import pytest
import sqlalchemy as sa

from api.app import create_app
from api.auth.keys import issue
from api.core.audit import Audit
from api.core.settings import ROOT
from api.jobs.models import Job
from api.launch import schedules
from api.launch.kinds.schedule import Schedule
from api.launch.models import Firing, Launch
from tests.api.conftest import Rest
from worker import sweeper
from worker.context import Context

#: One scheduler: says when it is ready, waits for the word, and looks a few times.
LOOK = """
import sys, time
from api.core.settings import load
from worker.context import context_for
from worker.sweeper import fire_due
context = context_for(load())
with context.maker() as session:
    session.connection()
print("ready", flush=True)
sys.stdin.readline()
print(sum(fire_due(context) for _ in range(3)), flush=True)
"""


@pytest.fixture
def rest(engine):
    with engine.maker.begin() as session:
        key = issue(session, "operator", ["*"], ["*"])[1]
    return Rest(create_app(engine.settings), key)


@pytest.fixture
def context(engine):
    return Context(engine.settings, engine.maker.kw["bind"], engine.maker, engine.published.append)


@pytest.fixture
def template(rest):
    question = {"variable": "password", "question": "Secret?", "type": "password", "required": False}
    return rest.make("templates", name="Nightly", playbook="site.yml", ask=["limit"], survey=[question])


#: A secret of a schedule.
HUNTER = '{"password": "hunter22"}'


def make(rest, template, name="Every minute", rule="* * * * *", **fields):
    return rest.make("schedules", name=name, template_id=template["id"], rule=rule, **fields)


def back(engine, seconds, **where):
    """Let the next firing of schedules have been some time ago, to the minute; return when."""
    moment = (datetime.now(UTC) - timedelta(seconds=seconds)).replace(second=0, microsecond=0)
    with engine.maker.begin() as session:
        session.execute(
            sa.update(Schedule).filter_by(**where).values(next_at=moment, starts_at=datetime(2020, 1, 1, tzinfo=UTC))
        )
    return moment


def firings(engine, id_):
    found = engine.all(sa.select(Firing).where(Firing.schedule_id == uuid.UUID(id_)).order_by(Firing.fires_at))
    return [(row.result, row.job_id is not None) for row in found]


def test_three_schedulers_fire_once_each_and_so_does_one_after_a_restart(engine, rest, template):
    made = [make(rest, template, name=f"S{number}") for number in range(25)]
    back(engine, 1)
    env = {**os.environ, "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}"}
    env |= {f"HOSTREEVE_{name.upper()}": str(value) for name, value in vars(engine.settings).items()}

    def race() -> list[int]:
        started = [
            subprocess.Popen(
                [sys.executable, "-c", LOOK], env=env, stdin=-1, stdout=-1, stderr=subprocess.PIPE, text=True
            )
            for _ in range(3)
        ]
        for process in started:
            assert process.stdout.readline() == "ready\n", process.stderr.read()
        for process in started:
            process.stdin.write("go\n")
            process.stdin.flush()
        counts = []
        for process in started:
            out, errors = process.communicate(timeout=60)
            assert process.returncode == 0 and "did not fire" not in errors, errors
            counts.append(int(out))
        return counts

    race()
    assert engine.all(sa.select(sa.func.count()).select_from(Firing)) == [25]
    assert sorted(engine.all(sa.select(Launch.schedule_id))) == sorted(uuid.UUID(row["id"]) for row in made)
    assert all(firings(engine, row["id"]) == [("launched", True)] for row in made)
    times = engine.all(sa.select(Firing.fires_at))
    # Somebody puts the clock of the schedules back, as a restored backup would: what was fired is not fired again.
    with engine.maker.begin() as session:
        session.execute(sa.update(Schedule).values(next_at=min(times)))
    race()
    found = engine.all(sa.select(Firing))
    assert len({(row.schedule_id, row.fires_at) for row in found}) == len(found)
    fired = [row for row in found if row.job_id is not None]
    assert len(fired) == len(engine.all(sa.select(Launch)))
    assert min(engine.all(sa.select(Schedule.next_at))) > datetime.now(UTC) - timedelta(seconds=61)


def test_a_firing_is_a_launch_with_what_the_schedule_says(engine, rest, template, context):
    row = make(
        rest, template, parameters={"limit": "web"}, secret_answers='{"password": "hunter22"}', timezone="Asia/Tokyo"
    )
    assert datetime.fromisoformat(row["next_at"]) > datetime.now(UTC)
    assert sweeper.fire_due(context) == 0
    moment = back(engine, 1)
    assert sweeper.fire_due(context) == 1 == len(engine.published)
    launch = engine.all(sa.select(Launch))[0]
    assert (launch.limit, launch.requested_by, launch.secret_names) == ("web", "schedule Every minute", ["password"])
    assert launch.secrets == '{"password":"hunter22"}'
    listed = rest.get(f"/schedules/{row['id']}/firings").json["items"]
    assert [datetime.fromisoformat(item["fires_at"]) for item in listed] == [moment]
    assert listed[0]["job_id"] == rest.get(f"/launches?schedule_id={row['id']}").json["items"][0]["id"]
    assert engine.all(sa.select(Audit.result).where(Audit.action == "fire")) == ["launched"]
    now = rest.get(f"/schedules/{row['id']}").json
    assert now["revision"] == row["revision"] and datetime.fromisoformat(now["last_at"]) == moment


@pytest.mark.parametrize(("missed", "expected"), [("skip", [("missed", False)]), ("once", [("launched", True)])])
def test_what_nobody_was_there_to_fire(engine, rest, template, context, missed, expected):
    row = make(rest, template, rule="0 * * * *", missed=missed)
    back(engine, 86_400 * 3)
    with engine.maker.begin() as session:
        session.execute(
            sa.update(Schedule).values(rule="FREQ=HOURLY;BYMINUTE=%d" % ((datetime.now(UTC).minute - 30) % 60))
        )
    sweeper.fire_due(context)
    assert firings(engine, row["id"]) == expected
    assert engine.all(sa.select(Schedule.next_at))[0] > datetime.now(UTC)
    assert sweeper.fire_due(context) == 0


@pytest.mark.parametrize("overlap", ["skip", "queue"])
def test_a_launch_of_before_is_under_way(engine, rest, template, context, overlap):
    row = make(rest, template, overlap=overlap)
    first = back(engine, 61)
    with engine.maker.begin() as session:
        # As the sweeper of that minute did it.
        session.execute(sa.update(Schedule).values(next_at=first + timedelta(minutes=1)))
        job_id = uuid.uuid4()
        session.add(Job(id=job_id, playbook="site.yml", state="running"))
        session.flush()
        session.add(Launch(job_id=job_id, template_id=uuid.UUID(template["id"]), schedule_id=uuid.UUID(row["id"])))
    sweeper.fire_due(context)
    assert firings(engine, row["id"]) == [("overlapped", False) if overlap == "skip" else ("launched", True)]
    turns = engine.all(sa.select(Launch.turn_id).where(Launch.job_id != job_id))
    assert turns == ([] if overlap == "skip" else [uuid.UUID(row["id"])])
    if overlap == "queue":
        for number in range(schedules.MOST_WAITING + 2):
            with engine.maker.begin() as session:
                session.execute(sa.update(Schedule).values(next_at=first - timedelta(days=number)))
                session.execute(sa.delete(Firing))
            sweeper.fire_due(context)
        waiting = engine.all(
            sa.select(sa.func.count()).select_from(Job).where(Job.state == "queued", Job.shard_id.is_(None))
        )
        assert waiting == [schedules.MOST_WAITING]


def test_a_template_that_refuses_and_one_that_changed(engine, rest, template, context):
    row = make(rest, template, parameters={"limit": "web"})
    rest.patch(f"/templates/{template['id']}", {"ask": []})
    back(engine, 1)
    sweeper.fire_due(context)
    found = rest.get(f"/schedules/{row['id']}/firings").json["items"]
    assert found[0]["result"] == "refused" and "limit" in found[0]["message"] and found[0]["job_id"] is None
    assert engine.all(sa.select(sa.func.count()).select_from(Launch)) == [0]
    assert rest.delete(f"/templates/{template['id']}").json["error"]["details"]["has"] == ["schedules"]


def test_disabled_schedules_rest(engine, rest, template, context):
    row = make(rest, template, enabled=False)
    assert row["next_at"] is None
    row = rest.post(f"/schedules/{row['id']}/enable").json["resource"]
    assert row["enabled"] and row["next_at"] is not None
    back(engine, 1)
    row = rest.post(f"/schedules/{row['id']}/disable").json["resource"]
    assert row["next_at"] is None and sweeper.fire_due(context) == 0
    assert rest.delete(f"/schedules/{row['id']}").json["resource"]["status"] == "deleted"


def test_a_change_of_what_is_launched_does_not_move_the_firing(engine, rest, template):
    row = make(rest, template)
    moment = back(engine, 3600)
    assert (
        datetime.fromisoformat(
            rest.patch(f"/schedules/{row['id']}", {"parameters": {"limit": "lb"}}).json["resource"]["next_at"]
        )
        == moment
    )
    moved = rest.patch(f"/schedules/{row['id']}", {"timezone": "Asia/Tokyo"}).json["resource"]
    assert datetime.fromisoformat(moved["next_at"]) > datetime.now(UTC)


def test_previews(rest, template):
    row = make(
        rest, template, rule="30 2 * * *", timezone="Europe/Berlin", starts_at="2027-03-26T12:00:00Z", enabled=False
    )
    assert row["rule"] == "FREQ=DAILY;BYHOUR=2;BYMINUTE=30"
    shown = rest.get(f"/schedules/{row['id']}/preview").json
    assert len(shown["items"]) == 10 and shown["items"][:2] == [
        {"utc": "2027-03-27T01:30:00Z", "local": "2027-03-27T02:30:00+01:00"},
        {"utc": "2027-03-28T01:30:00Z", "local": "2027-03-28T03:30:00+02:00"},
    ]
    asked = "/schedules/preview?rule=30+2+*+*+*&timezone=Europe/Berlin&starts_at=2027-03-26T12:00:00Z"
    assert rest.get(asked).json == shown
    for query in ("rule=x", "rule=@daily&timezone=x", "timezone=UTC", "rule=@daily&nope=1"):
        assert rest.get(f"/schedules/preview?{query}").status_code == 422, query


def test_secrets_do_not_stand_in_the_open(rest, template):
    body = {
        "name": "x",
        "template_id": template["id"],
        "rule": "@daily",
        "parameters": {"answers": {"password": "hunter22"}},
    }
    answer = rest.post("/schedules", body)
    assert answer.status_code == 422 and "secret_answers" in answer.text and "hunter22" not in answer.text


def test_the_sweeper_fires_and_a_worker_runs(stage):
    stage.playbook("play.yml", "    - ansible.builtin.debug: {msg: 'by the clock'}\n")
    made = make(stage.rest, stage.template())
    back(stage.work.engine, 1)
    job_id = stage.work.until(lambda: stage.work.engine.all(sa.select(Launch.job_id)))[0]
    job = stage.work.ended(job_id)
    assert job.state == "successful" and "by the clock" in stage.output(job)
    assert firings(stage.work.engine, made["id"])[0] == ("launched", True)
