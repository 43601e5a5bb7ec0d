"""Commands of the operator: the database, keys, the secret key. They use the settings of the environment."""

from __future__ import annotations

import uuid
from datetime import timedelta

import click
import sqlalchemy as sa
from cryptography.fernet import Fernet

from api.core.settings import load


@click.group()
def main() -> None:
    """Run Hostreeve's API: database, keys, description."""


@main.group()
def db() -> None:
    """Work on the database's schema."""


@db.command()
def upgrade() -> None:
    """Bring the database to the newest version."""
    from api.core.migrate import upgrade as run

    run(load().database_url)


@db.command()
@click.option("--message", required=True, help="what the migration does, in a few words")
def revision(message: str) -> None:
    """Write a migration for what the models have and the database has not; read it before you keep it."""
    from api.core.migrate import revision as run

    run(load().database_url, message)


@main.command("secret-key")
def secret_key() -> None:
    """Print a new value for HOSTREEVE_SECRET_KEY."""
    click.echo(Fernet.generate_key().decode())


@main.command()
def openapi() -> None:
    """Print the API's description."""
    from api.app import create_app

    click.echo(create_app().test_client().get("/openapi.json").text)


@main.group()
def keys() -> None:
    """Issue, list and revoke API keys."""


@keys.command("create")
@click.option("--name", required=True, help="who or what uses the key")
@click.option("--scopes", required=True, help="comma separated, such as 'tenant:*,*:read'; '*' is all of them")
@click.option("--brands", required=True, help="comma separated ids of brands, or '*'")
@click.option("--days", type=click.IntRange(1, 3650), help="days until it expires; never without")
def create(name: str, scopes: str, brands: str, days: int | None) -> None:
    """Print a new key. It is shown this once."""
    from api.app import blueprints
    from api.auth.keys import issue
    from api.core import audit
    from api.core.db import engine_for, maker_for, now

    blueprints()  # declares every scope
    brand_list = ["*"] if brands == "*" else [str(uuid.UUID(item.strip())) for item in brands.split(",")]
    expires_at = None if days is None else now() + timedelta(days=days)
    with maker_for(engine_for(load().database_url)).begin() as session:
        try:
            row, token = issue(
                session, name, [item.strip() for item in scopes.split(",")], brand_list, expires_at=expires_at
            )
        except ValueError as error:
            raise click.ClickException(str(error)) from None
        audit.record(
            session, actor="command line", action="create", kind="api_key", resource_id=row.id, before=None,
            after={"name": name, "prefix": row.prefix, "scopes": row.scopes, "brands": row.brands},
            result="accepted", duration_ms=0, job_ids=(),
        )  # fmt: skip
    click.echo(token)


@keys.command("list")
def list_() -> None:
    """List the keys: id, prefix, name, state."""
    from api.auth.models import ApiKey
    from api.core.db import engine_for, maker_for

    with maker_for(engine_for(load().database_url))() as session:
        for row in session.scalars(sa.select(ApiKey).order_by(ApiKey.created_at)):
            click.echo(f"{row.id}  hr_{row.prefix}  {'revoked' if row.revoked_at else 'valid':8}{row.name}")


@keys.command("revoke")
@click.argument("key_id", type=click.UUID)
def revoke(key_id: uuid.UUID) -> None:
    """Revoke a key; running processes notice within seconds."""
    from api.auth.models import ApiKey
    from api.core import audit
    from api.core.db import engine_for, maker_for, now

    with maker_for(engine_for(load().database_url)).begin() as session:
        row = session.get(ApiKey, key_id)
        if row is None:
            raise click.ClickException("there is no such key")
        row.revoked_at = row.revoked_at or now()
        audit.record(
            session, actor="command line", action="delete", kind="api_key", resource_id=row.id, before={}, after={},
            result="accepted", duration_ms=0, job_ids=(),
        )  # fmt: skip
