"""``hostctl jobs`` and ``hostctl converge``. What is not here (list, resources, …) comes from the description."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from typing import Any

import click

from hostctl import events
from hostctl.base import App, Command, Group, pass_app
from hostctl.errors import Exit, Failure
from hostctl.output import Output, clean
from hostctl.waiting import Patience, is_over

HOSTS = ("host", "ok", "changed", "failed", "skipped", "unreachable", "seconds", "message")
#: events that say nothing to a person
SILENT = ("playbook_on_start", "runner_on_start", "verbose", "playbook_on_stats", "playbook_on_include", "warning")
FOREVER = float("inf")

job_argument = click.argument("job", type=click.UUID, metavar="JOB")
timeout_option = click.option(
    "--wait-timeout", type=click.FloatRange(1), default=FOREVER, help="Seconds to follow; for ever without it."
)


@click.group("jobs", cls=Group)
def jobs() -> None:
    """See what runs, follow it, cancel it, run it again."""


@jobs.command()
@job_argument
@pass_app
def show(app: App, job: Any) -> None:
    """Show a job and its hosts."""
    found = app.client.get(f"/jobs/{job}")
    app.out.data(found) if app.out.json else _show(app.out, found)


@jobs.command()
@job_argument
@timeout_option
@pass_app
def watch(app: App, job: Any, wait_timeout: float) -> None:
    """Follow a job to its end; the exit code is 0 if it was successful, 1 otherwise.

    With --json: one line per event, {"event": …, "data": …}; the last event is "end", with the job.
    """
    raise_unless_successful(_watch(app, str(job), wait_timeout))


@jobs.command()
@job_argument
@pass_app
def output(app: App, job: Any) -> None:
    """Print what ansible-playbook printed."""
    answer = app.client.request("GET", f"/jobs/{job}/output", headers={"Accept": "text/plain"})
    if app.out.json:
        app.out.data({"output": answer.text})
    else:
        click.echo(clean(answer.text, keep="\n\t"))


@jobs.command()
@job_argument
@click.option("--wait", is_flag=True, help="Follow until it has ended; 0 only if it was canceled.")
@timeout_option
@pass_app
def cancel(app: App, job: Any, wait: bool, wait_timeout: float) -> None:
    """Cancel a job. It has ended only when none of its processes is left."""
    result = app.client.mutate("POST", f"/jobs/{job}/cancel")
    if wait:
        result["resource"] = _follow(app, str(job), wait_timeout, lambda _event: None)
    _result(app, result)
    if wait and result["resource"]["state"] != "canceled":
        raise Failure(f"The job ended before it was canceled: {result['resource']['state']}.", Exit.FAILED)


@jobs.command()
@job_argument
@click.option("--failed-only", is_flag=True, help="Only what failed, on the hosts on which it did.")
@click.option("--wait", is_flag=True, help="Follow the new job to its end.")
@timeout_option
@pass_app
def relaunch(app: App, job: Any, failed_only: bool, wait: bool, wait_timeout: float) -> None:
    """Run again what a job did, in its present form."""
    body = {"hosts": "failed"} if failed_only else None
    result = app.client.mutate("POST", f"/jobs/{job}/relaunch", body)
    if not result["jobs"]:
        app.out.say("Nothing is left of what the job did.")
    started(app, result, wait_timeout if wait else None)


@click.command(cls=Command)
@click.argument("shard", metavar="SHARD")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the job to its end.")
@timeout_option
@pass_app
def converge(app: App, shard: str, wait: bool, wait_timeout: float) -> None:
    """Make all hosts of a shard equal to what is wished, and follow the job.

    SHARD is its name or id. What is Hostreeve's on the hosts and no longer wished is removed.
    """
    id_ = app.lookup.id(app.kinds["shards"], shard)
    started(app, app.client.mutate("POST", f"/shards/{id_}/converge"), wait_timeout if wait else None)


def started(app: App, result: dict[str, Any], wait: float | None) -> None:
    """Tell which jobs were started and, if wanted, follow them; Failure if one fails."""
    ids = [str(job["id"]) for job in result["jobs"]]
    if wait is None:
        return _result(app, result)
    if app.out.json:
        result["jobs"] = [_follow(app, id_, wait, lambda _event: None) for id_ in ids]
        app.out.data(result)
    else:
        result["jobs"] = [_watch(app, id_, wait) for id_ in ids]
    for job in result["jobs"]:
        raise_unless_successful(job)
    return None


def _result(app: App, result: dict[str, Any]) -> None:
    if app.out.json:
        return app.out.data(result)
    for job in result["jobs"] or [result["resource"]]:
        app.out.line(f"job {job['id']}: {job.get('state', '')}")
    return None


def _watch(app: App, job_id: str, seconds: float) -> dict[str, Any]:
    """Follow a job and write what happens; return it."""
    if not app.out.json:
        app.out.say(f"job {job_id}")

    def tell(event: events.Event) -> None:
        if app.out.json:
            sys.stdout.write(json.dumps({"event": event.name, "data": event.data}) + "\n")
            sys.stdout.flush()
        elif event.name != events.END:
            _line(app.out, event)

    job = _follow(app, job_id, seconds, tell)
    if not app.out.json:
        _show(app.out, job)
    return job


def follow(app: App, job_id: str, seconds: float) -> dict[str, Any]:
    """Follow a job to its end without a word; return it."""
    return _follow(app, job_id, seconds, lambda _event: None)


def _follow(app: App, job_id: str, seconds: float, tell: Callable[[events.Event], None]) -> dict[str, Any]:
    for event in events.follow(app.client, app.kinds, job_id, Patience(seconds)):
        tell(event)
        if event.name == events.END:
            return event.data
    raise AssertionError("a job's events have an end")


def _line(out: Output, event: events.Event) -> None:
    data = event.data
    if event.name in SILENT:
        return
    host, task = data.get("host"), data.get("task") or data.get("play") or ""
    if not host:
        out.line(f"{task}" if task else event.name, "bold")
        return
    if data.get("unreachable"):
        what, style = "unreachable", "red"
    elif data.get("failed") or event.name == "runner_on_failed":
        what, style = "failed", "red"
    elif event.name == "runner_on_skipped":
        return
    else:
        what, style = ("changed", "yellow") if data.get("changed") else ("ok", "green")
    out.line(f"  {host}: {what}" + (f": {data['msg']}" if data.get("msg") and style == "red" else ""), style)
    resources = data.get("resources")
    for id_, report in resources.items() if isinstance(resources, dict) else ():
        if isinstance(report, dict) and report.get("failed"):
            out.line(f"    {id_}: {report.get('msg', '')}", "red")


def _show(out: Output, job: dict[str, Any]) -> None:
    out.fields({name: value for name, value in job.items() if name != "hosts"})
    if hosts := job.get("hosts"):
        out.table(HOSTS, ([host.get(name) for name in HOSTS] for host in hosts))


def raise_unless_successful(job: dict[str, Any]) -> None:
    """Failure for a job that did not end well."""
    if not is_over(job) or job["state"] != "successful":
        reason = f": {job['reason']}" if job.get("reason") else ""
        raise Failure(f"job {job['id']} ended {job['state']}{reason}", Exit.FAILED)
