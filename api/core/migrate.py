"""The schema's version: Alembic, called from the command line, the readiness check and the tests."""

from __future__ import annotations

from functools import cache
from pathlib import Path

import sqlalchemy as sa
from alembic import command
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

SCRIPTS = Path(__file__).resolve().parents[1] / "migrations"


def config(url: str = "") -> Config:
    """Return Alembic's configuration for a database."""
    found = Config()
    found.set_main_option("script_location", str(SCRIPTS))
    found.attributes["url"] = url
    return found


@cache
def heads() -> tuple[str, ...]:
    """Return the version that this code needs."""
    return tuple(ScriptDirectory.from_config(config()).get_heads())


def version(connection: sa.Connection) -> tuple[str, ...]:
    """Return the version of a database."""
    return tuple(MigrationContext.configure(connection).get_current_heads())


def upgrade(url: str) -> None:
    """Bring a database to the newest version; on PostgreSQL one process at a time, the others wait."""
    command.upgrade(config(url), "head")


def revision(url: str, message: str) -> None:
    """Write the next migration from the difference between the models and a migrated database."""
    number = len(list(ScriptDirectory.from_config(config()).walk_revisions())) + 1
    command.revision(config(url), message, autogenerate=True, rev_id=f"{number:04}")
