"""Moves without hosts: what can be asked for, and what becomes of the platform's rows however the run ends."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.core.db import unit_of_work
from api.core.kind import registry
from api.core.state import EXTENSION
from api.jobs import files
from api.jobs.finish import Ending, abandon, finish
from api.jobs.models import Delivery, Job
from api.launch.claim import claim
from api.launch.documents import document_of_launch
from api.launch.models import Launch
from api.moves.models import Move
from api.notify.models import Notice

DONE = {"tables": 3, "rows": 10, "bytes": 100, "passes": 2, "seconds": 4.2, "locked_seconds": 0.8}


@dataclass
class Moves:
    """The platform with a second db shard, and the worker's part by hand."""

    world: Any
    target: dict[str, Any]
    user: dict[str, Any]
    published: list[uuid.UUID] = field(default_factory=list)

    @contextmanager
    def transaction(self):
        with unit_of_work(self.world.app.extensions[EXTENSION].maker, self.published.append) as session:
            yield session

    def settle(self) -> None:
        """Everything that hosts owed is carried."""
        with self.transaction() as session:
            session.execute(sa.delete(Delivery))
            for kind in registry:
                session.execute(sa.update(kind.model.__table__).values(status="active", status_message=""))

    def ask(self, **body: Any) -> Any:
        path = f"/databases/{self.world['acme-database']}/move"
        return self.world.admin.post(path, {"shard_id": self.target["id"], **body})

    def begin(self) -> dict[str, Any]:
        answer = self.ask()
        assert answer.status_code == 202, answer.text
        return answer.json["resource"]

    def run(self, job_id: str, end: Callable[[Any, Any], Any]) -> None:
        with self.transaction() as session:
            launch = session.get_one(Launch, uuid.UUID(job_id))
            hosts = document_of_launch(session, launch, resources=False)["hosts"]
            taken = claim(session, launch, hosts, "worker", 60)
        with self.transaction() as session:
            assert end(session, taken)

    def end(self, job_id: str, reason: str = "", data: Any = None, heard: Any = None) -> None:
        told = Ending(reason=reason, data=data or {}, heard=heard or {})
        self.run(job_id, lambda session, taken: finish(session, taken, told))

    def move(self, id_: str) -> dict[str, Any]:
        found: dict[str, Any] = self.world.admin.get(f"/moves/{id_}").json
        return found

    def database(self) -> dict[str, Any]:
        found: dict[str, Any] = self.world.admin.get(f"/databases/{self.world['acme-database']}").json
        return found

    def owed(self) -> dict[tuple[str, str], set[str]]:
        """Return (kind, id) → names of the shards that owe it."""
        shard = registry["shard"].model
        found: dict[tuple[str, str], set[str]] = {}
        with self.world.session() as session:
            for kind, id_, name in session.execute(
                sa.select(Delivery.kind, Delivery.resource_id, shard.name).join(shard, shard.id == Delivery.shard_id)
            ):
                found.setdefault((kind, str(id_)), set()).add(name)
        return found

    @property
    def both(self) -> list[tuple[str, str]]:
        return [("database", self.world["acme-database"]), ("database_user", self.user["id"])]


@pytest.fixture
def moves(world):
    target = world.admin.make("shards", name="db-b", role="db", cluster_id=world["cluster"])
    world.admin.make("nodes", name="db3", address="10.0.0.93", shard_id=target["id"])
    user = world.admin.make("database-users", database_id=world["acme-database"], suffix="app")
    found = Moves(world, target, user)
    found.settle()
    return found


def test_a_run_is_told_what_to_move(moves):
    move = moves.begin()
    assert (move["state"], move["kind"], move["name"]) == ("copying", "database", moves.database()["name"])
    assert (move["source_address"], move["target_address"]) == ("10.0.0.16", "10.0.0.93")
    with moves.world.session() as session:
        launch = session.get_one(Launch, uuid.UUID(move["job_id"]))
        assert (launch.playbook, launch.operation) == ("move_database.yml", "move_database")
        assert launch.variables == {
            "move_database": move["name"],
            "move_source": "db1",
            "move_target": "db3",
            "move_step": "copy",
            "move_lock_seconds": 60,
        }
        hosts = document_of_launch(session, launch, resources=False)["hosts"]
    assert sorted(hosts) == ["db1", "db2", "db3"]
    assert moves.database()["shard_id"] == moves.world["db"], "it is in service where it was"
    assert [row["id"] for row in moves.world.admin.get("/moves?state=copying").json["items"]] == [move["id"]]


