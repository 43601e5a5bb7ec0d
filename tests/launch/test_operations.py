"""Operations without Ansible: how they begin, what they hold, and that their end is told however they end."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from api.core.errors import ApiError
from api.core.kind import registry
from api.jobs.finish import Ending, abandon, finish
from api.jobs.models import Job
from api.jobs.steer import cancel, locked, relaunch
from api.launch.claim import claim
from api.launch.documents import document_of_launch
from api.launch.models import Launch
from api.operations import core

EVIL = "{{ lookup('pipe', 'id') }}"


@pytest.fixture
def ends(monkeypatch):
    """Two operations that write down how they ended: one holds its hosts, one only reads."""
    found = []

    def ended(session, launch, reason, heard):
        found.append((launch.variables["text"], launch.data, reason, heard))

    monkeypatch.setattr(core, "_operations", {})
    core.add(core.Operation("move", "move.yml", ended))
    core.add(core.Operation("look", "look.yml", ended, reads=True))
    return found


def begin(engine, name="move", text=EVIL):
    with engine.transaction() as session:
        shard = session.scalar(sa.select(registry["shard"].model).where(registry["shard"].model.name == "web-a"))
        return core.begin(session, name, [shard], {"text": text}, "somebody").id, shard.id


def take(session, job_id):
    launch = session.get_one(Launch, job_id)
    hosts = document_of_launch(session, launch, resources=False)["hosts"]
    return claim(session, launch, hosts, "worker", 60)


def test_what_an_operation_is_sent(engine, ends):
    job_id, shard_id = begin(engine)
    with engine.maker() as session:
        launch = session.get_one(Launch, job_id)
        document = document_of_launch(session, launch)
        node = registry["node"].model
        names = session.scalars(sa.select(node.name).where(node.shard_id == shard_id)).all()
        assert sorted(document["hosts"]) == sorted(names) and list(document["groups"]) == ["shard_web_a"]
        # The roles' variables, and no resources.
        assert "web_trusted_proxies" in document["groups"]["shard_web_a"]["vars"]
        lists = [
            value for host in document["hosts"].values() for key, value in host["vars"].items() if key[:4] == "web_"
        ]
        lists += [document["groups"]["shard_web_a"]["vars"].get("web_fqdns", [])]
        assert not any(value for value in lists if isinstance(value, list))
        assert launch.variables == {"text": EVIL} and launch.playbook == "move.yml" and not launch.check
        assert core.under_way(session, shard_id, ["move"]).id == job_id
        assert core.under_way(session, shard_id, ["look"]) is None


@pytest.mark.parametrize("reason", ["", "host_failed: web1"])
def test_the_end_is_told(engine, ends, reason):
    job_id, shard_id = begin(engine)
    with engine.transaction() as session:
        taken = take(session, job_id)
        assert len(taken.tokens) == 2
    with engine.transaction() as session:
        assert finish(session, taken, Ending(reason=reason, data={"new": "x"}, heard={"seen": 1}))
    assert ends == [(EVIL, {"new": "x"}, reason, {"seen": 1})]
    with engine.maker() as session:
        assert core.under_way(session, shard_id, ["move"]) is None
        assert session.get_one(Launch, job_id).data == {"new": "x"}
        assert session.get_one(Job, job_id).state == ("failed" if reason else "successful")
        with pytest.raises(ApiError, match="an end of its own"):
            relaunch(session, session.get_one(Job, job_id), failed_only=False)


def test_the_end_is_told_of_what_vanishes_or_is_canceled(engine, ends):
    first, _ = begin(engine, text="vanished")
    with engine.transaction() as session:
        take(session, first)
    with engine.transaction() as session:
        assert abandon(session, first, "lease_lost")
    second, _ = begin(engine, text="never began")
    with engine.transaction() as session:
        cancel(session, locked(session, second), "somebody")
    assert ends == [("vanished", {}, "lease_lost", {}), ("never began", {}, "canceled", {})]


def test_an_end_that_breaks_is_no_end(engine, ends, monkeypatch):
    """The job goes on being what it was: nothing of an end is written by halves."""

    def broken(*_):
        raise RuntimeError

    monkeypatch.setattr(core, "_operations", {"move": core.Operation("move", "move.yml", broken)})
    job_id, _ = begin(engine)
    with engine.transaction() as session:
        taken = take(session, job_id)
    with pytest.raises(RuntimeError), engine.transaction() as session:
        finish(session, taken, Ending())
    assert engine.all(sa.select(Job.state).where(Job.id == job_id)) == ["running"]


def test_a_name_is_declared_once(ends):
    with pytest.raises(ValueError, match="declared twice"):
        core.add(core.Operation("move", "other.yml", lambda *_: None))
