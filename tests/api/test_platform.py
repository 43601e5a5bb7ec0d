"""Placement: tenants, nodes, shards, and what a suspension reaches."""

from __future__ import annotations

import re
import uuid

import sqlalchemy as sa

from api.jobs.models import Delivery, Job


def test_tenants_are_named_and_numbered(world):
    made = [world.rest["acme"].make("tenants", brand_id=world["acme"]) for _ in range(5)]
    assert all(re.fullmatch(r"t_[a-z0-9]{10}", row["name"]) for row in made)
    first = made[0]["uid"]
    assert first >= 200_000 and [row["uid"] for row in made] == list(range(first, first + 5))
    assert re.fullmatch(r"web_[a-z0-9]{10}", world.rows["acme-webroot"]["name"])


def test_a_uid_is_never_given_again(world):
    first = world.rest["acme"].make("tenants", brand_id=world["acme"])
    with world.session() as session, session.begin():
        session.execute(sa.text("delete from delivery"))
        session.execute(sa.text("delete from tenant where uid = :uid"), {"uid": first["uid"]})
    assert world.rest["acme"].make("tenants", brand_id=world["acme"])["uid"] == first["uid"] + 1


def test_uids_run_out(world):
    with world.session() as session, session.begin():
        session.execute(sa.text("update counter set value = 499999"))
    refused = world.admin.post("/tenants", {"brand_id": world["acme"]})
    assert refused.status_code == 409 and "uid" in refused.json["error"]["message"]


def test_the_least_filled_web_shard(world):
    empty = world.admin.make("shards", name="web-b", role="web", cluster_id=world["cluster"])
    with world.session() as session:
        there = session.scalar(sa.text("select count(*) from tenant"))
    made = [world.rest["acme"].make("tenants", brand_id=world["acme"])["shard_id"] for _ in range(there + 1)]
    assert made == [empty["id"]] * there + [world["web"]]
    chosen = world.rest["acme"].make("tenants", brand_id=world["acme"], shard_id=empty["id"])
    assert chosen["shard_id"] == empty["id"] and chosen["status"] == "active"
    refused = world.admin.post("/tenants", {"brand_id": world["acme"], "shard_id": world["dns"]})
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["shard_id"]


def test_suspension_reaches_everything_of_the_tenant(world):
    acme = world.rest["acme"]
    with world.session() as session, session.begin():
        session.execute(sa.text("delete from delivery"))
        session.execute(sa.text("delete from job"))
    path = f"/tenants/{world['acme-tenant']}"
    answer = acme.post(f"{path}/suspend")
    assert answer.status_code == 202 and answer.json["resource"]["suspended"] is True
    assert answer.json["resource"]["generation"] == 2
    assert {job["shard_id"] for job in answer.json["jobs"]} == {world["web"], world["lb"], world["db"]}
    with world.session() as session:
        owed = session.execute(sa.select(Delivery.kind, sa.func.count()).group_by(Delivery.kind)).all()
        assert session.scalar(sa.select(sa.func.count()).select_from(Job)) == 3
    assert dict(tuple(row) for row in owed) == {"tenant": 2, "webroot": 2, "fqdn": 3, "database": 2}
    again = acme.post(f"{path}/suspend")
    assert again.json["jobs"] == [] and again.json["resource"]["generation"] == 2
    back = acme.post(f"{path}/unsuspend").json["resource"]
    assert back["suspended"] is False and back["generation"] == 3


def test_one_primary(world):
    body = {"name": "dns3", "address": "10.9.0.1", "shard_id": world["dns"], "is_primary": True}
    refused = world.admin.post("/nodes", body)
    assert refused.status_code == 409 and list(refused.json["error"]["details"]["json"]) == ["is_primary"]
    refused = world.admin.post("/nodes", {**body, "shard_id": world["web"]})
    assert refused.status_code == 422


