"""The migrated schema is what the models say, on both databases, forwards and backwards."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from alembic import command
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext

from api.core.db import Base, engine_for
from api.core.kind import registry
from api.core.migrate import config, heads, upgrade, version


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path}/schema.db"
    return request.getfixturevalue("postgres")("schema")


@pytest.fixture
def engine(url):
    engine = engine_for(url)
    yield engine
    engine.dispose()


def test_models_and_migrations_agree(url, engine):
    upgrade(url)
    with engine.connect() as connection:
        assert version(connection) == heads()
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_back_and_forth(url, engine):
    upgrade(url)
    command.downgrade(config(url), "base")
    assert set(sa.inspect(engine).get_table_names()) == {"alembic_version"}
    upgrade(url)
    upgrade(url)


def test_several_processes_migrate_at_once(postgres):
    url = postgres("race")
    with ThreadPoolExecutor(3) as pool:
        # Alembic's context is one per process, so the others are processes of their own.
        import subprocess
        import sys

        def run():
            code = "import sys; from api.core.migrate import upgrade; upgrade(sys.argv[1])"
            return subprocess.run([sys.executable, "-c", code, url], capture_output=True, text=True, check=False)

        done = [future.result() for future in [pool.submit(run) for _ in range(3)]]
    assert [run.returncode for run in done] == [0, 0, 0], [run.stderr[-500:] for run in done]


def test_columns_of_kinds():
    """What lists rely on: sort columns are never null, and all names compare byte by byte."""
    for kind in registry:
        columns = kind.model.__table__.c
        assert all(not columns[name].nullable for name in kind.sorts)
        assert all(name in columns for name in (*kind.filters, *kind.sorts, *kind.identity, kind.title))
        title = columns[kind.title].type.dialect_impl(sa.dialects.postgresql.dialect())
        assert getattr(title, "collation", None) == "C"
        assert columns[kind.title].nullable is False


def test_secrets_are_encrypted_columns():
    from api.core.crypto import Secret

    for kind in registry:
        for column in kind.model.__table__.c:
            assert isinstance(column.type, Secret) is bool(column.info.get("secret"))
