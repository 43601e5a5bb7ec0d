"""Cancel and relaunch: what is told to whom, and that nothing of a canceled run lives on."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.errors import ApiError
from api.jobs import steer
from api.jobs.finish import abandon
from api.jobs.models import Job, Lease
from tests.jobs.working import HEAD, Work, alive
from worker import processes, sweeper
from worker.context import Context

Make = Callable[[str], uuid.UUID]

#: A task that leaves its session, its group and its parent, and does not listen to SIGTERM.
STUBBORN = """
    - name: Leave a process behind
      ansible.builtin.shell: |
        setsid setsid sh -c 'trap "" TERM; echo $$ > {work}/left; while :; do sleep 1; done' > /dev/null 2>&1 &
    - name: Hang
      ansible.builtin.shell: 'trap "" TERM; touch {work}/environment; while :; do sleep 1; done'
"""


def cancel(engine: Any, job_id: uuid.UUID, who: str = "portal") -> Job:
    with engine.transaction() as session:
        job = session.get_one(Job, job_id)
        steer.cancel(session, job, who)
        return job


def relaunch(engine: Any, job_id: uuid.UUID, failed_only: bool = False) -> list[Job]:
    with engine.transaction() as session:
        return steer.relaunch(session, session.get_one(Job, job_id), failed_only)


def test_a_job_that_waits_is_canceled_at_once_and_says_so_on_what_waited(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    job_id = engine.queued("web-a").id
    assert cancel(engine, job_id).state == "canceled"
    assert {(row.state, row.message) for row in engine.deliveries(shard_id=engine.ids["web-a"])} == {
        ("failed", "canceled by portal")
    }
    engine.run("lb-a")
    assert engine.status("fqdn", id_) == ("failed", "web1: canceled by portal; web2: canceled by portal")
    with pytest.raises(ApiError) as refusal:
        cancel(engine, job_id)
    assert refusal.value.status == 409
    engine.retry("fqdn", id_)
    engine.run("web-a")
    assert engine.status("fqdn", id_) == ("active", "")


def test_a_change_after_the_cancel_is_carried(engine: Any, fqdn: Make) -> None:
    fqdn("one.other.example")
    cancel(engine, engine.queued("web-a").id)
    later = fqdn("two.other.example")
    engine.settle_all()
    assert engine.status("fqdn", later) == ("active", "")


def test_a_canceled_run_that_vanishes_is_not_done_again(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    taken = engine.claim("web-a")
    assert cancel(engine, taken.job_id).state == "running"
    with engine.transaction() as session:
        abandon(session, taken.job_id, "lease_expired")
    assert engine.queued("web-a") is None
    engine.run("lb-a")
    assert engine.status("fqdn", id_)[0] == "failed"
    assert "canceled by portal" in engine.status("fqdn", id_)[1]


def test_relaunch_sends_what_the_job_carried_in_its_present_form(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    first = engine.queued("web-a").id
    with pytest.raises(ApiError):
        relaunch(engine, first)
    engine.settle_all()
    assert [job.shard_id for job in relaunch(engine, first)] == [engine.ids["web-a"]]
    assert engine.status("fqdn", id_)[0] == "provisioning"
    assert {row.node_id for row in engine.deliveries(resource_id=id_)} == {engine.ids["web1"], engine.ids["web2"]}
    engine.settle_all()
    assert engine.status("fqdn", id_) == ("active", "")
    engine.delete("fqdn", id_)
    engine.settle_all()
    assert relaunch(engine, first) == []


def test_relaunch_of_what_failed_leaves_the_rest_alone(engine: Any, fqdn: Make) -> None:
    good, bad = fqdn("good.other.example"), fqdn("bad.other.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    engine.report(taken, document, "web1", failed={bad: "disk full"})
    engine.report(taken, document, "web2")
    engine.end(taken)
    relaunch(engine, taken.job_id, failed_only=True)
    assert [(row.resource_id, row.node_id) for row in engine.deliveries(shard_id=engine.ids["web-a"])] == [
        (bad, engine.ids["web1"])
    ]
    engine.settle_all()
    assert {engine.status("fqdn", id_) for id_ in (good, bad)} == {("active", "")}


def stubborn(work: Work) -> None:
    play = (HEAD + STUBBORN).format(work=work.path, python=sys.executable)
    (work.path / "playbooks" / "converge.yml").write_text(play)


def test_canceled_means_that_no_process_of_the_run_lives(work: Work, fqdn: Make) -> None:
    stubborn(work)
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    run = work.running(job_id)
    below = [*processes.descendants(run), int((work.path / "left").read_text())]
    assert len(alive(below)) > 3
    assert cancel(work.engine, job_id).state == "running"
    for _ in range(1200):
        # The hosts stay leased for as long as anything of the run could touch them.
        held = work.engine.all(sa.select(Lease.holder).where(Lease.host == "lb1"))
        assert held == [job_id] or not alive(below)
        if not alive(below):
            break
        time.sleep(0.05)
    work.ended(job_id)
    assert alive(below) == []
    assert str(job_id) not in processes.marked().values()
    job = work.job(job_id)
    assert (job.state, job.reason, job.canceled_by) == ("canceled", "canceled", "portal")
    assert work.engine.all(sa.select(Lease.holder).where(Lease.host == "lb1")) == [None]
    assert work.engine.deliveries(resource_id=id_, node_id=work.engine.ids["lb1"])[0].message == "canceled by portal"


def test_what_a_killed_run_left_behind_is_killed_once_the_run_has_ended(work: Work, fqdn: Make) -> None:
    stubborn(work)
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    run = work.running(job_id)
    left = int((work.path / "left").read_text())
    os.kill(run, signal.SIGKILL)
    assert work.ended(job_id).state == "abandoned"
    work.until(lambda: not alive([left]), 20)


def test_processes_of_another_platform_are_left_alone(engine: Any, tmp_path: Path) -> None:
    stranger = subprocess.Popen(["sleep", "60"], env={**os.environ, processes.MARK: str(uuid.uuid4())})
    try:
        while stranger.pid not in processes.marked():  # its environment is there a moment after it
            assert stranger.poll() is None
        context = Context(engine.settings, engine.maker.kw["bind"], engine.maker, engine.published.append)
        assert sweeper.reap(context) == 0
        assert stranger.poll() is None
    finally:
        stranger.kill()
        stranger.wait()
