"""Ended jobs go after their time, with their files; what somebody still needs stays."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import sqlalchemy as sa

from api.core.db import now
from api.jobs.models import Job, JobHost, JobResource
from worker.context import context_for
from worker.sweeper import once

Make = Callable[[str], uuid.UUID]


def purge(engine: Any, data: Path, days: int) -> None:
    settings = replace(engine.settings, job_days=days, data_dir=data)
    once(context_for(settings), purging=True)


def jobs(engine: Any) -> set[uuid.UUID]:
    return set(engine.all(sa.select(Job.id)))


def test_jobs_go_after_their_days_and_what_is_needed_stays(engine: Any, fqdn: Make, tmp_path: Path) -> None:
    fqdn("www.other.example")
    done, failing = engine.claim("lb-a"), engine.claim("web-a")
    engine.report(done, engine.document(done), "lb1")
    engine.end(done)
    engine.fail(failing, "web1")
    engine.fail(failing, "web2")
    engine.end(failing, "host_failed: web1, web2")
    with engine.maker() as session, session.begin():
        session.execute(sa.update(Job).values(ended_at=now() - timedelta(days=10)))
    fqdn("new.other.example")
    waiting = engine.queued("lb-a").id
    folder = tmp_path / "jobs"
    folder.mkdir()
    for id_ in (done.job_id, failing.job_id):
        for what in ("events", "output"):
            (folder / f"{id_}.{what}").touch()
    before = jobs(engine)
    purge(engine, tmp_path, 0)
    purge(engine, tmp_path, 11)
    assert jobs(engine) == before
    purge(engine, tmp_path, 9)
    assert jobs(engine) == {failing.job_id, waiting, engine.queued("web-a").id}
    assert {file.stem for file in folder.iterdir()} == {str(failing.job_id)}
    for model in (JobHost, JobResource):
        assert not engine.all(sa.select(model).where(model.job_id == done.job_id))
