"""Exports of the audit: JSON lines, which ``auditchain`` verifies without the platform, and CSV for people.

They are streamed in pieces, each read by a statement of its own: neither memory nor a transaction grows with them.
"""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from typing import Any

import sqlalchemy as sa
import structlog

from api.core.audit import Audit
from api.core.chain import CHECKPOINT, HEAD, KEY
from api.core.db import now
from auditchain import FORMAT, canonical, content_of, text_of

log = structlog.get_logger(__name__)

TABLE = Audit.__table__
#: Rows that are read, and sent, at a time.
PIECE = 500
#: What a spreadsheet takes for the beginning of a formula.
FORMULA = ("=", "+", "-", "@", "\t", "\r", "\n")
Conditions = Sequence[sa.ColumnElement[bool]]


def json_lines(engine: sa.Engine, conditions: Conditions, filters: dict[str, Any]) -> Iterator[bytes]:
    """Yield the lines of an export; ``filters`` is what was asked for, and empty for the whole chain."""
    with engine.connect() as connection:
        # The head first: what is written from now on is not in this export.
        head = connection.execute(sa.select(HEAD.c.seq, HEAD.c.hash)).mappings().one()
        keys = connection.execute(sa.select(KEY).order_by(KEY.c.at)).mappings().all()
        checkpoint = _checkpoint(connection)
    complete = not conditions
    yield _line("export", {"format": FORMAT, "complete": complete, "at": now(), "filters": filters})
    for key in keys:
        yield _line("key", key)
    if checkpoint is not None and complete:
        yield _line("checkpoint", checkpoint)
    expected = 1 if checkpoint is None else checkpoint["seq"] + 1
    for rows in pieces(engine, [*conditions, sa.or_(TABLE.c.seq.is_(None), TABLE.c.seq <= head["seq"])]):
        sealed = [row["seq"] for row in rows if row["seq"] is not None]
        if complete and sealed and sealed[0] != expected and _pruned_meanwhile(engine, expected):
            log.warning("the audit was pruned during its export, which is cut off")
            return
        expected = sealed[-1] + 1 if sealed else expected
        yield b"".join(map(_record, rows))
    yield _line("head", head)


def comma_separated(engine: sa.Engine, conditions: Conditions) -> Iterator[bytes]:
    """Yield the lines of a CSV: every cell quoted, and none that a spreadsheet would compute."""
    yield _csv([[column.key for column in TABLE.c]])
    for rows in pieces(engine, conditions):
        yield _csv([[_cell(value) for value in row.values()] for row in rows])


def pieces(engine: sa.Engine, conditions: Conditions) -> Iterator[Sequence[Any]]:
    """Yield lists of rows: those from before the chain, then the chain in its order."""
    place: Sequence[Any]
    for place, part in (
        ((TABLE.c.at, TABLE.c.id), TABLE.c.seq.is_(None)),
        ((TABLE.c.seq,), TABLE.c.seq.is_not(None)),
    ):
        query = sa.select(TABLE).where(*conditions, part).order_by(*place).limit(PIECE)
        behind: sa.ColumnElement[bool] = sa.true()
        while True:
            with engine.connect() as connection:
                rows = connection.execute(query.where(behind)).mappings().all()
            if rows:
                yield rows
            if len(rows) < PIECE:
                break
            last = [rows[-1][column.key] for column in place]
            behind = sa.tuple_(*place) > sa.tuple_(*last, types=[column.type for column in place])


def _checkpoint(connection: sa.Connection) -> Any:
    query = sa.select(CHECKPOINT).order_by(CHECKPOINT.c.seq.desc()).limit(1)
    return connection.execute(query).mappings().first()


def _pruned_meanwhile(engine: sa.Engine, expected: int) -> bool:
    with engine.connect() as connection:
        found = _checkpoint(connection)
    return found is not None and found["seq"] >= expected


def _record(row: Any) -> bytes:
    proof = {} if row["seq"] is None else {"hash": row["hash"], "signature": row["signature"]}
    return _line("record", {"seq": None, **content_of(row), **proof})


def _line(kind: str, fields: Any) -> bytes:
    return canonical({"type": kind, **{name: text_of(value) for name, value in fields.items()}}) + b"\n"


def _csv(rows: list[list[Any]]) -> bytes:
    text = io.StringIO()
    csv.writer(text, quoting=csv.QUOTE_ALL).writerows(rows)
    return text.getvalue().encode()


def _cell(value: Any) -> str:
    if value is None:
        return ""
    text = canonical(value).decode() if isinstance(value, dict | list) else str(text_of(value))
    return f"'{text}" if text.startswith(FORMULA) else text
