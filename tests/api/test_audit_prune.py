"""Retention: what is pruned is replaced by a signed checkpoint, from which the chain goes on."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import timedelta

import pytest
import sqlalchemy as sa

from api.core import audit, audit_prune
from api.core.db import now
from api.core.state import EXTENSION
from api.jobs.sweep import purge
from auditchain import Broken, verify
from worker import sweeper
from worker.context import Context

from .tamper import export, tamper


@pytest.fixture
def aged(world, monkeypatch):
    """The world's records are 40 days old, and five of today follow."""
    later = now() + timedelta(days=40)
    monkeypatch.setattr(audit, "now", lambda: later)
    monkeypatch.setattr(audit_prune, "now", lambda: later)
    world.last = world.admin.get("/audit/head").json
    for _ in range(5):
        world.admin.make("tenants", brand_id=world["acme"])
    return world


def prune(world, days=30):
    with world.session() as session, session.begin():
        purge(session, days)


def records(world):
    return [line for line in map(json.loads, export(world)) if line["type"] == "record"]


def test_for_ever(aged):
    before = export(aged)[1:]
    prune(aged, 0)
    prune(aged, 41)
    assert export(aged)[1:] == before


def test_pruned(aged):
    prune(aged)
    last, head = aged.last["seq"], aged.admin.get("/audit/head").json
    verdict = verify(export(aged), heads={last: aged.last["hash"], 3: "f" * 64})
    assert (verdict.pruned_seq, verdict.pruned, verdict.first, verdict.records) == (last, last, last + 1, 6)
    assert (verdict.seq, verdict.hash) == (head["seq"], head["hash"]) and verdict.unchecked == [3]
    told = aged.admin.get("/audit?action=prune").json["items"]
    assert [(entry["actor_name"], entry["after"]["seq"], entry["after"]["records"]) for entry in told] == [
        ("platform", last, last)
    ]
    # Nothing more to do, and nothing is noted about that.
    prune(aged)
    assert aged.admin.get("/audit/head").json == head
    aged.admin.make("tenants", brand_id=aged["acme"])
    verify(export(aged), heads={head["seq"]: head["hash"]})


def test_the_sweeper_prunes_by_the_setting(aged):
    """As the worker's process does it; without the setting nothing goes."""
    state = aged.app.extensions[EXTENSION]
    for days, first in ((0, 1), (30, aged.last["seq"] + 1)):
        settings = replace(state.settings, audit_days=days)
        sweeper.once(Context(settings, state.engine, state.maker, state.publish), purging=True)
        assert verify(export(aged)).first == first


def test_in_pieces(aged, monkeypatch):
    monkeypatch.setattr(audit_prune, "MOST", 7)
    first = verify(export(aged)).seq
    for _ in range(2):
        prune(aged)
        verify(export(aged))
    verdict = verify(export(aged))
    assert (verdict.pruned_seq, verdict.pruned, verdict.seq) == (14, 14, first + 2)


def test_a_young_record_keeps_those_behind_it(aged):
    """The chain goes from its beginning; nothing is taken out of its middle."""
    tamper(aged, f"update audit set at = '{now() + timedelta(days=39):%Y-%m-%d %H:%M:%S.%f}' where seq = 4")
    prune(aged)
    assert records(aged)[0]["seq"] == 4


def test_it_takes_no_other_deletion(aged):
    prune(aged)
    for statement in ("delete from audit", "update audit set actor_name = 'x'"):
        with aged.session() as session, pytest.raises(sa.exc.DatabaseError, match="append-only"):
            session.execute(sa.text(statement))


@pytest.mark.parametrize(
    "statement",
    [
        "update audit_checkpoint set seq = seq + 1",
        "update audit_checkpoint set count = count - 1",
        "update audit_checkpoint set hash = (select hash from audit_head)",
        "update audit_checkpoint set signature = (select signature from audit_key)",
        "delete from audit_checkpoint",
    ],
)
def test_a_forged_checkpoint(aged, statement):
    prune(aged)
    tamper(aged, statement)
    with pytest.raises(Broken):
        verify(export(aged))


def test_more_is_deleted_than_was_pruned(aged):
    prune(aged)
    tamper(aged, f"delete from audit where seq = {aged.last['seq'] + 1}")
    with pytest.raises(Broken, match="missing"):
        verify(export(aged))


def test_a_record_without_a_seal_behind_a_checkpoint(aged):
    prune(aged)
    tamper(aged, f"update audit set seq = null where seq = {aged.last['seq'] + 1}")
    with pytest.raises(Broken, match="never sealed"):
        verify(export(aged))


def test_pruned_during_an_export(aged, monkeypatch):
    """A reader must not take retention for a deletion: the export ends early, and says so."""
    from api.core import audit_export

    monkeypatch.setattr(audit_export, "PIECE", 3)
    response = aged.admin.get("/audit/export")
    pieces = response.iter_encoded()
    begun = [next(pieces) for _ in range(3)]
    prune(aged)
    with pytest.raises(Broken, match="ends early"):
        verify(b"".join([*begun, *pieces]).splitlines())
    verify(export(aged))
