"""``hostctl shards plan``, ``switchover``, ``failover``, ``rebuild``, ``health``. Others come from the description."""

from __future__ import annotations

from typing import Any

import click

from hostctl.base import App, Group, pass_app
from hostctl.jobs import started, timeout_option
from hostctl.plans import planned, wait_option

shard_argument = click.argument("shard", metavar="ID|NAME")
node_option = click.option("--node", metavar="ID|NAME", help="The new primary.")
check_option = click.option("--check", is_flag=True, help="Only say what it would do.")
#: of a node that answers
COLUMNS = ("node", "server", "primary", "replicates", "lag", "semi-sync", "position", "answered")


@click.group("shards", cls=Group)
def shards() -> None:
    """Nodes of one role that carry the same resources."""


@shards.command("plan")
@shard_argument
@wait_option
@timeout_option
@pass_app
def plan_shard(app: App, shard: str, wait: bool, wait_timeout: float) -> None:
    """Plan a full converge of a shard, and show what it would change."""
    planned(app, app.client.mutate("POST", f"{_path(app, shard)}/plan"), wait_timeout if wait else None)


@shards.command()
@shard_argument
@node_option
@check_option
@wait_option
@timeout_option
@pass_app
def switchover(app: App, shard: str, node: str | None, **options: Any) -> None:
    """Move the primary of a db shard while it is up, by default to a healthy replica; loses nothing."""
    body = {"check": options["check"]}
    _move(app, f"{_path(app, shard)}/switchover", body, node, options["wait_timeout"] if options["wait"] else None)


@shards.command()
@shard_argument
@node_option
@check_option
@click.option("--accept-loss", is_flag=True, help="Go on although commits that were acknowledged may be lost.")
@wait_option
@timeout_option
@pass_app
def failover(app: App, shard: str, node: str | None, **options: Any) -> None:
    """Promote the most advanced replica of a db shard whose primary is dead, or the one that is named."""
    body = {"check": options["check"], "accept_loss": options["accept_loss"]}
    _move(app, f"{_path(app, shard)}/failover", body, node, options["wait_timeout"] if options["wait"] else None)


@shards.command()
@shard_argument
@click.option("--node", metavar="ID|NAME", required=True, help="The replica.")
@check_option
@wait_option
@timeout_option
@pass_app
def rebuild(app: App, shard: str, node: str, **options: Any) -> None:
    """Copy the primary onto a replica that holds what the primary lacks, and put its data aside."""
    body = {"check": options["check"]}
    _move(app, f"{_path(app, shard)}/rebuild", body, node, options["wait_timeout"] if options["wait"] else None)


@shards.command()
@shard_argument
@pass_app
def health(app: App, shard: str) -> None:
    """Show how a db shard is, as the watch saw it last."""
    found = app.client.get(f"{_path(app, shard)}/health")
    if app.out.json:
        return app.out.data(found)
    app.out.fields({name: value for name, value in found.items() if name not in ("nodes", "problems")})
    for problem in found["problems"]:
        app.out.line(problem, "red")
    app.out.table(COLUMNS, (_row(node) for node in found["nodes"]))
    return None


def _row(node: dict[str, Any]) -> list[Any]:
    answer = node["answer"] or {}
    replication = answer.get("replication") or {}
    said = [answer.get("primary"), replication.get("running"), replication.get("lag"), answer.get("semi_sync")]
    return [node["name"], answer.get("server", "silent"), *said, answer.get("gtid"), node["answered_at"]]


def _move(app: App, path: str, body: dict[str, Any], node: str | None, wait: float | None) -> None:
    if node is not None:
        body["node_id"] = app.lookup.id(app.kinds["nodes"], node)
    result = app.client.mutate("POST", path, body)
    started(app, result, wait)
    if body["check"] and wait is not None and not app.out.json:
        launch = app.client.get(f"/launches/{result['jobs'][0]['id']}")
        app.out.fields((launch["data"] or {}).get("db_plan", {}))


def _path(app: App, shard: str) -> str:
    return f"/shards/{app.lookup.id(app.kinds['shards'], shard)}"
