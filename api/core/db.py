"""The database: column types, the base of every table, the session and the unit of work."""

from __future__ import annotations

import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, declared_attr, mapped_column, sessionmaker


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware datetimes in UTC on every database; SQLite would otherwise compare texts of two shapes."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        # PostgreSQL's sessions are in UTC (engine_for); SQLite stores no zone.
        return value.replace(tzinfo=UTC) if value is not None and value.tzinfo is None else value


_json = sa.JSON().with_variant(JSONB(), "postgresql")


class JsonMap(sa.types.TypeDecorator[dict[str, Any]]):
    """An object of names and texts."""

    impl = _json
    cache_ok = True


class JsonList(sa.types.TypeDecorator[list[str]]):
    """A list of texts."""

    impl = _json
    cache_ok = True


class JsonObject(sa.types.TypeDecorator[dict[str, Any]]):
    """An object of any JSON values."""

    impl = _json
    cache_ok = True


class JsonObjects(sa.types.TypeDecorator[list[dict[str, Any]]]):
    """A list of objects of any JSON values."""

    impl = _json
    cache_ok = True


#: Names compare byte by byte, so that an index serves prefix search and keyset paging on every database.
Name = sa.String(253).with_variant(sa.String(253, collation="C"), "postgresql")


def now() -> datetime:
    """Return the time as stored: aware, UTC."""
    return datetime.now(UTC)


class Base(DeclarativeBase):
    """Base of every table; constraint names are predictable, so that errors can name the field."""

    metadata = sa.MetaData(
        naming_convention={
            "ix": "ix_%(table_name)s_%(column_0_N_name)s",
            "uq": "uq_%(table_name)s_%(column_0_N_name)s",
            "ck": "ck_%(table_name)s_%(constraint_name)s",
            "fk": "fk_%(table_name)s_%(column_0_name)s",
            "pk": "pk_%(table_name)s",
        }
    )
    type_annotation_map: ClassVar = {
        datetime: UtcDateTime(),
        dict[str, Any]: JsonMap(),
        list[str]: JsonList(),
        uuid.UUID: sa.Uuid(),
    }


Id = Annotated[uuid.UUID, mapped_column(primary_key=True, default=uuid.uuid4, sort_order=-10)]

#: pending → provisioning → active or failed; suspended; deleting, then the row is gone.
STATUSES = ("pending", "provisioning", "active", "failed", "suspended", "deleting")


class Resource:
    """What every kind has. ``generation`` counts wishes, ``revision`` every write (optimistic lock, ETag)."""

    id: Mapped[Id]
    status: Mapped[str] = mapped_column(sa.String(16), default="pending", info={"ro": True}, sort_order=90)
    status_message: Mapped[str] = mapped_column(sa.Text, default="", info={"ro": True}, sort_order=91)
    #: the wish is that it be gone; the status alone could not say so after a failure
    delete_requested: Mapped[bool] = mapped_column(default=False, info={"ro": True}, sort_order=91)
    generation: Mapped[int] = mapped_column(default=1, info={"ro": True}, sort_order=92)
    revision: Mapped[int] = mapped_column(default=1, info={"ro": True}, sort_order=93)
    created_at: Mapped[datetime] = mapped_column(default=now, info={"ro": True}, sort_order=94)
    updated_at: Mapped[datetime] = mapped_column(default=now, onupdate=now, info={"ro": True}, sort_order=95)

    @declared_attr.directive
    def __mapper_args__(cls) -> dict[str, Any]:
        return {"version_id_col": cls.__table__.c.revision} if hasattr(cls, "__table__") else {}


#: Seconds after which an unused connection is tested before it is used again.
STALE = 5.0


def engine_for(url: str, *, reading: bool = False) -> sa.Engine:
    """Make the engine. A transaction on SQLite takes the write lock at its beginning and waits for it.

    With ``reading`` there are no transactions: each statement is one, which saves the round trips around it.
    """
    options: dict[str, Any] = {"isolation_level": "AUTOCOMMIT", "pool_reset_on_return": None} if reading else {}
    if not url.startswith("sqlite"):
        given = sa.make_url(url).query.get("options", "")
        options["connect_args"] = {"options": f"{given} -c TimeZone=UTC".strip()}
    engine = sa.create_engine(url, hide_parameters=True, **options)
    if engine.dialect.name == "sqlite":
        _prepare_sqlite(engine, reading)
    else:
        _test_idle(engine)
    return engine


def _prepare_sqlite(engine: sa.Engine, reading: bool) -> None:
    @sa.event.listens_for(engine, "connect")
    def prepare(connection: Any, _record: Any) -> None:
        # The driver's own BEGIN comes with the first write: too late for what was read and decided before.
        connection.isolation_level = None
        connection.execute("pragma journal_mode=wal")
        connection.execute("pragma synchronous=normal")
        connection.execute("pragma foreign_keys=on")
        connection.execute("pragma busy_timeout=30000")

    if reading:
        return

    @sa.event.listens_for(engine, "begin")
    def begin(connection: sa.Connection) -> None:
        if connection.get_execution_options().get("isolation_level") != "AUTOCOMMIT":
            connection.exec_driver_sql("begin immediate")


def _test_idle(engine: sa.Engine) -> None:
    """Like pool_pre_ping, which would cost every request a round trip, but only for connections that rested."""

    @sa.event.listens_for(engine, "checkin")
    def rest(_connection: Any, record: Any) -> None:
        record.info["rested"] = time.monotonic()

    @sa.event.listens_for(engine, "checkout")
    def test(connection: Any, record: Any, _proxy: Any) -> None:
        if time.monotonic() - record.info.get("rested", time.monotonic()) < STALE:
            return
        try:
            engine.dialect.do_ping(connection)
        except Exception as error:
            raise sa.exc.DisconnectionError from error


def insert(session: Session, table: Any) -> Any:
    """Return the dialect's insert, which knows ``on_conflict_do_…``."""
    return (postgresql.insert if session.get_bind().dialect.name == "postgresql" else sqlite.insert)(table)


Maker = sessionmaker[Session]


def maker_for(engine: sa.Engine) -> Maker:
    """Make the session factory; objects stay readable after the commit, so answers open no new transaction."""
    return sessionmaker(engine, expire_on_commit=False)


def keep(session: Session, *rows: Any) -> None:
    """Hold rows until the session ends: its own references are weak, and a row that went is read again."""
    session.info.setdefault("kept", []).extend(rows)


@contextmanager
def unit_of_work(maker: Maker, publish: Any) -> Iterator[Session]:
    """One transaction; ``publish(job_id)`` for every job in ``session.info['outbox']`` after the commit.

    ``publish`` must not raise: a job that was not told about is found by the sweeper.
    """
    with maker() as session:
        with session.begin():
            yield session
        for job_id in dict.fromkeys(session.info.pop("outbox", ())):
            publish(job_id)
