"""The health of db shards, and when a replica is promoted without anybody asking: decisions, with a real database."""

from __future__ import annotations

import dataclasses
import json
import socketserver
import threading
import time
import uuid
from datetime import timedelta
from http.server import BaseHTTPRequestHandler, HTTPServer

import pytest
import sqlalchemy as sa

from api.core.announce import happened
from api.core.audit import Audit
from api.core.db import now
from api.jobs import leases
from api.jobs.finish import Ending, abandon, finish
from api.jobs.models import Delivery, Job
from api.kinds.node import Node
from api.launch.claim import claim
from api.launch.models import Launch
from api.operations import core as operations
from api.watch import judge, look
from api.watch.answers import WHOLE, ask, ask_all, read
from api.watch.models import ShardHealth
from worker import watch
from worker.context import Context

NAMES = {"db1": "10.0.0.41", "db2": "10.0.0.42", "db3": "10.0.0.43"}


def answer(*, primary=False, follows="10.0.0.41", running=True, lag=0, semi_sync=True, server="up", **greets):
    """Return what a node says; ``greets`` name→bool for those that differ from the usual yes."""
    replication = None if primary else {"running": running, "lag": lag, "primary": follows, "error": "IO error 2003"}
    peers = {address: greets.get(name, True) for name, address in NAMES.items()}
    return {
        "server": server,
        "primary": primary,
        "read_only": not primary,
        "gtid": "0-1-7",
        "semi_sync": semi_sync,
        "replication": None if server == "down" else replication,
        "peers": peers,
    }


def seen(**answers):
    return [judge.Seen(name, NAMES[name], name == "db1", said) for name, said in answers.items()]


FINE = {"db1": answer(primary=True), "db2": answer()}
#: MariaDB on db1 is dead, or its host.
LOST = answer(running=False, db1=False)
DEAD = {"db1": None, "db2": LOST}


@pytest.mark.parametrize(
    ("nodes", "state", "problem"),
    [
        (FINE, "healthy", None),
        ({**FINE, "db3": answer()}, "healthy", None),
        ({"db1": answer(primary=True)}, "healthy", None),
        ({**FINE, "db3": None}, "degraded", "db3 does not answer"),
        ({**FINE, "db2": answer(running=False)}, "degraded", "replication on db2 has stopped: IO error 2003"),
        ({**FINE, "db2": answer(lag=31)}, "degraded", "db2 lags 31 s"),
        ({**FINE, "db2": answer(follows="10.0.0.43")}, "degraded", "db2 follows 10.0.0.43 in place of db1"),
        (
            {**FINE, "db1": answer(primary=True, semi_sync=False)},
            "degraded",
            "semi-synchronous replication is degraded",
        ),
        ({**FINE, "db2": answer(primary=True)}, "degraded", "db1 and db2 take writes both"),
        (
            {"db1": answer(follows="10.0.0.42"), "db2": answer(primary=True)},
            "degraded",
            "db2 takes writes, but db1 is recorded as the primary",
        ),
        # Only out of the platform's sight: its replica greets it.
        ({"db1": None, "db2": answer()}, "degraded", "db1 does not answer"),
        (DEAD, "down", "no server takes writes"),
        ({"db1": answer(server="down"), "db2": LOST}, "down", "MariaDB on db1 does not run"),
        ({"db1": {**answer(), "replication": None}, "db2": answer()}, "down", "db1 takes no writes"),
        ({"db1": None, "db2": None}, "unknown", "db1 does not answer"),
    ],
)
def test_health(nodes, state, problem):
    found, problems = judge.health(seen(**nodes), 30)
    assert found == state
    assert (problem is None and problems == []) or any(text.startswith(problem) for text in problems), problems


@pytest.mark.parametrize(
    ("nodes", "gone"),
    [
        (FINE, False),
        (DEAD, True),
        ({"db1": answer(server="down"), "db2": LOST}, True),
        # The platform alone is cut off; the replica alone is; nobody answers.
        ({"db1": None, "db2": answer()}, False),
        ({"db1": answer(primary=True), "db2": LOST}, False),
        ({"db1": None, "db2": None}, False),
        # The server runs, and only takes no writes.
        ({"db1": {**answer(), "replication": None}, "db2": answer()}, False),
        # Somebody else has taken over.
        ({"db1": None, "db2": answer(primary=True, db1=False)}, False),
        # Of several replicas more than half of those that answer.
        ({**DEAD, "db3": LOST}, True),
        ({**DEAD, "db3": None}, True),
        ({**DEAD, "db3": answer()}, False),
        # One that was never told about the primary says nothing.
        ({"db1": None, "db2": {**LOST, "peers": {}}}, False),
    ],
)
def test_both_observers_must_agree(nodes, gone):
    assert judge.verdict(seen(**nodes)).gone is gone


