"""``hostctl notices``: what others were told, how it went, and sending it again."""

from __future__ import annotations

import click

from hostctl.base import App, Group, pass_app

COLUMNS = ("id", "created_at", "topic", "kind", "target", "state", "tries", "answer")


@click.group("notices", cls=Group)
def notices() -> None:
    """See what others were told, and tell them again."""


@notices.command("list")
@click.option("--notification", metavar="ID", help="Of this notification.")
@click.option("--state", type=click.Choice(["waiting", "pending", "failed", "sent", "given_up"]))
@click.option("--topic")
@click.option("--limit", type=click.IntRange(1), default=50, show_default=True)
@pass_app
def list_(app: App, notification: str | None, state: str | None, topic: str | None, limit: int) -> None:
    """List notices, the newest first."""
    found = list(app.client.items("/notices", limit=limit, notification_id=notification, state=state, topic=topic))
    if app.out.json:
        return app.out.data({"items": found})
    app.out.table(COLUMNS, ([str(row[name]) for name in COLUMNS] for row in found))


@notices.command("redeliver")
@click.argument("ids", metavar="ID...", nargs=-1, required=True)
@pass_app
def redeliver(app: App, ids: tuple[str, ...]) -> None:
    """Send notices again, each under its own id."""
    sent = [app.client.mutate("POST", f"/notices/{id_}/redeliver")["resource"] for id_ in ids]
    if app.out.json:
        return app.out.data({"items": sent})
    for row in sent:
        app.out.line(f"{row['id']}: {row['state']}")
