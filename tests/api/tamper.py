"""What somebody with the database's password can do to the audit."""

from __future__ import annotations

from typing import Any

import sqlalchemy as sa

from api.core.db import engine_for
from api.core.state import EXTENSION


def engine_of(world: Any) -> sa.Engine:
    engine: sa.Engine = world.app.extensions[EXTENSION].engine
    return engine


def tamper(world: Any, *statements: str) -> None:
    """Change tables directly, past the triggers."""
    engine = engine_for(world.app.extensions[EXTENSION].settings.database_url)
    with engine.begin() as connection:
        triggers: list[str] = []
        if engine.dialect.name == "postgresql":
            connection.exec_driver_sql("set local session_replication_role = replica")
        else:
            found = connection.exec_driver_sql("select name, sql from sqlite_master where type = 'trigger'").all()
            for name, sql in found:
                connection.exec_driver_sql(f"drop trigger {name}")
                triggers.append(sql)
        for statement in statements:
            connection.exec_driver_sql(statement)
        for sql in triggers:
            connection.exec_driver_sql(sql)
    engine.dispose()


def export(world: Any, rest: Any = None, query: str = "") -> list[bytes]:
    """Return the lines of an export."""
    response = (rest or world.admin).get(f"/audit/export{query}")
    assert response.status_code == 200 and response.mimetype == "application/jsonl", response.text
    lines: list[bytes] = response.data.splitlines()
    return lines
