"""The chain of the audit: whatever is done to the table, verification finds it and says where."""

from __future__ import annotations

import json
import uuid
from concurrent.futures import ThreadPoolExecutor

import pytest
import sqlalchemy as sa
from cryptography.fernet import Fernet

from api.core import audit, crypto
from api.core.chain import AuditHead, anchor
from api.core.state import EXTENSION
from auditchain import ZERO, Broken, Signer, canonical, digest_of, verify

from .tamper import engine_of, export, tamper


def test_every_record_is_sealed(world):
    verdict = verify(export(world))
    head = world.admin.get("/audit/head").json
    assert (verdict.seq, verdict.hash) == (head["seq"], head["hash"])
    assert verdict.complete and verdict.records == verdict.seq > 20 and verdict.unsealed == 0
    keys = world.admin.get("/audit/keys").json["items"]
    assert [key["key_id"] for key in keys] == [verdict.root] == verdict.keys
    newest = world.admin.get("/audit?limit=200&sort=at").json["items"]
    assert sorted(entry["seq"] for entry in newest) == list(range(1, verdict.seq + 1))
    last = next(entry for entry in newest if entry["seq"] == head["seq"])
    assert {name: last[name] for name in head} == head


def test_a_refused_mutation_leaves_no_gap(world):
    before = world.admin.get("/audit/head").json["seq"]
    for _ in range(3):
        body = {"fqdn": "www.acme.example", "webroot_id": world["acme-webroot"]}
        assert world.admin.post("/fqdns", body).status_code == 409
    world.admin.make("tenants", brand_id=world["acme"])
    assert verify(export(world)).seq == before + 1


RUN = {
    "actor": "worker", "action": "run", "kind": "shard", "resource_id": uuid.UUID(int=7), "before": None,
    "after": {"ok": 1}, "result": "successful", "duration_ms": 1, "job_ids": (),
}  # fmt: skip


def test_rolled_back(world):
    """Also what fails behind the seal, at the very commit, leaves nothing."""
    maker = world.app.extensions[EXTENSION].maker
    before = world.admin.get("/audit/head").json
    with maker() as session:
        audit.record(session, **RUN)
        session.rollback()
        session.commit()
    with maker() as session:
        sealed = []

        def refuse(session):
            sealed.append(session.scalar(sa.select(AuditHead.seq)))
            raise OSError("no")

        sa.event.listen(session, "before_commit", refuse)
        audit.record(session, **RUN)
        with pytest.raises(OSError, match="no"):
            session.commit()
    assert sealed == [before["seq"] + 1]
    assert world.admin.get("/audit/head").json == before
    verify(export(world))


def test_many_at_once(world):
    before = world.admin.get("/audit/head").json["seq"]
    with ThreadPoolExecutor(8) as pool:
        answers = list(pool.map(lambda n: world.admin.post("/tenants", {"brand_id": world["acme"]}), range(40)))
    assert {answer.status_code for answer in answers} == {202}
    assert verify(export(world)).seq == before + 40


EDITS = [
    "update audit set actor_name = 'nobody' where seq = 9",
    "update audit set result = 'refused' where seq = 9",
    "update audit set job_ids = '[]' where seq = 9",
    'update audit set after = \'{"name": "x"}\' where seq = 9',
    "update audit set at = '2020-01-01 00:00:00.000000' where seq = 9",
    "update audit set brand_id = null, resource_id = id where seq = 9",
    "update audit set duration_ms = duration_ms + 1 where seq = 9",
    "update audit set prev_hash = hash where seq = 9",
    "update audit set hash = prev_hash where seq = 9",
    "update audit set signature = (select signature from audit where seq = 8) where seq = 9",
    "update audit set key_id = id where seq = 9",
]


@pytest.mark.parametrize("statement", EDITS)
def test_an_edit(world, statement):
    tamper(world, statement)
    with pytest.raises(Broken) as caught:
        verify(export(world))
    assert caught.value.seq == 9, caught.value


def test_a_deletion(world):
    tamper(world, "delete from audit where seq in (7, 8)")
    with pytest.raises(Broken, match="missing: 7 to 8") as caught:
        verify(export(world))
    assert caught.value.seq == 7


def test_the_first_one_deleted(world):
    tamper(world, "delete from audit where seq = 1")
    with pytest.raises(Broken, match="missing: 1"):
        verify(export(world))


def test_a_deletion_that_closes_the_gap(world):
    """Numbers moved up: the content of each names its own."""
    tamper(world, "delete from audit where seq = 8")
    for seq in range(9, world.admin.get("/audit/head").json["seq"] + 1):
        tamper(world, f"update audit set seq = {seq - 1} where seq = {seq}")
    with pytest.raises(Broken) as caught:
        verify(export(world))
    assert caught.value.seq == 8


