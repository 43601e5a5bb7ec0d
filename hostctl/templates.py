"""``hostctl templates launch`` and ``copy``, and ``hostctl ad-hoc``. What is not here comes from the description."""

from __future__ import annotations

from typing import Any

import click

from hostctl import results, survey
from hostctl.base import App, Command, Group, pass_app
from hostctl.jobs import started, timeout_option
from hostctl.options import load, pairs_of
from hostctl.plans import planned

template_argument = click.argument("template", metavar="ID|NAME")
wait_option = click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the job to its end.")
key_option = click.option("--idempotency-key", metavar="KEY", help="Carried out once per key, for 24 hours.")


@click.group("templates", cls=Group)
def templates() -> None:
    """Prepare playbooks, and launch them."""


@templates.command()
@template_argument
@click.option(
    "-a", "--answer", "typed", metavar="VARIABLE=VALUE", multiple=True, help="To the survey. May be repeated."
)
@click.option("--answers-file", metavar="FILE", help="Answers as YAML or JSON, secrets too; - is stdin.")
@click.option(
    "--variable", "variables", metavar="NAME=VALUE", multiple=True, help="May be repeated; VALUE may be JSON."
)
@click.option("--inventory", metavar="ID|NAME", help="In place of the template's.")
@click.option("--credential", "credentials", metavar="ID|NAME", multiple=True, help="In place of the template's.")
@click.option("--limit", help="Pattern of hosts and groups.")
@click.option("--tag", "tags", multiple=True, help="May be repeated.")
@click.option("--skip-tag", "skip_tags", multiple=True, help="May be repeated.")
@click.option("--check/--no-check", default=None, help="Change nothing, tell what would be changed.")
@click.option("--diff/--no-diff", default=None, help="Show differences.")
@click.option("--verbosity", type=click.IntRange(0, 4))
@click.option("--forks", type=click.IntRange(0))
@click.option("--timeout", "seconds", type=click.IntRange(0), help="Seconds that the run may take.")
@click.option("--queue", help="Of the workers that are to run it.")
@click.option("--plan", is_flag=True, help="Only predict what it would change; approve and apply that afterwards.")
@wait_option
@timeout_option
@key_option
@pass_app
def launch(
    app: App,
    template: str,
    *,
    plan: bool,
    typed: tuple[str, ...],
    answers_file: str | None,
    wait: bool,
    wait_timeout: float,
    idempotency_key: str | None,
    **given: Any,
) -> None:
    """Launch a template: ask its survey, follow the job, and end with its result (0 if it was successful, else 1).

    What the template does not let a launch set is refused by name.
    """
    row = app.client.get(f"/templates/{app.lookup.id(app.kinds['templates'], template)}")
    body = _body(app, given)
    read = load(answers_file) if answers_file else {}
    found = survey.answers(row["survey"], {**read, **survey.typed(row["survey"], typed)})
    if found:
        body["answers"] = found
    path = f"/templates/{row['id']}/{'plan' if plan else 'launch'}"
    result = app.client.mutate("POST", path, body, key=idempotency_key or "")
    (planned if plan else started)(app, result, wait_timeout if wait else None)


@templates.command()
@template_argument
@click.argument("name")
@pass_app
def copy(app: App, template: str, name: str) -> None:
    """Make a template like another one, called NAME."""
    kind = app.kinds["templates"]
    path = f"/templates/{app.lookup.id(kind, template)}/copy"
    results.mutation(app, kind, app.client.mutate("POST", path, {"name": name}), None)


@click.command("ad-hoc", cls=Command)
@click.argument("module")
@click.argument("arguments", metavar="[ARGUMENT=VALUE]...", nargs=-1)
@click.option("--limit", required=True, help="Pattern of hosts and groups.")
@click.option("--inventory", metavar="ID|NAME", help="The whole platform without it.")
@click.option("--credential", "credentials", metavar="ID|NAME", multiple=True, help="May be repeated.")
@click.option("--become", is_flag=True, default=None, help="As root.")
@click.option("--check", is_flag=True, default=None, help="Change nothing, tell what would be changed.")
@click.option("--diff", is_flag=True, default=None, help="Show differences.")
@click.option("--forks", type=click.IntRange(0))
@click.option("--queue", help="Of the workers that are to run it.")
@wait_option
@timeout_option
@key_option
@pass_app
def adhoc(
    app: App,
    module: str,
    *,
    arguments: tuple[str, ...],
    wait: bool,
    wait_timeout: float,
    idempotency_key: str | None,
    **given: Any,
) -> None:
    """Run one module on some hosts, and end with the result.

    For example: hostctl ad-hoc ansible.builtin.command cmd=uptime --limit web. The server decides which modules may be
    run so.
    """
    body = {"module": module, "arguments": pairs_of(arguments, "an argument"), **_body(app, given)}
    started(app, app.client.mutate("POST", "/ad-hoc", body, key=idempotency_key or ""), wait_timeout if wait else None)


def _body(app: App, given: dict[str, Any]) -> dict[str, Any]:
    """Return what was given, as the server takes it."""
    body = {name: value for name, value in given.items() if value is not None and value != ()}
    if (seconds := body.pop("seconds", None)) is not None:
        body["timeout"] = seconds
    if inventory := body.pop("inventory", None):
        body["inventory_id"] = app.lookup.id(app.kinds["inventories"], inventory)
    if "credentials" in body:
        body["credentials"] = [app.lookup.id(app.kinds["credentials"], text) for text in body["credentials"]]
    if "variables" in body:
        body["variables"] = pairs_of(body["variables"], "--variable")
    return {name: list(value) if isinstance(value, tuple) else value for name, value in body.items()}
