"""How results look: tables of lists, the answer of a mutation and its end."""

from __future__ import annotations

import json
import sys
from collections.abc import Iterable, Iterator
from typing import Any

from hostctl import waiting
from hostctl.base import App
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kind
from hostctl.lookup import label
from hostctl.output import Output, clean

#: Fields of every resource that a list does not show unless asked.
DULL = {"delete_requested", "generation", "revision", "created_at", "updated_at", "id", "status", "status_message"}
WIDE = ("object", "array")
#: What has more fields than fit.
CHOSEN = {
    "drift": "host,kind,name,message,first_seen,last_seen",
    "jobs": "id,state,reason,full,resources,changed,failed,seconds,created_at",
    "plans": "id,state,subject,origin,total,requested_by,decided_by,created_at",
}


def columns_of(kind: Kind) -> str:
    """Return the fields that a list of a kind shows."""
    if kind.plural in CHOSEN:
        return CHOSEN[kind.plural]
    fields = [kind.title] if kind.title else []
    fields += [
        field.name
        for field in kind.view.values()
        if field.name not in DULL and field.type not in WIDE and not field.refers_to and field.name != kind.title
    ]
    return ",".join(["id", *fields, *(name for name in ("status", "status_message") if name in kind.view)])


def table(
    out: Output, rows: Iterable[dict[str, Any]], columns: str | None, limit: int | None, usual: str | None = None
) -> None:
    """Write a list; ``rows`` holds one more than ``limit`` if there is more. JSON is one array with whole rows.

    ``columns`` are those that were asked for, ``usual`` those that are shown otherwise.
    """
    more = False

    def shown() -> Iterator[dict[str, Any]]:
        nonlocal more
        for number, row in enumerate(rows):
            if limit is not None and number >= limit:
                more = True
                return
            yield row

    if out.json:
        _array(shown())
    else:
        _rows(out, shown(), columns, usual)
    if more:
        out.say(f"There is more than {limit}: use --limit or --all.")


def _array(rows: Iterable[dict[str, Any]]) -> None:
    """Write a JSON array row by row: it may be long."""
    sys.stdout.write("[")
    for number, row in enumerate(rows):
        sys.stdout.write((",\n " if number else "\n ") + json.dumps(row))
    sys.stdout.write("\n]\n")
    sys.stdout.flush()


def _rows(out: Output, rows: Iterator[dict[str, Any]], columns: str | None, usual: str | None) -> None:
    first = next(rows, None)
    chosen = columns or usual
    names = [name.strip() for name in chosen.split(",")] if chosen else list(first or ())
    if columns and first is not None and (unknown := [name for name in names if name not in first]):
        raise Failure(f"There is no field {', '.join(unknown)}.", Exit.USAGE, [f"fields: {', '.join(first)}"])
    everything = [] if first is None else [first]

    def cells() -> Iterator[list[Any]]:
        for row in everything:
            yield [row.get(name) for name in names]
        for row in rows:
            yield [row.get(name) for name in names]

    out.table(names, cells())
    if first is None:
        out.say("none")


def mutation(app: App, kind: Kind, result: dict[str, Any], wait: float | None) -> None:
    """Write the answer of a mutation, and with ``wait`` (seconds) follow it to its end. Failure if that is one."""
    # What the server shows once is written at once: an interruption must not lose it.
    secrets = {name: value for name, value in result.items() if name not in ("resource", "jobs")}
    if not app.out.json:
        _accepted(app.out, kind, result, secrets)
    try:
        failed = _follow(app, kind, result, wait) if wait is not None else None
    finally:
        if app.out.json:
            app.out.data(result)
    if failed:
        raise failed


def _accepted(out: Output, kind: Kind, result: dict[str, Any], secrets: dict[str, Any]) -> None:
    out.fields(result["resource"])
    for job in result["jobs"]:
        out.fields({"job": f"{job['id']} {job['state']}"})
    for name, value in secrets.items():
        if value is None:
            out.say(f"The {name} was shown when this was carried out first, and never again.")
            continue
        out.say(f"The {name} is shown this once; keep it.")
        out.fields({name: value})


def _follow(app: App, kind: Kind, result: dict[str, Any], seconds: float) -> Failure | None:
    """Follow a mutation to its end, which then stands in ``result``; return the failure if it is one."""
    row = result["resource"]
    if row.get("status") == "deleted" or not waiting.is_settled(row):
        row = result["resource"] = waiting.resource(app.client, kind, row, seconds, app.out.say)
    elif result["jobs"]:
        # It stands already, and what it means for others is carried by jobs: theirs is the end.
        ids = [str(job["id"]) for job in result["jobs"]]
        result["jobs"] = ended = waiting.jobs(app.client, ids, seconds, app.out.say)
        for job in ended:
            if job["state"] != "successful":
                return Failure(f"job {job['id']}: {job['state']}: {job['reason']}", Exit.FAILED)
    status = row.get("status")
    if status == "failed":
        return Failure(f"{kind.name} {label(kind, row)} failed: {row.get('status_message')}", Exit.FAILED)
    if status and not app.out.json:
        app.out.line(f"{kind.name} {clean(label(kind, row))}: {status}")
    return None
