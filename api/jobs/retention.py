"""Retention of jobs: what ended long ago goes, with its hosts, its resources and its files; and runs of workflows."""

from __future__ import annotations

import uuid
from datetime import timedelta

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.db import now
from api.jobs.models import READ, Delivery, Job
from api.jobs.steer import OVER
from api.plan.models import Plan
from api.workflow.models import WorkflowRun

#: Jobs that go in one transaction; what is left goes with the next purge.
MOST = 1000


#: Days after which operations that only read are forgotten, whatever the setting.
READS_DAYS = 1


def forget_reads(session: Session) -> list[uuid.UUID]:
    """Delete the jobs of operations that only read and have ended; return their ids."""
    old = sa.select(Job.id).where(
        Job.purpose == READ, Job.state.in_(OVER), Job.ended_at < now() - timedelta(days=READS_DAYS)
    )
    ids = list(session.scalars(old.order_by(Job.ended_at).limit(MOST)))
    session.execute(sa.delete(Job).where(Job.id.in_(ids)).execution_options(synchronize_session=False))
    return ids


def forget(session: Session, days: int) -> list[uuid.UUID]:
    """Delete jobs and runs of workflows that ended more than ``days`` days ago, if that is not 0; return the jobs' ids.

    A job whose failure a resource still waits with stays: it tells why. The audit keeps its record of each. Plans that
    nothing can become of any longer go as well.
    """
    if not days:
        return []
    told = sa.exists().where(Delivery.job_id == Job.id)
    old = sa.select(Job.id).where(Job.state.in_(OVER), Job.ended_at < now() - timedelta(days=days), ~told)
    ids = list(session.scalars(old.order_by(Job.ended_at).limit(MOST)))
    ended = sa.select(WorkflowRun.id).where(WorkflowRun.ended_at < now() - timedelta(days=days))
    ended = ended.order_by(WorkflowRun.ended_at).limit(MOST)
    session.execute(
        sa.delete(WorkflowRun).where(WorkflowRun.id.in_(ended)).execution_options(synchronize_session=False)
    )
    over = Plan.state.in_(("failed", "rejected", "applied", "stale"))
    session.execute(sa.delete(Plan).where(over, Plan.created_at < now() - timedelta(days=days)))
    if ids:
        session.execute(sa.delete(Job).where(Job.id.in_(ids)).execution_options(synchronize_session=False))
    return ids
