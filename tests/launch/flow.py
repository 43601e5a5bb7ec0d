"""Workflows without Ansible: the worker's part is played by hand, step by step, through its own functions."""

from __future__ import annotations

import uuid
from dataclasses import dataclass
from typing import Any

import sqlalchemy as sa

from api.jobs.finish import Ending, finish
from api.jobs.models import Job
from api.launch.claim import Taken, claim
from api.launch.models import Launch
from api.workflow.models import WorkflowRun, WorkflowStep
from tests.api.conftest import Rest
from tests.jobs.conftest import Engine
from worker import workflows
from worker.context import Context

APPROVAL = {"type": "approval", "question": "Go on?"}


@dataclass
class Flow:
    """The engine, a client, and what a test wants from a workflow."""

    engine: Engine
    rest: Rest
    context: Context
    template: dict[str, Any]

    def node(self, name: str, **fields: Any) -> dict[str, Any]:
        return {"name": name, "template_id": self.template["id"], **fields}

    def make(self, *nodes: dict[str, Any], name: str = "Release", **fields: Any) -> dict[str, Any]:
        return self.rest.make("workflows", name=name, nodes=list(nodes), **fields)

    def launch(self, workflow: dict[str, Any], **body: Any) -> str:
        """Launch a workflow; return the run's id."""
        answer = self.rest.post(f"/workflows/{workflow['id']}/launch", body)
        assert answer.status_code == 202, answer.text
        return str(answer.json["resource"]["id"])

    def start(self, *nodes: dict[str, Any], **body: Any) -> str:
        return self.launch(self.make(*nodes), **body)

    def run(self, run_id: str) -> dict[str, Any]:
        found: dict[str, Any] = self.rest.get(f"/workflow-runs/{run_id}").json
        return found

    def step(self, run_id: str, name: str) -> dict[str, Any]:
        return next(step for step in self.run(run_id)["steps"] if step["name"] == name)

    def states(self, run_id: str) -> str:
        """Return the state of the run, and the first letters of those of its steps: ``running: a=succ b=runn``."""
        run = self.run(run_id)
        return f"{run['state']}: " + " ".join(f"{step['name']}={step['state'][:4]}" for step in run["steps"])

    def take(self, run_id: str, name: str) -> Taken:
        """Take the job of a step, as a worker does."""
        with self.engine.transaction() as session:
            row = session.get_one(Launch, uuid.UUID(self.step(run_id, name)["job_id"]))
            taken = claim(session, row, (), "test", 60)
        assert taken is not None
        return taken

    def end(
        self, run_id: str, name: str, reason: str = "", data: dict[str, Any] | None = None, *, told: bool = True
    ) -> uuid.UUID:
        """Let the job of a step run and end; unless ``told``, the worker dies before it takes the workflow on."""
        taken = self.take(run_id, name)
        with self.engine.transaction() as session:
            assert finish(session, taken, Ending(reason=reason))
            session.execute(sa.update(Launch).where(Launch.job_id == taken.job_id).values(data=data or {}))
        if told:
            workflows.go_on(self.context, taken.job_id)
        return taken.job_id

    def act(self, path: str, body: Any = None, status: int = 202) -> Any:
        answer = self.rest.post(f"/workflow-runs/{path}", body)
        assert answer.status_code == status, answer.text
        return answer.json

    def launches(self, run_id: str) -> list[Launch]:
        query = sa.select(Launch).join(Job, Job.id == Launch.job_id).order_by(Job.created_at)
        return self.engine.all(query.where(Launch.workflow_run_id == uuid.UUID(run_id)))

    def late(self, run_id: str) -> None:
        """Let the time of the approvals of a run be up."""
        with self.engine.transaction() as session:
            session.execute(sa.update(WorkflowStep).where(WorkflowStep.run_id == uuid.UUID(run_id)).values(
                deadline=sa.select(WorkflowRun.created_at).where(WorkflowRun.id == uuid.UUID(run_id)).scalar_subquery()
            ))  # fmt: skip
