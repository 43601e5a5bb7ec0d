"""``hostctl plans``. What is not here (list, and all of drift) comes from the description."""

from __future__ import annotations

from difflib import unified_diff
from typing import Any

import click

from hostctl.base import App, Group, pass_app
from hostctl.jobs import follow, started, timeout_option
from hostctl.output import Output

plan_argument = click.argument("plan", type=click.UUID, metavar="PLAN")
comment_option = click.option("--comment", default="", help="Why, for those who read it later.")
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the job to its end.")
COLORS = {"+": "green", "-": "red", "@": "cyan"}


@click.group("plans", cls=Group)
def plans() -> None:
    """See what runs would change, approve it, and apply it."""


@plans.command()
@plan_argument
@pass_app
def show(app: App, plan: Any) -> None:
    """Show a plan with its changes per host and resource."""
    _show(app, str(plan))


@plans.command()
@plan_argument
@comment_option
@pass_app
def approve(app: App, plan: Any, comment: str) -> None:
    """Let a plan be applied, as long as nothing that it was made of moves."""
    _decide(app, f"/plans/{plan}/approve", comment)


@plans.command()
@plan_argument
@comment_option
@pass_app
def reject(app: App, plan: Any, comment: str) -> None:
    """Let a plan never be applied."""
    _decide(app, f"/plans/{plan}/reject", comment)


@plans.command()
@plan_argument
@wait_option
@timeout_option
@pass_app
def apply(app: App, plan: Any, wait: bool, wait_timeout: float) -> None:
    """Apply an approved plan, and end with the result of its job (0 if it was successful, else 1).

    If anything moved since the plan was made, nothing is done, and a new plan is needed.
    """
    started(app, app.client.mutate("POST", f"/plans/{plan}/apply"), wait_timeout if wait else None)


def planned(app: App, result: dict[str, Any], wait: float | None) -> None:
    """Tell of a plan that was asked for; with ``wait`` follow its check, and show what it found."""
    if wait is None:
        return _told(app, result)
    if not app.out.json:
        app.out.say(f"plan {result['resource']['id']}")
    for job in result["jobs"]:
        follow(app, str(job["id"]), wait)
    return _show(app, str(result["resource"]["id"]))


def _decide(app: App, path: str, comment: str) -> None:
    _told(app, app.client.mutate("POST", path, {"comment": comment}))


def _told(app: App, result: dict[str, Any]) -> None:
    plan = result["resource"]
    app.out.data(result) if app.out.json else app.out.line(f"plan {plan['id']}: {plan['state']}")


def _show(app: App, id_: str) -> None:
    plan = app.client.get(f"/plans/{id_}")
    if app.out.json:
        return app.out.data(plan)
    app.out.fields({name: value for name, value in plan.items() if name != "changes"})
    for change in plan["changes"]:
        _change(app.out, change)
    if plan["cut"]:
        app.out.say("There is more than is shown; the approval is about all of it.")
    return None


def _change(out: Output, change: dict[str, Any]) -> None:
    what = f"{change['kind']} {change['name']}" if change["kind"] else change["name"]
    said = f": {change['message']}" if change["message"] else ""
    out.line(f"{change['host']}: {what}{said}", "red" if change["failed"] else "bold")
    for one in change["diff"]:
        before, after = (one[name].splitlines() for name in ("before", "after"))
        for line in unified_diff(before, after, f"{one['what']} is", f"{one['what']} would be", lineterm="", n=2):
            out.line(f"  {line}", COLORS.get(line[:1], ""))
