"""Many rows from one: what a platform of that size would hold, without a request for each."""

from __future__ import annotations

import sqlalchemy as sa


def copies(connection: sa.Connection, table: str, size: int, **changed: str) -> None:
    """Copy a table's first row so many times; ``changed`` are SQL expressions of ``n`` (from 1) by column."""
    columns = [column["name"] for column in sa.inspect(connection).get_columns(table)]
    values = ", ".join(changed.get(column, column) for column in columns)
    connection.execute(sa.text("set synchronous_commit = off"))
    connection.execute(
        sa.text(
            f"insert into {table} ({', '.join(columns)}) select {values} "
            f"from (select * from {table} order by created_at limit 1) one, generate_series(1, :size) n"
        ),
        {"size": size},
    )
