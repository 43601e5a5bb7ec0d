"""The database: column types, the base of every table, the session and the unit of work."""

from __future__ import annotations

import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Annotated, Any, ClassVar

import sqlalchemy as sa
from sqlalchemy.dialects.postgresql import JSONB
from sqlalchemy.orm import DeclarativeBase, Mapped, Session, declared_attr, mapped_column, sessionmaker


class UtcDateTime(sa.types.TypeDecorator[datetime]):
    """Aware datetimes in UTC on every database; SQLite would otherwise compare texts of two shapes."""

    impl = sa.DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: Any | None, dialect: sa.Dialect) -> datetime | None:
        return None if value is None else value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


Json = sa.JSON().with_variant(JSONB(), "postgresql")
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
        dict[str, Any]: Json,
        list[str]: Json,
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


def engine_for(url: str) -> sa.Engine:
    """Make the engine; SQLite gets WAL, foreign keys and a lock timeout."""
    engine = sa.create_engine(url, hide_parameters=True, pool_pre_ping=not url.startswith("sqlite"))
    if engine.dialect.name == "sqlite":

        @sa.event.listens_for(engine, "connect")
        def prepare(connection: Any, _record: Any) -> None:
            connection.execute("pragma journal_mode=wal")
            connection.execute("pragma synchronous=normal")
            connection.execute("pragma foreign_keys=on")
            connection.execute("pragma busy_timeout=30000")

    return engine


Maker = sessionmaker[Session]


def maker_for(engine: sa.Engine) -> Maker:
    """Make the session factory; objects stay readable after the commit, so answers open no new transaction."""
    return sessionmaker(engine, expire_on_commit=False)


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