def test_a_node_is_converged_first(world):
    """The load balancers learn of a web node only once it carries what they would send it."""
    answer = world.admin.post("/nodes", {"name": "web3", "address": "10.9.0.1", "shard_id": world["web"]})
    assert [job["shard_id"] for job in answer.json["jobs"]] == [world["web"]]
    answer = world.admin.post("/nodes", {"name": "dns3", "address": "10.9.0.2", "shard_id": world["dns"]})
    assert [job["shard_id"] for job in answer.json["jobs"]] == [world["dns"]]


def test_the_transfer_key(world):
    made = world.admin.make("shards", name="dns-b", role="dns", cluster_id=world["cluster"])
    given = {"tsig_secret": "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0"}
    refused = world.admin.post("/shards", {"name": "lb-b", "role": "lb", "cluster_id": world["cluster"], **given})
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["tsig_secret"]
    with world.session() as session:
        from api.core.kind import registry

        row = session.scalars(sa.select(registry["shard"].model).where(registry["shard"].model.name == "dns-b")).one()
        assert len(row.tsig_secret) == 44 and "tsig_secret" not in made
    changed = world.admin.patch(f"/shards/{world['dns']}", given)
    assert len(changed.json["jobs"]) == 1
    with world.session() as session:
        node = registry["node"].model
        nodes = set(session.scalars(sa.select(node.id).where(node.shard_id == uuid.UUID(world["dns"]))))
        owing = sa.select(Delivery.node_id).where(Delivery.kind == "node", Delivery.state == "pending")
        assert nodes and set(session.scalars(owing)) >= nodes


def test_what_is_in_use_stays(world):
    expected = {
        f"/regions/{world['region']}": ["clusters"],
        f"/clusters/{world['cluster']}": ["lb-addresses", "shards"],
        f"/shards/{world['web']}": ["nodes", "tenants"],
        f"/shards/{world['dns']}": ["nodes", "zones"],
        f"/shards/{world['db']}": ["nodes", "databases"],
        f"/brands/{world['acme']}": [
            "tenants",
            "zones",
            "databases",
            "valkey-instances",
            "webroots",
            "fqdns",
            "records",
        ],
        f"/tenants/{world['acme-tenant']}": ["databases", "webroots"],
        f"/webroots/{world['acme-webroot']}": ["fqdns"],
    }
    for path, has in expected.items():
        refused = world.admin.delete(path)
        assert refused.status_code == 409 and refused.json["error"]["details"] == {"has": has}


def test_a_family_can_be_deleted_at_once(world):
    """Children first, without waiting for the hosts; the parents go with the last child."""
    acme = world.rest["acme"]
    database = f"databases/{world['acme-database']}?confirm={world.rows['acme-database']['name']}"
    family = ("fqdns/" + world["acme-fqdn"], "webroots/" + world["acme-webroot"], database)
    for path in (*family, "tenants/" + world["acme-tenant"]):
        gone = acme.delete(f"/{path}")
        assert gone.status_code == 202 and gone.json["resource"]["status"] == "deleting", gone.text
    refused = world.admin.delete(f"/brands/{world['acme']}")
    assert refused.status_code == 409 and "tenants" in refused.json["error"]["details"]["has"]
    refused = acme.post("/webroots", {"tenant_id": world["acme-tenant"]})
    assert refused.status_code == 409 and list(refused.json["error"]["details"]["json"]) == ["tenant_id"]


def test_retry_re_drives_what_failed(world):
    path = f"/fqdns/{world['acme-fqdn']}"
    assert world.rest["acme"].post(f"{path}/retry").json["jobs"] == []
    with world.session() as session, session.begin():
        session.execute(sa.text("update delivery set state = 'failed', message = 'x' where kind = 'fqdn'"))
        session.execute(sa.text("update fqdn set status = 'failed'"))
        session.execute(
            sa.text(
                "delete from delivery where kind = 'fqdn' and node_id not in (select id from node where name = 'lb1')"
            )
        )
    answer = world.rest["acme"].post(f"{path}/retry").json
    assert [job["shard_id"] for job in answer["jobs"]] == [world["lb"]]
    assert answer["resource"]["status"] == "pending" and answer["resource"]["generation"] == 1