def test_a_success_switches_at_once(moves):
    world = moves.world
    world.admin.make(
        "notifications", name="Hook", type="webhook", url="https://portal.example.net/", topics=["resource_moved"]
    )
    move = moves.begin()
    before = moves.database()
    # While it copies, a password is rotated and the tenant suspended: both are owed to the source.
    assert world.admin.post(f"/database-users/{moves.user['id']}/rotate").status_code == 202
    assert world.admin.post(f"/tenants/{world['acme-tenant']}/suspend").status_code == 202
    assert moves.owed()["database_user", moves.user["id"]] == {"db-a"}
    moves.end(move["job_id"], data={"move": DONE}, heard={"progress": {"phase": "done"}})
    after, move = moves.database(), moves.move(move["id"])
    assert after["shard_id"] == moves.target["id"] and after["generation"] == before["generation"] + 1
    assert (move["state"], move["result"], move["progress"]) == ("switched", DONE, {"phase": "done"})
    assert move["switched_at"] and not move["ended_at"]
    assert {key: moves.owed()[key] for key in moves.both} == {key: {"db-b"} for key in moves.both}
    with world.session() as session:
        rows = session.scalars(sa.select(Audit).where(Audit.action == "moved")).all()
        assert [(row.actor_name, row.before, row.after) for row in rows] == [
            ("worker", {"shard_id": world["db"]}, {"shard_id": moves.target["id"]})
        ]
        (notice,) = session.scalars(sa.select(Notice).where(Notice.topic == "resource_moved")).all()
        assert notice.payload["from"] == "10.0.0.16" and notice.payload["to"] == "10.0.0.93"
        launch = sa.select(Job.id).where(Job.shard_id == uuid.UUID(moves.target["id"]), Job.state == "queued")
        assert session.scalar(launch) is not None, "the target's next run opens it there"


@pytest.mark.parametrize("data", [{}, {"move": "x"}])
@pytest.mark.parametrize("reason", ["", "host_failed: db3"])
def test_anything_else_leaves_it_at_the_source(moves, reason, data):
    if reason:
        data = {"move": DONE}  # it was told, and then the run failed
    move = moves.begin()
    moves.end(move["job_id"], reason, data, {"message": "db3: no room"} if reason else {})
    move = moves.move(move["id"])
    assert move["state"] == "failed" and move["ended_at"]
    assert move["message"] == ("db3: no room" if reason else "the run did not tell what it did")
    assert moves.database()["shard_id"] == moves.world["db"]
    # However far the run came: the next converge opens it at the source.
    assert {key: moves.owed()[key] for key in moves.both} == {key: {"db-a"} for key in moves.both}


def test_a_run_that_vanished_is_tried_again(moves):
    move = moves.begin()
    moves.run(move["job_id"], lambda session, taken: abandon(session, taken.job_id, "lease_lost"))
    assert moves.move(move["id"])["state"] == "failed"
    path = f"/moves/{move['id']}/retry"
    early = moves.world.admin.post(path)
    assert early.status_code == 409 and "status" in early.json["error"]["details"]["json"], "it is not healed yet"
    moves.settle()
    again = moves.world.admin.post(path).json["resource"]
    assert again["state"] == "copying" and again["job_id"] != move["job_id"] and again["id"] == move["id"]
    moves.end(again["job_id"], data={"move": DONE})
    assert moves.move(move["id"])["state"] == "switched"
    assert moves.world.admin.post(path).status_code == 409


def test_a_move_is_canceled_through_its_job(moves):
    move = moves.begin()
    assert moves.world.admin.post(f"/jobs/{move['job_id']}/cancel").status_code == 202
    assert moves.move(move["id"])["state"] == "canceled"
    assert moves.owed() == {}, "it never began, so there is nothing to heal"


