"""What every command gets: the ``App`` (output, settings, client) and ``--json``.

A module of commands is one line in ``hostctl/main.py``'s ``MODULES``: the command's name and ``module:attribute`` of a
click command or group, imported only when it is used. It is written with the classes here::

    @click.group("audit", cls=Group)
    def audit() -> None:
        \"\"\"Prove the audit.\"\"\"

    @audit.command()
    @pass_app
    def verify(app: App) -> None:
        \"\"\"Verify the chain.\"\"\"
        for row in app.client.items("/audit", sort="at"):   # walks all pages
            ...
        app.out.data({...}) if app.out.json else app.out.line("ok")
        raise Failure("record 3 was edited", Exit.FAILED)   # exit code 1

``Group`` gives ``--json`` to every command below it. ``app.client`` speaks to the server of the settings and turns
every refusal into a ``Failure`` with the right exit code, so commands need not look at statuses.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, partial
from typing import Any, NoReturn

import click
from rich.text import Text

from hostctl.client import Client
from hostctl.errors import Exit, Failure
from hostctl.output import Output, clean
from hostctl.settings import Settings


@dataclass
class App:
    """What commands work with; settings and client are made when they are first needed."""

    #: options of the main command: profile, config, url, key_file, timeout
    options: dict[str, Any] = field(default_factory=dict)
    out: Output = field(default_factory=Output)

    @cached_property
    def settings(self) -> Settings:
        """The server, the key and where they come from; Failure if they are incomplete or unsafe."""
        return Settings.load(self.options, self.out.warn)

    @cached_property
    def client(self) -> Client:
        """The server."""
        return Client(self.settings)


pass_app = click.make_pass_decorator(App, ensure=True)


def _use_json(ctx: click.Context, _param: click.Parameter, value: bool) -> None:
    if value:
        ctx.ensure_object(App).out.json = True


class KnowsJson(click.Command):
    """Adds ``--json``, which means the same wherever it stands on the command line."""

    def get_params(self, ctx: click.Context) -> list[click.Parameter]:
        """Return the command's own parameters and ours."""
        *own, help_ = super().get_params(ctx)
        option = click.Option(
            ["--json"],
            is_flag=True,
            is_eager=True,
            expose_value=False,
            callback=_use_json,
            help="Results as JSON on stdout.",
        )
        return [*own, option, help_]


class Command(KnowsJson):
    """A command that knows ``--json``."""


class Group(KnowsJson, click.Group):
    """A group whose commands and groups know ``--json``, as it does itself."""

    command_class = Command
    group_class = type


class Main(Group):
    """The main command: commands come from modules on demand, failures are told in one place."""

    def __init__(self, *args: Any, modules: dict[str, str] | None = None, **kwargs: Any) -> None:
        super().__init__(*args, **kwargs)
        self.modules = modules or {}

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands."""
        return sorted({*super().list_commands(ctx), *self.modules})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command, importing its module."""
        if cmd_name in self.modules:
            module, _, attribute = self.modules[cmd_name].partition(":")
            command: click.Command = getattr(__import__(module, fromlist=[attribute]), attribute)
            return command
        return super().get_command(ctx, cmd_name)

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; a failure is printed and becomes the exit code."""
        app, run = App(), partial[Any](super().main, *args)
        if not kwargs.pop("standalone_mode", True):
            return run(**kwargs, standalone_mode=False, obj=app)
        _run(lambda: run(**kwargs, standalone_mode=False, obj=app), app.out)


def _run(work: Callable[[], Any], out: Output) -> NoReturn:
    """Call, and exit as the commands' results, failures and interruptions say."""
    try:
        # Outside of standalone mode click returns the code of ctx.exit().
        code = work()
        raise SystemExit(code if isinstance(code, int) else 0)
    except Failure as failure:
        _tell(failure, out)
        raise SystemExit(failure.status) from None
    except click.ClickException as error:
        _show(error, out)
        raise SystemExit(error.exit_code) from None
    except (click.Abort, KeyboardInterrupt):
        out.say("interrupted")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader has seen enough (``| head``). Python would complain once more when it closes stdout.
        import os
        import sys

        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None


def _show(error: click.ClickException, out: Output) -> None:
    """Print click's own errors: usage, unreadable files."""
    context = getattr(error, "ctx", None)
    if context is not None and not out.json:
        click.echo(context.get_usage(), err=True)
    _tell(Failure(error.format_message(), Exit.USAGE), out)


def _tell(failure: Failure, out: Output) -> None:
    if out.json:
        error = failure.error or {"message": failure.message, "details": failure.lines}
        click.echo(json.dumps({"error": error, "exit_code": failure.status}), err=True)
        return
    out.stderr.print(Text("error: ", style="bold red") + Text(clean(failure.message)))
    for line in failure.lines:
        out.stderr.print(Text("  " + clean(line)))
