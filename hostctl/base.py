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

from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import click

from hostctl import description
from hostctl.client import Client
from hostctl.kinds import Kinds
from hostctl.lookup import Lookup
from hostctl.output import Output
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

    @cached_property
    def kinds(self) -> Kinds:
        """What the server's description says about kinds."""
        return Kinds(description.load(self.client))

    @cached_property
    def kept_kinds(self) -> Kinds:
        """The same from the cache, however old: for completion and pages of help."""
        return Kinds(description.load(self.client, revalidate=False))

    @cached_property
    def lookup(self) -> Lookup:
        """From names to resources."""
        return Lookup(self.client, self.kinds)


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