def test_what_a_replica_is_known_to_have():
    began = now()

    def after(nodes, before=None, gone=False):
        return judge.covered(seen(**nodes), gone, before, began)

    earlier, long_ago = began - timedelta(seconds=3), began - timedelta(seconds=11)
    assert after(FINE) == began
    assert after({**FINE, "db1": answer(primary=True, semi_sync=False)}, earlier) is None
    assert after({**FINE, "db2": answer(running=False)}, earlier) is None
    # The primary waits for some replica, but not for the one that is seen to follow.
    assert after({**FINE, "db2": answer(semi_sync=False)}, earlier) is None
    assert after({**FINE, "db2": answer(semi_sync=False), "db3": answer()}, earlier) == began
    assert after(DEAD, earlier, gone=True) == began
    assert after(DEAD, long_ago, gone=True) is None and after(DEAD, None, gone=True) is None
    # Out of sight, and its replica goes on; out of sight, and its replica does not.
    assert after({"db1": None, "db2": answer()}, earlier) == began
    assert after({"db1": None, "db2": answer(running=False)}, earlier) == earlier
    assert after({"db1": None, "db2": answer(semi_sync=False)}, earlier) == earlier


# --- with the database ------------------------------------------------------------------------------------------------


TOPICS = ("shard_healthy", "shard_degraded", "shard_down", "failover_begun", "failover_failed")


class Stage:
    """A db shard of two or three nodes that is looked at by hand, at times of its own."""

    def __init__(self, engine, names):
        self.engine = engine
        self.shard = engine.ids["db-a"] = engine.add("shard", name="db-a", role="db", cluster_id=engine.ids["cluster"])
        for name in names:
            engine.ids[name] = engine.add("node", name=name, address=NAMES[name], shard_id=self.shard)
        engine.settle_all()
        self.time = now()
        self.told = []

    def hear(self, topic, kind, ids, facts, **_):
        if kind == "shard" and topic in TOPICS:
            self.told.append((topic, facts(ids)[self.shard]))

    def automatic(self, **values):
        self.engine.change("shard", self.shard, automatic_failover=True, **values)

    def look(self, nodes, seconds=3):
        """Look once, ``seconds`` after the last time; return the failover that this began."""
        self.time += timedelta(seconds=seconds)
        with self.engine.transaction() as session:
            look.due(session)
            rows = session.execute(
                sa.select(Node.id, Node.name, Node.address, Node.is_primary).where(Node.shard_id == self.shard)
            )
            target = look.Target(self.shard, self.time, [tuple(row) for row in rows])
            return look.write(session, target, {NAMES[name]: said for name, said in nodes.items()}, 3)

    def looks(self, nodes, count):
        return [job for job in (self.look(nodes) for _ in range(count)) if job is not None]

    @property
    def row(self):
        return self.engine.all(sa.select(ShardHealth))[0]

    def moves(self):
        chosen = sa.select(Job).join(Launch, Launch.job_id == Job.id).where(Launch.operation != "")
        return self.engine.all(chosen.order_by(Job.created_at))

    def run(self, job, reason="", **data):
        """Let an operation run and end; a reason of ``vanished``: its worker died."""
        with self.engine.transaction() as session:
            taken = claim(session, session.get(Launch, job.id), NAMES, "test", 60)
        with self.engine.transaction() as session:
            if reason == "vanished":
                abandon(session, job.id, "lease_expired")
            else:
                finish(session, taken, Ending(reason=reason, data=data))

    def primary(self):
        return self.engine.all(sa.select(Node.name).where(Node.is_primary, Node.shard_id == self.shard))


@pytest.fixture
def stage(engine, request):
    made = Stage(engine, getattr(request, "param", ("db1", "db2")))
    with happened.connected_to(made.hear):
        yield made


