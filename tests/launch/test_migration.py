"""The table of jobs is made anew on SQLite: nothing that refers to a job may be lost, nor its unique index."""

from __future__ import annotations

import pytest
import sqlalchemy as sa
from alembic import command

from api.core.db import engine_for
from api.core.migrate import config, upgrade

FILL = """
insert into region (id, name, queue, status, status_message, delete_requested, generation, revision, created_at,
  updated_at) values ('{id}', 'eu', 'default', 'active', '', false, 1, 1, '{at}', '{at}');
insert into cluster (id, region_id, name, status, status_message, delete_requested, generation, revision, created_at,
  updated_at) values ('{id}', '{id}', 'eu-a', 'active', '', false, 1, 1, '{at}', '{at}');
insert into shard (id, cluster_id, name, role, status, status_message, delete_requested, generation, revision,
  created_at, updated_at) values ('{id}', '{id}', 'web-a', 'web', 'active', '', false, 1, 1, '{at}', '{at}');
insert into job (id, shard_id, playbook, "full", state, reason, published, worker, created_at, canceled_by, audit_head,
  resources, changed, failed, events_lost, truncated, events_sha256) values
  ('{id}', '{id}', 'site.yml', false, 'queued', '', 0, '', '{at}', '', '', 0, 0, 0, false, false, '');
insert into job_host (job_id, host, ok, changed, failed, skipped, unreachable, seconds, message)
  values ('{id}', 'web1', 1, 0, 0, 0, false, 1.0, '')
"""


@pytest.mark.parametrize("database", ["sqlite", "postgresql"])
def test_jobs_and_what_refers_to_them_survive(database, tmp_path, request):
    url = f"sqlite:///{tmp_path}/old.db"
    if database == "postgresql":
        url = request.getfixturevalue("postgres")("old")
    command.upgrade(config(url), "0007")
    engine = engine_for(url)
    id_ = "12345678123456781234567812345678"
    with engine.begin() as connection:
        for statement in FILL.format(id=id_, at="2026-01-01 00:00:00").split(";"):
            connection.exec_driver_sql(statement)
    upgrade(url)

    def counts():
        with engine.connect() as connection:
            return [connection.scalar(sa.text(f"select count(*) from {name}")) for name in ("job", "job_host")]

    assert counts() == [1, 1]
    again = f"insert into job select '{id_[::-1]}', " + ", ".join(
        f'"{column["name"]}"' for column in sa.inspect(engine).get_columns("job") if column["name"] != "id"
    )
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        connection.exec_driver_sql(f"{again} from job")
    with engine.begin() as connection:
        without = again.replace('"shard_id"', "null")
        connection.exec_driver_sql(f"{without} from job")
    with pytest.raises(sa.exc.IntegrityError), engine.begin() as connection:
        columns = "host, ok, changed, failed, skipped, unreachable, seconds, message"
        connection.exec_driver_sql(f"insert into job_host select '{'0' * 32}', {columns} from job_host")
    assert counts() == [2, 1]
    command.downgrade(config(url), "0007")
    assert counts() == [1, 1]
    engine.dispose()
