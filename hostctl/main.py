"""The command ``hostctl``: our own commands, those of the server's kinds, and how everything ends."""

from __future__ import annotations

import json
import os
import sys
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, NoReturn

import click
from rich.text import Text

from hostctl import commands
from hostctl.base import App, Group, pass_app
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kinds
from hostctl.output import Output, clean

#: Commands by name: ``module:attribute``. A new module of commands is one line here; see ``hostctl/base.py``.
MODULES = {
    "ad-hoc": "hostctl.templates:adhoc",
    "apply": "hostctl.apply.command:apply",
    "audit": "hostctl.audit:audit",
    "completion": "hostctl.completion:completion",
    "converge": "hostctl.jobs:converge",
    "databases": "hostctl.moves:databases",
    "import": "hostctl.importing.command:import_",
    "jobs": "hostctl.jobs:jobs",
    "leases": "hostctl.leases:leases",
    "notices": "hostctl.notices:notices",
    "plans": "hostctl.plans:plans",
    "shards": "hostctl.shards:shards",
    "templates": "hostctl.templates:templates",
    "workflows": "hostctl.workflows:workflows",
}


class Main(Group):
    """The main command: modules of commands by name, and the kinds that the server describes."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of all commands; without a server those of modules."""
        return sorted({*MODULES, *self._known(ctx)})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Return a command: a module's, a kind's, or a module's with what the description has beyond it."""
        command: click.Command | None = None
        if cmd_name in MODULES:
            module, _, attribute = MODULES[cmd_name].partition(":")
            command = getattr(import_module(module), attribute)
            if not isinstance(command, Group):
                return command
        kinds = self._known(ctx)
        if cmd_name not in kinds:
            return command
        derived = commands.group(kinds[cmd_name])
        if not isinstance(command, Group):
            return derived
        command.commands = {**derived.commands, **command.commands}
        return command

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Find the command to run; what cannot be known without the server needs it now."""
        if not ctx.resilient_parsing and args[0] not in MODULES:
            _app(ctx).kinds  # noqa: B018 - Failure tells why there are none
        return super().resolve_command(ctx, args)

    @staticmethod
    def _known(ctx: click.Context) -> Kinds:
        """Return the kinds: as they are now, or as they were kept; none if neither can be had."""
        app = _app(ctx)
        for name in ("kept_kinds",) if ctx.resilient_parsing else ("kinds", "kept_kinds"):
            try:
                found: Kinds = getattr(app, name)
                return found
            except Failure:
                continue
        return Kinds({})

    def main(self, *args: Any, **kwargs: Any) -> Any:
        """Run; a failure is printed and becomes the exit code."""
        app, run = App(), partial[Any](super().main, *args)
        if not kwargs.pop("standalone_mode", True):
            return run(**kwargs, standalone_mode=False, obj=app)
        _run(lambda: run(**kwargs, standalone_mode=False, obj=app), app.out)


def _app(ctx: click.Context) -> App:
    """Return the app with the options of the command line, also before the main command ran (completion, help)."""
    app = ctx.ensure_object(App)
    app.options.update({name: value for name, value in ctx.params.items() if value is not None})
    return app


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
        context = getattr(error, "ctx", None)
        if context is not None and not out.json:
            click.echo(context.get_usage(), err=True)
        _tell(Failure(error.format_message(), Exit.USAGE), out)
        raise SystemExit(Exit.USAGE) from None
    except (click.Abort, KeyboardInterrupt):
        out.say("interrupted")
        raise SystemExit(130) from None
    except BrokenPipeError:
        # The reader has seen enough (``| head``). Python would complain once more when it closes stdout.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        raise SystemExit(141) from None
    except Exception as error:
        # Not 1, which means that a job failed.
        if os.environ.get("HOSTCTL_DEBUG"):
            raise
        text = f"{type(error).__name__}: {error}"
        _tell(Failure(f"This is a bug of hostctl, or the server is none of ours: {text}", Exit.BUG), out)
        raise SystemExit(Exit.BUG) from None


def _tell(failure: Failure, out: Output) -> None:
    if out.json:
        error = failure.error or {"message": failure.message, "details": failure.lines}
        click.echo(json.dumps({"error": error, "exit_code": failure.status}), err=True)
        return
    out.stderr.print(Text("error: ", style="bold red") + Text(clean(failure.message)))
    for line in failure.lines:
        out.stderr.print(Text("  " + clean(line)))


@click.group(cls=Main, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", metavar="NAME", is_eager=True, help="Profile of the settings file. [HOSTCTL_PROFILE]")
@click.option("--config", type=click.Path(path_type=Path), is_eager=True, help="Settings file. [HOSTCTL_CONFIG]")
@click.option("--url", is_eager=True, help="The API's address. [HOSTCTL_URL]")
@click.option(
    "--key-file", type=click.Path(path_type=Path), is_eager=True, help="File with the API key. [HOSTCTL_KEY_FILE]"
)
@click.option("--timeout", type=click.FloatRange(1), help="Seconds that one answer may take. [HOSTCTL_TIMEOUT]")
@click.option("-q", "--quiet", is_flag=True, help="No messages but warnings and errors.")
@click.version_option(package_name="hostreeve", message="%(version)s")
@pass_app
def main(app: App, quiet: bool, **options: object) -> None:
    """Run a hosting platform from the command line.

    The commands of kinds (tenants, zones, …) come from the server.
    """
    app.options.update({name: value for name, value in options.items() if value is not None})
    app.out.quiet = quiet