def test_a_failover_begins_by_itself_once(stage):
    stage.automatic()
    assert stage.looks(FINE, 3) == []
    (job,) = stage.looks(DEAD, 12)
    launch = stage.engine.all(sa.select(Launch).where(Launch.job_id == job.id))[0]
    assert (launch.operation, launch.requested_by, launch.playbook) == ("failover", "watch", "failover.yml")
    # What decides about loss is the playbook, and nobody allowed any.
    assert launch.variables == {"db_dead_primary": "db1", "db_must_be_dead": True}
    assert stage.engine.published[-1] == job.id
    (audit,) = stage.engine.all(sa.select(Audit).where(Audit.action == "failover"))
    assert audit.actor_name == "watch" and audit.job_ids == [str(job.id)]
    assert audit.after["platform"] == "db1 does not answer" and audit.after["replicas"] == {"db2": "it does not greet"}
    assert [topic for topic, _ in stage.told] == ["shard_down", "failover_begun"]
    assert stage.told[0][1]["problems"][0] == "no server takes writes" and stage.told[1][1]["job_id"] == str(job.id)


def test_it_takes_as_long_as_the_shard_says(stage):
    stage.automatic(failover_after=30)
    stage.looks(FINE, 2)
    assert stage.looks(DEAD, 10) == [] and len(stage.looks(DEAD, 1)) == 1


@pytest.mark.parametrize("other", [FINE, {"db1": None, "db2": answer()}, {"db1": None, "db2": None}])
def test_both_must_agree_all_the_time(stage, other):
    """Flapping: each time that one of them does not agree, the time begins anew."""
    stage.automatic()
    stage.looks(FINE, 2)
    for _ in range(4):
        assert stage.looks(DEAD, 6) == []
        assert stage.look(other) is None


def test_what_has_lasted_is_told_once(stage):
    ill = {**FINE, "db2": answer(running=False)}
    stage.looks(FINE, 5)
    for nodes, count in ((ill, 2), (FINE, 5), (ill, 6), (FINE, 6), ({"db1": None, "db2": None}, 6)):
        stage.looks(nodes, count)
    assert [(topic, facts["state"]) for topic, facts in stage.told] == [
        ("shard_degraded", "degraded"),
        ("shard_healthy", "healthy"),
        ("shard_down", "unknown"),
    ]
    assert stage.told[0][1]["shard"] == "db-a" and "replication on db2" in stage.told[0][1]["problems"][0]


def test_nothing_happens_unless_it_is_switched_on(stage):
    stage.looks(FINE, 2)
    assert stage.looks(DEAD, 20) == [] and stage.row.gone_since is not None and stage.row.halted == ""
    assert stage.engine.row("shard", stage.shard).automatic_failover is False


def test_a_pause_of_the_watch_is_no_agreement(stage):
    stage.automatic()
    stage.looks(FINE, 2)
    stage.look(DEAD)
    assert stage.look(DEAD, seconds=60) is None and stage.row.gone_since == stage.time


def test_never_without_a_replica_that_has_everything(stage):
    stage.automatic()
    stage.looks({**FINE, "db1": answer(primary=True, semi_sync=False)}, 3)
    assert stage.looks(DEAD, 12) == [] and "not known" in stage.row.halted
    assert [topic for topic, _ in stage.told].count("failover_failed") == 1
    assert any("no automatic failover" in text for text in stage.row.problems)
    # The primary came back by itself: nothing is wrong any longer.
    stage.looks(FINE, 2)
    assert stage.row.halted == "" and len(stage.looks(DEAD, 12)) == 1


def test_a_run_that_may_have_stopped_the_primary_is_waited_for(stage):
    stage.automatic()
    stage.looks(FINE, 2)
    with stage.engine.transaction() as session:
        tokens = leases.acquire(session, ["db1", "db2"], uuid.uuid4(), 60)
        holder = session.scalar(sa.text("select holder from lease where host = 'db1'"))
    assert stage.looks(DEAD, 12) == [] and stage.row.gone_since is None
    with stage.engine.transaction() as session:
        leases.release(session, uuid.UUID(str(holder)), tokens)
    # Counted from then on; what was covered before is so still.
    assert stage.looks(DEAD, 6) == [] and len(stage.looks(DEAD, 3)) == 1


def test_a_run_that_began_afterwards_does_not_keep_it(stage):
    stage.automatic()
    stage.looks(FINE, 2)
    stage.look(DEAD)
    since = stage.row.gone_since
    stage.engine.change("node", stage.engine.ids["db2"], ssh_port=2022)
    taken = stage.engine.claim("db-a")
    with stage.engine.transaction() as session:
        session.execute(sa.update(Job).where(Job.id == taken.job_id).values(started_at=since + timedelta(seconds=1)))
    assert len(stage.looks(DEAD, 12)) == 1
    stage.engine.end(taken)


