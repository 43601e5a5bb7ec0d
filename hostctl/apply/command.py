"""The command ``hostctl apply``."""

from __future__ import annotations

from typing import Any

import click

from hostctl.apply.load import File
from hostctl.apply.run import Run, resolve
from hostctl.apply.shape import Shape, check
from hostctl.apply.view import View, report, summary
from hostctl.base import App, Command, pass_app
from hostctl.errors import Exit, Failure
from hostctl.waiting import TIMEOUT


@click.command(cls=Command)
@click.option("-f", "--file", "path", required=True, metavar="FILE", help="The YAML file; - is stdin.")
@click.option("--dry-run", is_flag=True, help="Only tell what would be created and changed.")
@click.option("--retry-failed", is_flag=True, help="Try again what stands as wanted and failed on hosts.")
@click.option("--wait/--no-wait", default=True, show_default=True, help="Follow until everything is active.")
@click.option("--wait-timeout", type=click.FloatRange(1), default=TIMEOUT, show_default=True, help="Seconds to follow.")
@pass_app
def apply(app: App, path: str, *, dry_run: bool, retry_failed: bool, wait: bool, wait_timeout: float) -> None:
    """Make the platform hold what a file describes.

    Creates what is missing, changes what differs, deletes nothing, and waits until all of it is active. Applied again,
    it changes nothing. docs/hostctl.md describes the file.
    """
    file = File.read(path)
    shape = Shape(app.kinds)
    shape.read(file.data)
    shape.check_findable()
    shape.check_twins()
    shape.check_secrets(file.directory)
    check(file, shape)
    resolve(shape, app.lookup)
    check(file, shape)
    console = app.out.stderr if app.out.json else app.out.stdout
    view = View(console, shape.items)
    run = Run(app.client, app.lookup, shape.items, file.directory, view.told, dry=dry_run)
    try:
        with view:
            run.send(retry=retry_failed)
            if wait and not dry_run:
                run.wait(wait_timeout)
    finally:
        _tell(app, shape)
    if bad := [item for item in shape.items if item.is_bad]:
        raise Failure(f"{len(bad)} of {len(shape.items)} failed.", Exit.FAILED, error=_error(bad))


def _tell(app: App, shape: Shape) -> None:
    if app.out.json:
        app.out.data(report(shape.items))
    else:
        app.out.line(summary(shape.items))


def _error(bad: list[Any]) -> dict[str, Any]:
    return {"code": "FAILED", "message": f"{len(bad)} failed.", "details": report(bad)["items"]}