def test_truncation(world):
    """Without the head: the platform says so itself. With it: only who remembers it, or asks a host, can know."""
    head = world.admin.get("/audit/head").json
    known = {head["seq"]: head["hash"]}
    verify(export(world), heads=known)
    tamper(world, f"delete from audit where seq > {head['seq'] - 3}")
    with pytest.raises(Broken, match=f"the chain ends at {head['seq'] - 3}, and the platform says {head['seq']}"):
        verify(export(world))
    tamper(
        world,
        f"update audit_head set seq = {head['seq'] - 3}, hash = (select hash from audit where seq = {head['seq'] - 3})",
    )
    verify(export(world))
    with pytest.raises(Broken, match="was seen before") as caught:
        verify(export(world), heads=known)
    assert caught.value.seq == head["seq"] - 2
    # And it stays found when the chain has grown past it.
    for _ in range(4):
        world.admin.make("tenants", brand_id=world["acme"])
    verify(export(world))
    with pytest.raises(Broken, match="written anew") as caught:
        verify(export(world), heads=known)
    assert caught.value.seq == head["seq"]


def test_everything_deleted(world):
    head = world.admin.get("/audit/head").json
    tamper(world, "delete from audit", f"update audit_head set seq = 0, hash = '{ZERO}', key_id = null")
    with pytest.raises(Broken, match="the chain ends at 0"):
        verify(export(world), heads={head["seq"]: head["hash"]})


COPY = "insert into audit ({0}) select {1} from audit where seq = 5"


@pytest.mark.parametrize("seq", ["null", "100000"])
def test_an_insertion(world, seq):
    """A copy of a real record, under another id."""
    columns = [column["name"] for column in sa.inspect(engine_of(world)).get_columns("audit")]
    other = "(select signature_id from (select id as signature_id from tenant limit 1) t)"
    values = {"id": other, "seq": seq}
    tamper(world, COPY.format(", ".join(columns), ", ".join(values.get(name, name) for name in columns)))
    if seq == "100000":
        tamper(world, "update audit_head set seq = 100000")
    with pytest.raises(Broken):
        verify(export(world))


def test_reordering(world):
    tamper(
        world,
        "update audit set seq = -5 where seq = 5",
        "update audit set seq = 5 where seq = 6",
        "update audit set seq = 6 where seq = -5",
    )
    with pytest.raises(Broken) as caught:
        verify(export(world))
    assert caught.value.seq == 5


def test_a_forger_with_a_key_of_his_own(world):
    """Who can write the database, and has not HOSTREEVE_SECRET_KEY, may make a chain that holds, but not our key."""
    root = verify(export(world)).root
    forger = Signer(b"f" * 32)
    lines, last = [], ZERO
    for line in map(json.loads, export(world)):
        kind = line.pop("type")
        if kind == "key":
            del line["signature"]
            line |= {"key_id": forger.id, "public_key": forger.public_key}
            line |= {"signature": forger.sign("key", digest_of(line))}
        if kind == "record":
            del line["hash"], line["signature"]
            line |= {"prev_hash": last, "key_id": forger.id}
            last = digest_of(line)
            line |= {"hash": last, "signature": forger.sign("record", last)}
        if kind == "head":
            line["hash"] = last
        lines.append(canonical({"type": kind, **line}))
    assert verify(lines).root == forger.id != root
    with pytest.raises(Broken, match="not one that is trusted"):
        verify(lines, trusted=[root])


def test_a_new_secret_key(world):
    """The old key introduces the new one; and processes that do not know it yet go on with the old one."""
    settings = world.app.extensions[EXTENSION].settings
    newer = Fernet.generate_key().decode()
    try:
        crypto.use(f"{newer},{settings.secret_key}")
        world.admin.make("tenants", brand_id=world["acme"])
        crypto.use(settings.secret_key)
        world.admin.make("tenants", brand_id=world["acme"])
        crypto.use(newer)
        world.admin.make("tenants", brand_id=world["acme"])
        first, second = world.admin.get("/audit/keys").json["items"]
        assert first["introduced_by"] is None and second["introduced_by"] == first["key_id"]
        verdict = verify(export(world), trusted=[first["key_id"]])
        assert verdict.root == first["key_id"] and len(verdict.keys) == 2
        told = world.admin.get("/audit?kind=audit_key").json["items"]
        assert {entry["resource_id"]: entry["key_id"] for entry in told} == {
            first["key_id"]: first["key_id"],
            second["key_id"]: first["key_id"],
        }
        tamper(world, f"update audit_key set introduced_by = null where key_id = '{second['key_id']}'")
        tamper(world, f"update audit_key set introduced_by = null where key_id = '{second['key_id'].replace('-', '')}'")
        with pytest.raises(Broken):
            verify(export(world))
    finally:
        crypto.use(settings.secret_key)


def test_a_secret_key_without_the_old_one(world):
    settings = world.app.extensions[EXTENSION].settings
    before = world.admin.get("/audit/head").json
    try:
        crypto.use(Fernet.generate_key().decode())
        assert world.admin.post("/tenants", {"brand_id": world["acme"]}).status_code == 500
    finally:
        crypto.use(settings.secret_key)
    assert world.admin.get("/audit/head").json == before
    verify(export(world))


def test_the_anchor(world):
    with world.session() as session:
        head = world.admin.get("/audit/head").json
        assert anchor(session) == f"{head['seq']}:{head['hash']}"
