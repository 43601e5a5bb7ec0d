"""``hostctl completion SHELL``: what the shell reads to complete commands, options and kinds."""

from __future__ import annotations

import click
from click.shell_completion import get_completion_class

from hostctl.base import Command


@click.command(cls=Command)
@click.argument("shell", type=click.Choice(["bash", "zsh", "fish"]))
@click.pass_context
def completion(ctx: click.Context, shell: str) -> None:
    """Print the completion script of a shell.

    For bash: hostctl completion bash > ~/.local/share/bash-completion/completions/hostctl
    """
    found = get_completion_class(shell)
    if found is None:
        raise click.UsageError(f"{shell} is not supported")
    click.echo(found(ctx.find_root().command, {}, "hostctl", "_HOSTCTL_COMPLETE").source())