def test_the_old_copy_goes_when_it_is_confirmed(moves):
    move, admin = moves.begin(), moves.world.admin
    path = f"/moves/{move['id']}/confirm"
    assert admin.post(path).status_code == 409
    moves.end(move["job_id"], data={"move": DONE})
    for reason in ("host_failed: db1", ""):
        job = admin.post(path).json["jobs"][0]["id"]
        with moves.world.session() as session:
            launch = session.get_one(Launch, uuid.UUID(job))
            assert launch.shards == [moves.world["db"]]
            expected = {"move_database": move["name"], "move_source": "db1", "move_step": "confirm"}
            assert launch.variables == expected
        assert moves.move(move["id"])["state"] == "confirming"
        moves.end(job, reason)
        assert moves.move(move["id"])["state"] == ("switched" if reason else "confirmed")
    assert admin.post(path).status_code == 409
    moves.settle()
    name = moves.database()["name"]
    admin.delete(f"/database-users/{moves.user['id']}")
    with moves.transaction() as session:
        session.execute(sa.delete(registry["database_user"].model))
    assert admin.delete(f"/databases/{moves.world['acme-database']}?confirm={name}").status_code == 202


def test_nothing_happens_to_it_meanwhile_that_would_need_one_place(moves):
    admin, path = moves.world.admin, f"/databases/{moves.world['acme-database']}"
    name, move = moves.database()["name"], moves.begin()
    assert moves.ask().status_code == 409
    refused = admin.delete(f"{path}?confirm={name}")
    assert refused.status_code == 409 and "is moving" in refused.text
    moves.end(move["job_id"], data={"move": DONE})
    refused = admin.delete(f"{path}?confirm={name}")
    assert refused.status_code == 409 and "confirm the move" in refused.text
    assert moves.ask(shard_id=moves.world["db"]).status_code == 409, "it is not open at the target yet"


def test_moving_back_replaces_what_stayed_there(moves):
    move = moves.begin()
    moves.end(move["job_id"], data={"move": DONE})
    moves.settle()
    back = moves.ask(shard_id=moves.world["db"]).json["resource"]
    assert (back["source_id"], back["target_id"]) == (move["target_id"], move["source_id"])
    moves.end(back["job_id"], data={"move": DONE})
    assert moves.database()["shard_id"] == moves.world["db"]
    assert (moves.move(move["id"])["state"], moves.move(back["id"])["state"]) == ("confirmed", "switched")


def test_where_it_cannot_go(moves):
    world = moves.world
    empty = world.admin.make("shards", name="db-c", role="db", cluster_id=world["cluster"])
    answers = {
        "is": (moves.ask(shard_id=world["db"]), 422),
        "role": (moves.ask(shard_id=world["web"]), 422),
        "none": (moves.ask(shard_id=str(uuid.uuid4())), 404),
        "empty": (moves.ask(shard_id=empty["id"]), 409),
        "late": (moves.ask(lock_seconds=100000), 422),
        "text": (moves.ask(lock_seconds="60"), 422),
        "more": (moves.ask(step="drop"), 422),
        "brand": (world.rest["acme"].post(f"/databases/{world['acme-database']}/move", {"shard_id": world["db"]}), 403),
    }
    assert {name: answer.status_code for name, (answer, _) in answers.items()} == {
        name: status for name, (_, status) in answers.items()
    }
    assert world.admin.get("/moves").json["items"] == []


def test_progress_is_shown_while_it_runs(moves, tmp_path):
    move = moves.begin()
    state = moves.world.app.extensions[EXTENSION]
    path = files._path(state.settings.data_dir, uuid.UUID(move["job_id"]), "events")
    path.parent.mkdir(parents=True, exist_ok=True)
    lines = ['{"event": "runner_retry", "progress": {"phase": "copying", "rows": %d}}' % rows for rows in (1, 2)]
    path.write_text("\n".join([*lines, '{"event": "runner_retry", "progress": {"rows": 3']))
    assert moves.move(move["id"])["progress"] == {"phase": "copying", "rows": 2}
    with moves.world.session() as session:
        assert session.get_one(Move, uuid.UUID(move["id"])).progress == {}
