"""A real worker: processes are killed, hang and are drained; runs are real, with a local connection."""

from __future__ import annotations

import os
import signal
import time
import uuid
from collections.abc import Callable
from pathlib import Path

import pytest
import sqlalchemy as sa
from redis import Redis

from api.jobs.models import Job, JobHost, JobResource, Lease
from tests.jobs.working import Work, alive
from worker import processes

Make = Callable[[str], uuid.UUID]


def test_a_run_reports_and_inherits_no_secret(work: Work, fqdn: Make) -> None:
    work.go()
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    job = work.ended(job_id)
    assert (job.state, job.reason, job.resources, job.changed, job.failed) == ("successful", "", 1, 1, 0)
    assert not job.events_lost
    assert len(job.events_sha256) == 64
    hosts = work.engine.all(sa.select(JobHost).where(JobHost.job_id == job_id))
    assert [(host.host, host.failed, host.unreachable) for host in hosts] == [("lb1", 0, False)]
    rows = work.engine.all(sa.select(JobResource).where(JobResource.job_id == job_id))
    assert [(row.resource_id, row.host, row.changed) for row in rows] == [(id_, "lb1", True)]
    assert not work.engine.deliveries(node_id=work.engine.ids["lb1"])
    assert work.engine.all(sa.select(Lease.holder).where(Lease.host == "lb1")) == [None]
    inherited = (work.path / "environment").read_text()
    assert "ANSIBLE_CONFIG" in inherited
    assert "HOSTREEVE_" not in inherited.replace(f"{processes.MARK}=", "")
    assert work.settings.secret_key not in inherited
    assert not (work.settings.run_dir / "jobs" / str(job_id)).exists()


def test_what_comes_during_a_run_goes_with_the_next_one(work: Work, fqdn: Make) -> None:
    fqdn("first.other.example")
    first = work.engine.queued("lb-a").id
    work.publish(first)
    work.running(first)
    names = [fqdn(f"n{number}.other.example") for number in range(20)]
    second = work.engine.queued("lb-a").id
    work.publish(second)  # busy: stays queued, and nobody needs to ask again
    work.go()
    assert work.ended(first).resources == 1
    job = work.ended(second)
    assert (job.state, job.resources) == ("successful", 20)
    rows = work.engine.all(sa.select(JobResource.resource_id).where(JobResource.job_id == second))
    assert set(rows) == set(names)


@pytest.mark.parametrize("victim", ["run", "worker"])
def test_a_killed_run_takes_its_processes_along_and_is_done_again(work: Work, fqdn: Make, victim: str) -> None:
    fqdn("www.other.example")
    lost = work.engine.queued("lb-a").id
    work.publish(lost)
    run = work.running(lost)
    below = list(processes.descendants(run))
    assert below
    parent = int(Path(f"/proc/{run}/stat").read_text().rpartition(")")[2].split()[1])
    os.kill(run if victim == "run" else parent, signal.SIGKILL)
    # The play's own process dies with the one that watched it; a task under way may end by itself.
    work.until(lambda: not alive([run, below[-1]]), 10)
    work.go()
    assert work.ended(lost).state == "abandoned"
    again = work.until(lambda: work.engine.all(sa.select(Job).where(Job.state == "successful", Job.resources == 1)))
    assert again[0].shard_id == work.engine.ids["lb-a"]
    assert not work.engine.deliveries(node_id=work.engine.ids["lb1"])


def test_a_run_that_lost_its_lease_is_stopped(work: Work, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    run = work.running(job_id)
    below = list(processes.descendants(run))
    with work.engine.maker() as session, session.begin():
        session.execute(sa.update(Lease).where(Lease.host == "lb1").values(holder=uuid.uuid4(), token=Lease.token + 1))
    job = work.ended(job_id)
    assert job.state == "abandoned"
    work.until(lambda: not alive(below), 20)


@pytest.mark.parametrize("work", [{"job_timeout": 10}, {"idle_timeout": 10}], indirect=True)
def test_a_run_that_takes_too_long_fails_and_leaves_no_process(work: Work, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    run = work.running(job_id)
    below = list(processes.descendants(run))
    job = work.ended(job_id)
    assert job.state == "failed"
    assert job.reason == ("timeout" if work.settings.job_timeout == 10 else "idle_timeout")
    assert alive(below) == []
    delivery = work.engine.deliveries(resource_id=id_, node_id=work.engine.ids["lb1"])[0]
    assert (delivery.state, delivery.retry_at) == ("failed", None)
    assert "before it came to this host" in delivery.message


def test_sigterm_lets_the_run_end_and_takes_no_more(work: Work, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    work.running(job_id)
    work.process.terminate()
    time.sleep(1)
    assert work.process.exitcode is None
    work.go()
    work.process.join(60)
    assert work.process.exitcode == 0
    assert work.job(job_id).state == "successful"


def test_a_host_that_does_not_answer_fails_at_once_and_is_tried_again(work: Work, fqdn: Make) -> None:
    table = sa.table("node", sa.column("address"), sa.column("ssh_port"), sa.column("name"))
    with work.engine.maker() as session, session.begin():
        for number, name in enumerate(("web1", "web2")):
            # Nobody listens on the discard port.
            values = {"address": f"127.0.0.{number + 1}", "ssh_port": 9}
            session.execute(sa.update(table).where(table.c.name == name).values(values))
    id_ = fqdn("www.other.example")
    work.go()
    for shard in ("lb-a", "web-a"):
        work.publish(work.engine.queued(shard).id)
    status = work.until(lambda: (found := work.engine.status("fqdn", id_))[0] == "failed" and found)
    assert status[1].startswith("web1: does not answer")
    job = work.until(lambda: work.engine.all(sa.select(Job).where(Job.reason.startswith("host_failed"))))[0]
    assert job.reason == "host_failed: web1 (unreachable), web2 (unreachable)"
    hosts = work.engine.all(sa.select(JobHost.message).where(JobHost.job_id == job.id))
    assert all("Connection refused" in message for message in hosts)
    deliveries = [row for row in work.engine.deliveries(resource_id=id_) if row.retry_at]
    assert [row.tries for row in deliveries] == [1, 1]
    assert all("127.0.0" not in row.message for row in deliveries)


def test_a_flushed_queue_loses_no_work(work: Work, fqdn: Make) -> None:
    fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.go()
    work.publish(job_id)
    Redis.from_url(work.settings.redis_url).flushall()
    assert work.ended(job_id).state == "successful"