def test_after_one_that_ended_well_another_one_may_begin(stage):
    stage.automatic()
    stage.looks(FINE, 2)
    (job,) = stage.looks(DEAD, 9)
    assert stage.looks(DEAD, 12) == []  # it is queued
    stage.run(job, db_primary="db2")
    assert stage.primary() == ["db2"] and stage.row.halted == ""
    # All nodes of the shard, and whoever else must know, are told.
    owing = stage.engine.deliveries(kind="node", resource_id=stage.engine.ids["db2"])
    assert {stage.engine.ids[name] for name in ("db1", "db2")} <= {row.node_id for row in owing}
    assert stage.engine.all(sa.select(Audit.after).where(Audit.action == "promote")) == [{"primary": "db2"}]
    # The old one is back and follows: now it may take over in turn.
    back = {"db1": answer(follows=NAMES["db2"]), "db2": answer(primary=True)}
    stage.looks(back, 2)
    assert stage.row.state == "healthy"
    assert len(stage.looks({"db1": answer(running=False, follows=NAMES["db2"], db2=False), "db2": None}, 9)) == 1


def test_one_that_failed_is_not_tried_again(stage):
    stage.automatic()
    stage.looks(FINE, 2)
    (job,) = stage.looks(DEAD, 9)
    stage.run(job, "host_failed: db2")
    look_job = stage.moves()[-1]
    assert look_job.playbook == "primary.yml"
    stage.run(look_job, db_primary="")
    assert stage.looks(DEAD, 20) == []
    assert "ended without a new primary: host_failed: db2" in stage.row.halted
    assert [topic for topic, _ in stage.told].count("failover_failed") == 1
    # Somebody has looked: switched off and on.
    stage.engine.change("shard", stage.shard, automatic_failover=False)
    stage.look(DEAD)
    stage.automatic()
    assert len(stage.looks(DEAD, 9)) == 1


# --- the ends of moves ------------------------------------------------------------------------------------------------


def begin(stage, name="switchover", check=False, **variables):
    with stage.engine.transaction() as session:
        shard = session.get(look.Shard, stage.shard)
        return operations.begin(session, name, [shard], variables, "somebody", check=check)


def test_a_switchover_is_recorded_with_its_end(stage):
    job = begin(stage, db_new_primary="db2")
    stage.run(job, db_primary="db2")
    assert stage.primary() == ["db2"] and len(stage.moves()) == 1
    assert stage.engine.queued("db-a") is not None


def test_one_that_failed_after_it_had_moved_is_recorded_too(stage):
    stage.run(begin(stage, db_new_primary="db2"), "host_failed: db3", db_primary="db2")
    assert stage.primary() == ["db2"]


@pytest.mark.parametrize("reason", ["host_failed: db2", "vanished", "canceled"])
@pytest.mark.parametrize("truth", ["db1", "db2", ""])
def test_the_truth_is_looked_for(stage, reason, truth):
    """Nobody guesses from how far a run was meant to come."""
    stage.run(begin(stage, db_new_primary="db2"), reason)
    assert stage.primary() == ["db1"]
    finder = stage.moves()[-1]
    assert finder.playbook == "primary.yml" and finder.state == "queued"
    stage.run(finder, db_primary=truth)
    assert stage.primary() == [truth or "db1"]
    # What a move left half done is made whole: a converge opens the recorded one, and lets the others follow.
    assert stage.engine.queued("db-a") is not None and len(stage.moves()) == 2


def test_a_look_that_vanishes_is_repeated_but_not_for_ever(stage):
    stage.run(begin(stage, db_new_primary="db2"), "vanished")
    for count in (2, 3, 4):
        assert len(stage.moves()) == count
        stage.run(stage.moves()[-1], "vanished")
    assert len(stage.moves()) == 4


def test_what_never_began_and_what_only_predicts_changes_nothing(stage):
    stage.run(begin(stage, check=True, db_new_primary="db2"), db_primary="db2")
    job = begin(stage, db_new_primary="db2")
    with stage.engine.transaction() as session:
        from api.jobs.steer import cancel, locked

        cancel(session, locked(session, job.id), "somebody")
    assert stage.primary() == ["db1"] and len(stage.moves()) == 2


@pytest.mark.parametrize("told", ["web1", "nobody", "{{ 1 }}", 7, ["db2"]])
def test_a_name_of_no_node_is_not_believed(stage, told):
    stage.run(begin(stage, db_new_primary="db2"), db_primary=told)
    assert stage.primary() == ["db1"]
    assert stage.engine.all(sa.select(Delivery.kind).where(Delivery.resource_id == stage.engine.ids["web1"])) == []


