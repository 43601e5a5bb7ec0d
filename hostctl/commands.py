"""The commands of a kind, made from the server's description: list, show, create, update, delete and its actions."""

from __future__ import annotations

import sys
from collections.abc import Callable
from functools import partial
from typing import Any

import click

from hostctl import results
from hostctl.base import App, Command, Group
from hostctl.errors import Failure
from hostctl.kinds import Fields, Kind
from hostctl.lookup import label
from hostctl.options import body, kind_of, options
from hostctl.output import clean
from hostctl.waiting import TIMEOUT

LIMIT = 50


def group(kind: Kind) -> click.Group:
    """Return the commands of a kind."""
    found = Group(kind.plural, help=clean(kind.help) or f"Work with {kind.plural}.", short_help=clean(kind.help))
    _list(found, kind)
    _show(found, kind)
    if kind.create is not None:
        _create(found, kind, kind.create)
    if kind.update is not None:
        _update(found, kind, kind.update)
    if kind.deletable:
        _delete(found, kind)
    for name, summary in kind.actions.items():
        _act(found, kind, name, summary)
    for name, summary in kind.lists.items():
        _list_below(found, kind, name, summary)
    return found


def _add(group: click.Group, name: str, text: str, params: list[click.Parameter], work: Callable[..., Any]) -> None:
    def callback(**values: Any) -> None:
        work(click.get_current_context().ensure_object(App), **values)

    group.add_command(Command(name, callback=callback, params=params, help=clean(text)))


def _limits() -> list[click.Parameter]:
    return [
        click.Option(["--limit"], type=click.IntRange(1), default=LIMIT, show_default=True, help="Rows at most."),
        click.Option(["--all", "everything"], is_flag=True, help="All rows, however many."),
        click.Option(["--columns"], metavar="A,B", help="Fields to show, in this order."),
    ]


def _following() -> list[click.Parameter]:
    return [
        click.Option(["--wait/--no-wait", "wait"], default=False, help="Follow until hosts have it, or it failed."),
        click.Option(
            ["--wait-timeout"], type=click.FloatRange(1), default=TIMEOUT, show_default=True, help="Seconds to follow."
        ),
        click.Option(["--idempotency-key"], metavar="KEY", help="Carried out once per key, for 24 hours."),
    ]


def _reference(kind: Kind) -> list[click.Parameter]:
    """Return the argument that names a resource, and where names are used again in each parent, an option for that."""
    found: list[click.Parameter] = [
        click.Argument(["reference"], metavar="ID|NAME", shell_complete=partial(_complete, kind))
    ]
    if kind.title in kind.identity and kind.parent in kind.filters:
        text = f"Its {kind.parent.removesuffix('_id')}, where the name alone is ambiguous."
        found.append(click.Option(["--in", "inside"], metavar="ID|NAME", help=text))
    return found


def _id(app: App, kind: Kind, reference: str, inside: str | None) -> str:
    within: dict[str, Any] = {}
    if inside and kind.parent:
        within[kind.parent] = app.lookup.id(kind_of(kind.view[kind.parent], app.kinds), inside)
    return app.lookup.id(kind, reference, **within)


def _complete(kind: Kind, ctx: click.Context, _param: click.Parameter, incomplete: str) -> list[str]:
    """Return names that begin with what was typed; silent when the server cannot say."""
    if "search" not in kind.filters or kind.title is None:
        return []
    try:
        app = ctx.ensure_object(App)
        found = app.client.items(kind.path, limit=20, search=incomplete or None)
        return [clean(row[kind.title]) for row in found]
    except Failure:
        return []


def _list(group: click.Group, kind: Kind) -> None:
    def work(app: App, *, limit: int, everything: bool, columns: str | None, sort: str = "", **given: Any) -> None:
        query = body(kind.filters, given, app.lookup)
        rows = app.client.items(kind.path, limit=None if everything else limit + 1, sort=sort or None, **query)
        results.table(app.out, rows, columns, None if everything else limit, results.columns_of(kind))

    sort = click.Option(["--sort"], type=click.Choice(kind.sorts), help="Order; - is descending.")
    params = [*options(kind.filters.values()), *([sort] if kind.sorts else ()), *_limits()]
    _add(group, "list", f"List {kind.plural}.", params, work)


