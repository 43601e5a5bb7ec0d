"""``hostctl leases``: who may run Ansible on which host now, and taking hosts away from a run in a terminal."""

from __future__ import annotations

import click

from hostctl.base import App, Group, pass_app
from hostctl.errors import Exit, Failure

COLUMNS = ("host", "held_by", "since", "expires_at")


@click.group("leases", cls=Group)
def leases() -> None:
    """See who holds which host, and free hosts from a run in a terminal."""


@leases.command("list")
@pass_app
def list_(app: App) -> None:
    """List the hosts that are held, and by whom."""
    found = list(app.client.items("/leases"))
    if app.out.json:
        return app.out.data({"items": found})
    app.out.table(COLUMNS, ([row[name] or "" for name in COLUMNS] for row in found))


@leases.command("break")
@click.argument("host")
@click.option("-y", "--yes", is_flag=True, help="Do not ask.")
@pass_app
def break_(app: App, host: str, yes: bool) -> None:
    """Take all its hosts from the run in a terminal that holds HOST.

    The run ends when it next renews its leases, and each host refuses what it still sends once a newer run has come.
    """
    held = next((row for row in app.client.items("/leases") if row["host"] == host), None)
    if held is None:
        raise Failure(f"Nobody holds {host}.", Exit.NOT_FOUND)
    if held["job_id"]:
        raise Failure(f"{host} is held by a job: hostctl jobs cancel {held['job_id']}", Exit.REFUSED)
    if not yes:
        click.confirm(f"Take {host} from {held['held_by']}?", abort=True, err=True)
    ended = app.client.mutate("DELETE", f"/leases/{held['holder']}")
    app.out.data(ended) if app.out.json else app.out.line(f"freed: {', '.join(sorted(ended['resource']['hosts']))}")