# --- who looks, and what is asked -------------------------------------------------------------------------------------


def test_each_look_is_had_once(stage):
    with stage.engine.transaction() as session:
        assert look.due(session) == [stage.shard]
    with stage.engine.transaction() as session:
        target = look.take(session, stage.shard)
        assert [name for _, name, _, _ in target.nodes] == ["db1", "db2"]
    with stage.engine.transaction() as session:
        assert look.take(session, stage.shard) is None and look.due(session) == []
        later = dataclasses.replace(target, began=target.began + timedelta(seconds=5))
        look.write(session, later, {NAMES[name]: said for name, said in FINE.items()}, 0)
    with stage.engine.transaction() as session:
        # One that took longer than it may knows less than what is written by now.
        assert look.write(session, target, dict.fromkeys(NAMES.values()), 0) is None
    assert stage.row.state == "healthy"


def test_a_server_in_the_making_is_not_asked(stage):
    stage.engine.add("node", name="db3", address=NAMES["db3"], shard_id=stage.shard)
    with stage.engine.transaction() as session:
        look.due(session)
        assert [name for _, name, _, _ in look.take(session, stage.shard).nodes] == ["db1", "db2"]


def serve(body, status=200, headers=(), drip=0.0):
    """Serve one answer on an address of its own; return the server."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self):
            self.send_response(status)
            for name, value in headers:
                self.send_header(name, value)
            self.end_headers()
            for start in range(0, len(body), 1 if drip else 65536):
                self.wfile.write(body[start : start + (1 if drip else 65536)])
                self.wfile.flush()
                time.sleep(drip)

        def log_message(self, *_):
            pass

    class Server(socketserver.ThreadingMixIn, HTTPServer):
        daemon_threads = True

        def handle_error(self, *_):
            pass  # the other side went away

    server = Server(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return server


GOOD = json.dumps(answer(primary=True)).encode()


@pytest.mark.parametrize(
    ("body", "how"),
    [
        (b"", {}),
        (b"[]", {}),
        (GOOD, {"status": 503}),
        (GOOD, {"status": 302, "headers": [("Location", "http://127.0.0.1:1/")]}),
        (GOOD + b" " * 70_000, {}),
        (b"[" * 60_000, {}),
        (GOOD.replace(b'"primary": true', b'"primary": "true"', 1), {}),
        (GOOD.replace(b'"server": "up"', b'"server": "sideways"'), {}),
        (GOOD, {"drip": 0.2}),
    ],
)
def test_a_hostile_answer_is_none(body, how):
    server = serve(body, **how)
    began = time.monotonic()
    assert ask("127.0.0.1", server.server_port) is None
    assert time.monotonic() - began < WHOLE + 1
    server.shutdown()


def test_an_answer_is_data():
    said = answer()
    said["replication"]["error"] = "{{ 1 }}\x1b[2J\n" + "x" * 5000
    said["more"] = {"than": "we know"}
    found = read(json.dumps(said).encode())
    assert found["replication"]["error"].startswith("{{ 1 }} [2J x") and len(found["replication"]["error"]) == 300
    assert "more" not in found


def test_names_are_not_resolved_and_all_are_asked_at_once():
    assert ask("localhost", 9) is None
    server = serve(GOOD)
    assert ask_all(["127.0.0.1", "127.0.0.1"], server.server_port) == {"127.0.0.1": json.loads(GOOD)}
    server.shutdown()


def test_the_process_looks(stage):
    """Over HTTP, with two processes that want the same."""
    server = serve(GOOD)
    with stage.engine.transaction() as session:
        session.execute(sa.delete(Node).where(Node.name == "db2", ~sa.exists().where(Delivery.node_id == Node.id)))
        session.execute(sa.update(Node).where(Node.name == "db1").values(address="127.0.0.1"))
    settings = dataclasses.replace(stage.engine.settings, db_health_port=server.server_port, watch_seconds=1)
    context = Context(settings, stage.engine.maker.kw["bind"], stage.engine.maker, stage.engine.published.append)
    over = threading.Event()
    threads = [threading.Thread(target=watch.serve, args=(context, over)) for _ in range(2)]
    for thread in threads:
        thread.start()
    end = time.monotonic() + 20
    while not any(row.looked_at for row in stage.engine.all(sa.select(ShardHealth))):
        assert time.monotonic() < end
        time.sleep(0.1)
    over.set()
    for thread in threads:
        thread.join(20)
    assert stage.row.state == "healthy" and stage.row.nodes[0]["answer"]["primary"] is True
    server.shutdown()
