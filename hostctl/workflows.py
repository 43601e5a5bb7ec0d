"""``hostctl workflows``: launch, follow, decide, resume. What is not here comes from the description."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote

import click

from hostctl import results
from hostctl.base import App, Group, pass_app
from hostctl.errors import Exit, Failure
from hostctl.jobs import timeout_option
from hostctl.options import pairs_of
from hostctl.templates import key_option, wait_option
from hostctl.waiting import Patience

COLUMNS = "id,workflow,state,check,resumed,requested_by,created_at,ended_at"
STEPS = ("name", "state", "job_id", "message", "decided_by", "comment", "data")
STYLES = {"successful": "green", "failed": "red", "denied": "red", "timed_out": "red", "pending": "yellow",
          "canceled": "yellow", "running": "cyan"}  # fmt: skip
#: States that are not worth a line.
SILENT = ("waiting", "skipped")

run_argument = click.argument("run", type=click.UUID, metavar="RUN")
step_argument = click.argument("step", metavar="STEP")
comment_option = click.option(
    "--comment", default="", help="What is said to it; everybody who may see the run reads it."
)


@click.group("workflows", cls=Group)
def workflows() -> None:
    """Let launches and approvals follow one another."""


@workflows.command()
@click.argument("workflow", metavar="ID|NAME")
@click.option("--check", is_flag=True, help="Everything in check mode: change nothing, tell what would be changed.")
@click.option(
    "--variable", "variables", metavar="NAME=VALUE", multiple=True, help="May be repeated; VALUE may be JSON."
)
@wait_option
@timeout_option
@key_option
@pass_app
def launch(
    app: App,
    workflow: str,
    *,
    check: bool,
    variables: tuple[str, ...],
    wait: bool,
    wait_timeout: float,
    idempotency_key: str | None,
) -> None:
    """Launch a workflow, follow its steps, and end with its result (0 if it was successful, else 1).

    It waits for approvals as long as they do.
    """
    id_ = app.lookup.id(app.kinds["workflows"], workflow)
    body = {"check": check, "variables": pairs_of(variables, "--variable")}
    result = app.client.mutate("POST", f"/workflows/{id_}/launch", body, key=idempotency_key or "")
    _go_on(app, result, wait_timeout if wait else None)


@workflows.command()
@click.argument("workflow", metavar="[ID|NAME]", required=False)
@click.option("--state", help="Only those in this state.")
@click.option("--limit", type=click.IntRange(1), default=20, show_default=True, help="Rows at most.")
@pass_app
def runs(app: App, workflow: str | None, state: str | None, limit: int) -> None:
    """List runs, the newest first; of all workflows or of one."""
    id_ = app.lookup.id(app.kinds["workflows"], workflow) if workflow else None
    rows = app.client.items("/workflow-runs", limit=limit + 1, workflow_id=id_, state=state)
    results.table(app.out, rows, None, limit, COLUMNS)


@workflows.command()
@run_argument
@timeout_option
@pass_app
def watch(app: App, run: Any, wait_timeout: float) -> None:
    """Follow a run to its end; the exit code is 0 if it was successful, 1 otherwise."""
    _go_on(app, {"resource": app.client.get(f"/workflow-runs/{run}"), "jobs": []}, wait_timeout)


@workflows.command()
@run_argument
@step_argument
@comment_option
@pass_app
def approve(app: App, run: Any, step: str, comment: str) -> None:
    """Let a run go on behind STEP."""
    _decide(app, run, step, "approve", comment)


@workflows.command()
@run_argument
@step_argument
@comment_option
@pass_app
def deny(app: App, run: Any, step: str, comment: str) -> None:
    """Refuse STEP, which is then a failure."""
    _decide(app, run, step, "deny", comment)


@workflows.command()
@run_argument
@wait_option
@timeout_option
@pass_app
def resume(app: App, run: Any, wait: bool, wait_timeout: float) -> None:
    """Do again what failed in a run, and what was not reached because of that; follow it as launch does."""
    _go_on(app, app.client.mutate("POST", f"/workflow-runs/{run}/resume"), wait_timeout if wait else None)


@workflows.command()
@run_argument
@pass_app
def cancel(app: App, run: Any) -> None:
    """Begin no more steps of a run and cancel the jobs that run."""
    _go_on(app, app.client.mutate("POST", f"/workflow-runs/{run}/cancel"), None)


def _decide(app: App, run: Any, step: str, verb: str, comment: str) -> None:
    path = f"/workflow-runs/{run}/steps/{quote(step, safe='')}/{verb}"
    _go_on(app, app.client.mutate("POST", path, {"comment": comment}), None)


def _go_on(app: App, result: dict[str, Any], wait: float | None) -> None:
    """Tell of a run and, if wanted, follow it; Failure if it does not end well."""
    run = result["resource"]
    if wait is not None:
        run = result["resource"] = _follow(app, run, wait)
    if app.out.json:
        app.out.data(result)
    else:
        app.out.line(f"run {run['id']}: {run['state']}")
        app.out.table(STEPS, ([step[name] for name in STEPS] for step in run["steps"]))
    if wait is not None and run["state"] != "successful":
        raise Failure(f"run {run['id']} ended {run['state']}", Exit.FAILED)


def _follow(app: App, run: dict[str, Any], seconds: float) -> dict[str, Any]:
    """Say what becomes of each step until the run has ended; return it."""
    patience, seen = Patience(seconds), dict[str, str]()
    app.out.say(f"run {run['id']}")
    while True:
        for step in run["steps"]:
            if step["state"] != seen.get(step["name"]) and step["state"] not in SILENT:
                app.out.say(f"  {step['name']}: {_told(run, step)}", STYLES.get(step["state"], ""))
                patience.hurry()
            seen[step["name"]] = step["state"]
        if run["ended_at"]:
            return run
        patience.wait(f"run {run['id']}")
        run = app.client.get(f"/workflow-runs/{run['id']}")


def _told(run: dict[str, Any], step: dict[str, Any]) -> str:
    if step["state"] == "pending":
        until = f" until {step['deadline']}" if step["deadline"] else ""
        return f"{step['question']} (hostctl workflows approve {run['id']} {step['name']}){until}"
    if step["state"] == "running":
        return f"running as job {step['job_id']}"
    return f"{step['state']}: {step['message']}" if step["message"] else str(step["state"])