def _list_below(group: click.Group, kind: Kind, name: str, summary: str) -> None:
    def work(
        app: App, *, reference: str, limit: int, everything: bool, columns: str | None, inside: str | None = None
    ) -> None:
        id_ = _id(app, kind, reference, inside)
        rows = app.client.items(f"{kind.path}/{id_}/{name}", limit=None if everything else limit + 1)
        results.table(app.out, rows, columns, None if everything else limit)

    _add(group, name, summary, [*_reference(kind), *_limits()], work)


def _show(group: click.Group, kind: Kind) -> None:
    def work(app: App, *, reference: str, inside: str | None = None) -> None:
        row = app.client.get(f"{kind.path}/{_id(app, kind, reference, inside)}")
        app.out.data(row) if app.out.json else app.out.fields(row)

    _add(group, "show", f"Show one {kind.name}.", _reference(kind), work)


def _create(group: click.Group, kind: Kind, fields: Fields) -> None:
    def work(app: App, *, wait: bool, wait_timeout: float, idempotency_key: str | None, **given: Any) -> None:
        values = body(fields, given, app.lookup)
        result = app.client.mutate("POST", kind.path, values, key=idempotency_key or "")
        results.mutation(app, kind, result, wait_timeout if wait else None)

    _add(group, "create", f"Create a {kind.name}.", [*options(fields.values()), *_following()], work)


def _update(group: click.Group, kind: Kind, fields: Fields) -> None:
    empty = [field.name for field in fields.values() if field.nullable]

    def work(
        app: App, *, reference: str, wait: bool, wait_timeout: float, idempotency_key: str | None, **given: Any
    ) -> None:
        values = {**dict.fromkeys(given.pop("null", ())), **body(fields, given, app.lookup)}
        if not values:
            raise click.UsageError("There is nothing to change: give an option.")
        path = f"{kind.path}/{_id(app, kind, reference, given.pop('inside', None))}"
        result = app.client.mutate("PATCH", path, values, key=idempotency_key or "")
        results.mutation(app, kind, result, wait_timeout if wait else None)

    null = [click.Option(["--null"], type=click.Choice(empty), multiple=True, help="Empty a field.")] if empty else []
    params = [*_reference(kind), *options(fields.values(), changing=True), *null, *_following()]
    _add(group, "update", f"Change a {kind.name}. What may be repeated replaces all that stands.", params, work)


def _delete(group: click.Group, kind: Kind) -> None:
    def work(
        app: App,
        *,
        reference: str,
        yes: bool,
        wait: bool,
        wait_timeout: float,
        idempotency_key: str | None,
        inside: str | None = None,
    ) -> None:
        row = app.client.get(f"{kind.path}/{_id(app, kind, reference, inside)}")
        if not yes and sys.stdin.isatty() and sys.stderr.isatty():
            click.confirm(f"Delete {kind.name} {clean(label(kind, row))} ({clean(row['id'])})?", abort=True, err=True)
        elif not yes and kind.confirms:
            raise click.UsageError(f"Data goes with a {kind.name}: say --yes.")
        query = {"confirm": row[kind.title]} if kind.confirms and kind.title else None
        result = app.client.mutate("DELETE", f"{kind.path}/{row['id']}", key=idempotency_key or "", query=query)
        results.mutation(app, kind, result, wait_timeout if wait else None)

    without = "Without a terminal it must be said." if kind.confirms else "Nobody is asked without a terminal."
    yes = click.Option(["-y", "--yes"], is_flag=True, help=f"Do not ask. {without}")
    _add(group, "delete", f"Delete a {kind.name}.", [*_reference(kind), yes, *_following()], work)


def _act(group: click.Group, kind: Kind, action: str, summary: str) -> None:
    def work(
        app: App,
        *,
        reference: str,
        wait: bool,
        wait_timeout: float,
        idempotency_key: str | None,
        inside: str | None = None,
    ) -> None:
        path = f"{kind.path}/{_id(app, kind, reference, inside)}/{action}"
        result = app.client.mutate("POST", path, key=idempotency_key or "")
        results.mutation(app, kind, result, wait_timeout if wait else None)

    _add(group, action, f"{summary}.", [*_reference(kind), *_following()], work)
