"""``hostctl databases move``. What is not here (``hostctl moves``, all other verbs) comes from the description."""

from __future__ import annotations

from typing import Any

import click

from hostctl.base import App, Group, pass_app
from hostctl.jobs import started, timeout_option


@click.group("databases", cls=Group)
def databases() -> None:
    """MariaDB databases of tenants."""


@databases.command("move")
@click.argument("database", metavar="ID|NAME")
@click.option("--shard", required=True, help="Where it shall go, by name or id.")
@click.option("--lock-seconds", type=click.IntRange(5, 600), help="For which writes may wait (60).")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow the job to its end.")
@timeout_option
@pass_app
def move(app: App, database: str, shard: str, lock_seconds: int | None, wait: bool, wait_timeout: float) -> None:  # noqa: PLR0917
    """Move a database to another shard while it is in service.

    The old copy stays, out of service, until `hostctl moves confirm`.
    """
    id_ = app.lookup.id(app.kinds["databases"], database)
    body: dict[str, Any] = {"shard_id": app.lookup.id(app.kinds["shards"], shard)}
    if lock_seconds is not None:
        body["lock_seconds"] = lock_seconds
    result = app.client.mutate("POST", f"/databases/{id_}/move", body)
    if not app.out.json:
        app.out.say(f"move {result['resource']['id']}")
    started(app, result, wait_timeout if wait else None)
