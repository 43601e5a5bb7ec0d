"""The command ``hostctl``."""

from __future__ import annotations

from pathlib import Path

import click

from hostctl.base import App, Main, pass_app

#: Commands by name: ``module:attribute``. A new module of commands is one line here; see ``hostctl/base.py``.
MODULES = {
    "completion": "hostctl.completion:completion",
}


@click.group(cls=Main, modules=MODULES, context_settings={"help_option_names": ["-h", "--help"]})
@click.option("--profile", metavar="NAME", help="Profile of the settings file. [HOSTCTL_PROFILE]")
@click.option("--config", type=click.Path(path_type=Path), help="Settings file. [HOSTCTL_CONFIG]")
@click.option("--url", help="The API's address. [HOSTCTL_URL]")
@click.option("--key-file", type=click.Path(path_type=Path), help="File that holds the API key. [HOSTCTL_KEY_FILE]")
@click.option("--timeout", type=click.FloatRange(min=1), help="Seconds that one answer may take. [HOSTCTL_TIMEOUT]")
@click.option("-q", "--quiet", is_flag=True, help="No messages but warnings and errors.")
@click.version_option(package_name="hostreeve", message="%(version)s")
@pass_app
def main(app: App, quiet: bool, **options: object) -> None:
    """Run a hosting platform from the command line."""
    app.options.update({name: value for name, value in options.items() if value is not None})
    app.out.quiet = quiet
