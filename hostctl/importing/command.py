"""The commands ``hostctl import awx`` and ``hostctl import semaphore``."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import asdict
from typing import Any

import click

from hostctl.base import App, Group, pass_app
from hostctl.errors import Exit, Failure
from hostctl.importing.awx import Awx
from hostctl.importing.plan import SINGULAR, Item, Note, Plan
from hostctl.importing.read import Malformed, export
from hostctl.importing.semaphore import Semaphore
from hostctl.importing.send import Sender

STYLES = {"created": "green", "would create": "cyan", "unchanged": "dim"}


@click.group("import", cls=Group)
def import_() -> None:
    """Make projects, inventories, templates and schedules of another platform's export."""


def _options(command: Callable[..., Any]) -> Callable[..., Any]:
    for option in (
        click.option("--branch", default="main", show_default=True, help="Of repositories for which none is named."),
        click.option("--prefix", default="", metavar="TEXT", help="Put before every name."),
        click.option("--dry-run", is_flag=True, help="Only tell what would be made."),
        click.argument("file", type=click.Path(allow_dash=True)),
    ):
        command = option(command)
    return command


@import_.command("awx")
@_options
@pass_app
def from_awx(app: App, file: str, *, dry_run: bool, prefix: str, branch: str) -> None:
    """Read what `awx export` wrote; - is stdin. Secrets are left out and listed. docs/clients.md has the tables."""
    top, plan = export(file), Plan()
    _read(file, lambda: Awx(top, plan, prefix, branch).read())
    _carry_out(app, plan, dry=dry_run)


@import_.command("semaphore")
@_options
@click.option("--timezone", default="UTC", show_default=True, help="Where Semaphore's schedules were evaluated.")
@pass_app
def from_semaphore(app: App, file: str, *, dry_run: bool, prefix: str, branch: str, timezone: str) -> None:
    """Read the backup of a project of Semaphore; - is stdin. Secrets are left out and listed."""
    top, plan = export(file), Plan()
    _read(file, lambda: Semaphore(top, plan, prefix, timezone, branch).read())
    _carry_out(app, plan, dry=dry_run)


def _read(file: str, work: Callable[[], None]) -> None:
    try:
        work()
    except Malformed as error:
        raise Failure(f"{file}: {error}", Exit.REFUSED) from None


def _carry_out(app: App, plan: Plan, *, dry: bool) -> None:
    if not plan.items and not plan.secrets and not plan.notes:
        raise Failure("There is nothing in it that could be imported; is it the right kind of export?", Exit.REFUSED)
    told: Callable[[Item], None] = (lambda item: None) if app.out.json else (lambda item: _line(app, item))
    try:
        Sender(app, dry=dry).send(plan, told)
    finally:
        _report(app, plan)
    if left := [item for item in plan.items if not _is_there(item)]:
        message = f"{len(left)} of {len(plan.items)} are not carried over."
        raise Failure(message, Exit.FAILED, error={"code": "FAILED", "message": message, "details": _items(left)})


def _is_there(item: Item) -> bool:
    return item.action in ("created", "would create", "unchanged")


def _line(app: App, item: Item) -> None:
    text = f"{item.action}  {SINGULAR.get(item.plural, item.plural)}  {item.name}"
    app.out.line(f"{text}  {item.message}" if item.message else text, style=STYLES.get(item.action, "red"))


def _items(items: list[Item]) -> list[dict[str, str]]:
    return [
        {"kind": item.plural, "name": item.name, "source": item.source, "action": item.action, "message": item.message}
        for item in items
    ]


def _report(app: App, plan: Plan) -> None:
    summary = dict(Counter(item.action or "not sent" for item in plan.items))
    if app.out.json:
        app.out.data(
            {
                "items": _items(plan.ordered()),
                "notes": [asdict(note) for note in plan.notes],
                "secrets": [asdict(note) for note in plan.secrets],
                "summary": summary,
                "changed": summary.get("created", 0) > 0,
            }
        )
        return
    _section(app, "To be looked at:", plan.notes)
    _section(app, "Secrets, which no export holds, to be made by hand:", plan.secrets)
    app.out.line(", ".join(f"{number} {action}" for action, number in summary.items()) + ".")


def _section(app: App, title: str, notes: list[Note]) -> None:
    if notes:
        app.out.line("")
        app.out.line(title, style="bold")
        for note in notes:
            app.out.line(f"  {note.where}: {note.what}")
