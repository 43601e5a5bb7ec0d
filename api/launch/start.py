"""A launch begins: the job and what it runs, in the caller's transaction."""

from __future__ import annotations

import uuid
from typing import Any

import orjson
import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.plugin_utils.document import HOST
from sqlalchemy.orm import Session

from api.core.errors import conflict, not_found
from api.core.kind import registry
from api.jobs.models import Job, JobHost
from api.jobs.sql import is_postgresql
from api.launch.body import merged
from api.launch.models import Launch
from api.launch.parts import credentials_of

LIVE = ("queued", "running")
#: Fields that a launch again takes over.
SAME = (
    "template_id", "template", "schedule_id", "turn_id", "module", "arguments", "playbook", "project_id",
    "inventory_id", "limit", "tags", "skip_tags", "become", "check", "diff", "verbosity", "forks", "timeout", "queue",
    "credentials", "variables", "secret_names", "secrets",
)  # fmt: skip


def launch(
    session: Session,
    template: Any,
    body: dict[str, Any],
    who: str,
    *,
    schedule_id: Any = None,
    turn_id: Any = None,
    workflow_run_id: Any = None,
    check: bool = False,
) -> tuple[Job, Launch]:
    """Queue a launch of a template; ``who`` asked for it. ``check``: in check mode, whatever the template says.

    ApiError: 422 names what may not be set and what was answered wrongly, 409 if the template refuses a second launch,
    or any without an approved plan.
    """
    if not check:
        _must_not_need_plan(template.id, template.approval)
    return prepared(
        session,
        template,
        body,
        who,
        schedule_id=schedule_id,
        turn_id=turn_id,
        workflow_run_id=workflow_run_id,
        fixed={"check": True} if check else None,
    )


def prepared(
    session: Session,
    template: Any,
    body: dict[str, Any],
    who: str,
    *,
    schedule_id: Any = None,
    turn_id: Any = None,
    workflow_run_id: Any = None,
    purpose: str = "",
    fixed: dict[str, Any] | None = None,
) -> tuple[Job, Launch]:
    """Queue a launch, or with a ``purpose`` one of a plan; ``fixed`` are fields that nobody decides upon."""
    fields, secrets = merged(template, body)
    fields |= fixed or {}
    if fields["inventory_id"] is not None and session.get(registry["inventory"].model, fields["inventory_id"]) is None:
        raise not_found("inventory_id", "There is no such inventory.")
    credentials_of(session, fields["credentials"])
    _refuse_second(session, template.id)
    row = Launch(
        **fields,
        template_id=template.id,
        template=template.name,
        schedule_id=schedule_id,
        turn_id=template.id if template.concurrency == "queue" else turn_id,
        workflow_run_id=workflow_run_id,
        playbook=template.playbook,
        project_id=template.project_id,
        requested_by=who,
        secret_names=sorted(secrets),
        secrets=orjson.dumps(secrets).decode() if secrets else None,
    )
    return queue(session, row, template.playbook, purpose)


def queue(session: Session, row: Launch, what: str, purpose: str = "") -> tuple[Job, Launch]:
    """Make the job of a launch; it is published after the commit."""
    job = Job(id=uuid.uuid4(), shard_id=None, playbook=what, purpose=purpose)
    session.add(job)
    session.flush()
    row.job_id = job.id
    session.add(row)
    session.flush()
    session.info.setdefault("outbox", []).append(job.id)
    return job, row


def again(session: Session, job: Job, failed_only: bool, who: str) -> Job | None:
    """Queue what a launch ran once more, as it was asked for then; with ``failed_only`` on the hosts where it failed.

    None if it failed nowhere. Its project, inventory and credentials are those of now.
    """
    old = session.get_one(Launch, job.id)
    fields = {name: getattr(old, name) for name in SAME}
    if failed_only:
        bad = sa.or_(JobHost.failed > 0, JobHost.unreachable)
        hosts = session.scalars(
            sa.select(JobHost.host).where(JobHost.job_id == job.id, bad).order_by(JobHost.host)
        ).all()
        # A playbook may have added hosts of any name, which would be another pattern.
        known = [host for host in hosts if HOST.fullmatch(host)]
        if not known:
            return None
        fields["limit"] = ",".join(known)
    if old.template_id is not None:
        model = registry["template"].model
        approval = session.scalar(sa.select(model.approval).where(model.id == old.template_id))
        _must_not_need_plan(old.template_id, approval or "none")
        _refuse_second(session, old.template_id)
    return queue(session, Launch(**fields, relaunch_of=job.id, requested_by=who), job.playbook)[0]


def _must_not_need_plan(template_id: uuid.UUID, approval: str) -> None:
    if approval != "none":
        text = f"Launches of this template need an approved plan: POST /templates/{template_id}/plan."
        raise conflict(text, "approval", "asks for an approved plan")


def _refuse_second(session: Session, template_id: uuid.UUID) -> None:
    """409 if a template wants one launch at a time and there is one; two that come together wait for each other."""
    model = registry["template"].model
    chosen = sa.select(model.concurrency).where(model.id == template_id)
    policy = session.scalar(chosen.with_for_update() if is_postgresql(session) else chosen)
    if policy != "refuse":
        return
    other = session.scalar(
        sa.select(Job.id)
        .join(Launch, Launch.job_id == Job.id)
        .where(Launch.template_id == template_id, Job.state.in_(LIVE))
        .limit(1)
    )
    if other is not None:
        raise conflict(f"The template is launched already: job {other}.", "concurrency", "allows one launch at a time")
