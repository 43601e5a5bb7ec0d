"""Exports: verifiable JSON lines, harmless CSV, own rows for a brand, bounded memory; and records of former times."""

from __future__ import annotations

import csv
import io
import json
import tracemalloc
import uuid
from datetime import UTC, datetime

import pytest
import sqlalchemy as sa
from alembic import command

from api.app import create_app
from api.auth.keys import issue
from api.core import audit, audit_export
from api.core.db import engine_for
from api.core.migrate import config, upgrade
from api.core.settings import Settings
from api.core.state import EXTENSION
from auditchain import Broken, verify

from .conftest import Rest, World
from .tamper import export, tamper


def records(lines):
    return [line for line in map(json.loads, lines) if line["type"] == "record"]


def test_a_brand_gets_its_own(world):
    lines = export(world, world.rest["acme"])
    found = records(lines)
    assert {line["brand_id"] for line in found} == {world["acme"]}
    assert json.loads(lines[0])["complete"] is False
    verdict = verify(lines)
    assert not verdict.complete and verdict.records == len(found)
    assert world.rest["acme"].get("/audit/head").status_code == 403
    assert world.rest["acme"].get("/audit/keys").status_code == 200
    # Each record of a part still stands for itself.
    lines[-2] = lines[-2].replace(b'"acme"', b'"acne"')
    with pytest.raises(Broken):
        verify(lines)


def test_filters(world):
    assert {line["kind"] for line in records(export(world, query="?kind=zone"))} == {"zone"}
    one = records(export(world, query=f"?resource_id={world['acme-zone']}&action=create"))
    assert [line["resource_id"] for line in one] == [world["acme-zone"]]
    assert world.admin.get("/audit/export?format=xml").status_code == 422
    assert world.rest["nothing"].get("/audit/export").status_code == 403


def test_pieces(world, monkeypatch):
    whole = export(world)
    monkeypatch.setattr(audit_export, "PIECE", 3)
    assert export(world)[1:] == whole[1:] and len(whole) > 10


def test_csv(world):
    labels = ["=1+1", "+1", "-1", "@SUM(A1)", "\tx", "\rx", '"quoted", and more', "a\nb", "fine"]
    with world.session() as session, session.begin():
        for label in labels:
            audit.record(
                session, actor=label, action="run", kind="shard", resource_id=uuid.UUID(int=9), before=None,
                after={"=a": label}, result="successful", duration_ms=0, job_ids=(),
            )  # fmt: skip
    response = world.admin.get(f"/audit/export?format=csv&resource_id={uuid.UUID(int=9)}")
    assert response.mimetype == "text/csv" and "attachment" in response.headers["Content-Disposition"]
    rows = list(csv.DictReader(io.StringIO(response.text, newline="")))
    assert [row["actor_name"] for row in rows] == [f"'{label}" if label[0] in "=+-@\t\r" else label for label in labels]
    assert [json.loads(row["after"]) for row in rows] == [{"=a": label} for label in labels]
    for row in csv.reader(io.StringIO(response.text, newline="")):
        assert not any(cell.startswith(("=", "+", "-", "@", "\t", "\r")) for cell in row)
    assert response.text.startswith('"id","at",') and all(row["hash"] and row["signature"] for row in rows)


@pytest.mark.parametrize("kind", ["jsonl", "csv"])
def test_bounded_memory(world, kind):
    """Twenty megabytes pass, and only a piece of them is held."""
    with world.session() as session, session.begin():
        for _ in range(4000):
            audit.record(
                session, actor="worker", action="run", kind="shard", resource_id=uuid.uuid4(), before=None,
                after={"text": "x" * 5000}, result="successful", duration_ms=0, job_ids=(),
            )  # fmt: skip
    response = world.admin.get(f"/audit/export?format={kind}")
    tracemalloc.start()
    size = sum(len(piece) for piece in response.iter_encoded())
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert size > 20_000_000 and most < 15_000_000, (size, most)


@pytest.fixture
def old(request, tmp_path, redis_url, settings):
    """An application on a database that had an audit before there was a chain."""
    sqlite = settings.database_url.startswith("sqlite")
    url = f"sqlite:///{tmp_path}/old.db" if sqlite else request.getfixturevalue("postgres")("old")
    command.upgrade(config(url), "0001")
    engine = engine_for(url)
    row = dict.fromkeys(("actor_id", "brand_id", "before"), None) | {
        "actor_name": "old", "action": "create", "kind": "zone", "result": "accepted", "duration_ms": 1,
        "trace_id": "", "remote_addr": "",
    }  # fmt: skip
    table = sa.Table("audit", sa.MetaData(), *(
        sa.Column(column.name, column.type) for column in audit.Audit.__table__.c
        if column.name not in ("seq", "prev_hash", "key_id", "hash", "signature")
    ))  # fmt: skip
    with engine.begin() as connection:
        for n in range(5):
            moment = datetime(2024, 1, 1 + n, tzinfo=UTC)
            own = {"id": uuid.uuid4(), "resource_id": uuid.uuid4(), "at": moment, "after": {"n": n}, "job_ids": ["a"]}
            connection.execute(table.insert(), {**row, **own})
    upgrade(url)
    engine.dispose()
    app = create_app(Settings(database_url=url, redis_url=redis_url, secret_key=settings.secret_key))
    with app.extensions[EXTENSION].maker.begin() as session:
        key = issue(session, "admin", ["*"], ["*"])[1]
    yield World(app, {"admin": Rest(app, key)})
    app.extensions[EXTENSION].engine.dispose()
    app.extensions[EXTENSION].reader.dispose()


def test_records_of_former_times(old):
    """They are no part of the chain, which says so, and yet cannot be changed once it has begun."""
    assert verify(export(old)).unsealed == 5
    old.admin.make("regions", name="eu-1")
    verdict = verify(export(old))
    assert (verdict.unsealed, verdict.records) == (5, 2)
    introduced = old.admin.get("/audit?kind=audit_key").json["items"][0]
    assert introduced["seq"] == 1 and introduced["after"]["unsealed"] == 5
    for statement in (
        "update audit set actor_name = 'new' where seq is null",
        "delete from audit where seq is null and duration_ms = 1",
    ):
        tamper(old, statement)
        with pytest.raises(Broken) as caught:
            verify(export(old))
        assert caught.value.seq == 1


def test_a_record_past_the_seal(world):
    """An insertion by our own code would be found like anybody else's."""
    with world.session() as session, session.begin():
        session.add(audit.new(
            actor="x", action="run", kind="shard", resource_id=uuid.uuid4(), before=None, after=None,
            result="successful", duration_ms=0, job_ids=(),
        ))  # fmt: skip
    with pytest.raises(Broken):
        verify(export(world))
