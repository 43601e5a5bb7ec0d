"""Alembic's environment: one transaction per migration, one migrating process at a time."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa
from alembic import context

import api.auth.models
import api.core.audit
import api.core.counter
import api.core.idempotency
import api.jobs.models
import api.jobs.terminal
import api.kinds
import api.launch.models
import api.moves.models
import api.plan.models
import api.usage.models
import api.watch.models
import api.workflow.models  # noqa: F401 - every table must be known
from api.core.crypto import Secret
from api.core.db import Base, JsonList, JsonMap, JsonObject, JsonObjects, Name, UtcDateTime, engine_for

#: Any number: whoever migrates holds this advisory lock of PostgreSQL.
LOCK = 7_465_337


def plain_type(kind: str, item: Any, _context: Any) -> str | bool:
    """Write our column types as what they are in the database: a migration must not change with our code."""
    names: dict[type, str] = dict.fromkeys((JsonMap, JsonList, JsonObject, JsonObjects), "JSON")
    names |= {UtcDateTime: "sa.DateTime(timezone=True)", Secret: "sa.Text()"}
    if kind == "type" and item is Name:
        return "NAME"
    return names.get(type(item), False) if kind == "type" else False


def run() -> None:
    """Migrate the database of the configuration."""
    engine = engine_for(context.config.attributes["url"])
    try:
        with engine.connect() as connection:
            if engine.dialect.name == "postgresql":
                # Held by the session, since each migration is a transaction of its own. A migration that cannot get
                # its locks fails soon, instead of stopping the whole application behind it.
                connection.execute(sa.text("select pg_advisory_lock(:key)"), {"key": LOCK})
                connection.execute(sa.text("set lock_timeout = '10s'"))
                connection.commit()
            else:
                # SQLite alters a table by making it anew; with its foreign keys that would delete what refers to it.
                # They can only be turned off outside of a transaction.
                connection.connection.cursor().execute("pragma foreign_keys=off")
            context.configure(
                connection=connection,
                target_metadata=Base.metadata,
                transaction_per_migration=True,
                # SQLite cannot alter a table in place.
                render_as_batch=True,
                render_item=plain_type,
                compare_type=True,
            )
            with context.begin_transaction():
                context.run_migrations()
    finally:
        engine.dispose()


run()
