"""What hosts are given: their own, with parents, and no more."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa

from api.core.kind import registry
from api.jobs.document import inventory_of
from api.jobs.models import Delivery

Make = Callable[[str], uuid.UUID]


def group(document: Any, shard: str) -> dict[str, Any]:
    variables: dict[str, Any] = document.body["groups"][f"shard_{shard.replace('-', '_')}"]["vars"]
    return variables


def test_a_change_travels_with_its_parents(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.other.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    assert document.body["hosts"]["web1"] == {
        "groups": ["web", "shard_web_a"],
        "vars": {
            "ansible_host": "10.0.0.11",
            "ansible_port": 22,
            "ansible_user": "root",
            "hostreeve_fence": taken.tokens["web1"],
        },
    }
    variables = group(document, "web-a")
    assert [item["fqdn"] for item in variables["web_fqdns"]] == ["www.other.example"]
    assert [item["id"] for item in variables["web_webroots"]] == [str(engine.ids["webroot"])]
    assert [item["id"] for item in variables["web_tenants"]] == [str(engine.ids["tenant"])]
    assert variables["web_purge"] is False
    assert variables["hostreeve_job_id"] == str(taken.job_id)
    assert variables["hostreeve_fail_on_resource"] is False
    balancer = group(engine.document(engine.claim("lb-a")), "lb-a")
    assert balancer["lb_fqdns"] == [{"id": str(id_), "fqdn": "www.other.example", "shard": "web-a", "state": "present"}]
    nodes = [{"name": "web1", "address": "10.0.0.11"}, {"name": "web2", "address": "10.0.0.12"}]
    assert balancer["lb_shards"] == [{"name": "web-a", "nodes": nodes}]


def test_name_servers_get_the_zone_with_all_its_records(engine: Any) -> None:
    ids = engine.ids
    values = {"brand_id": ids["brand"], "zone_id": ids["zone"], "type": "A", "content": "192.0.2.1"}
    engine.add("record", name="old", **values)
    engine.settle_all()
    engine.add("record", name="new", **values)
    document = engine.document(engine.claim("dns-a"))
    variables = group(document, "dns-a")
    assert [record["name"] for record in variables["dns_zones"][0]["records"]] == ["new", "old"]
    assert variables["dns_primary"] == "10.0.0.21"
    assert variables["dns_secondaries"] == ["10.0.0.22"]
    assert len(variables["dns_tsig_secret"]) == 44
    hosts = document.body["hosts"]
    assert hosts["dns1"]["groups"] == ["dns", "dns_primary", "shard_dns_a"]
    assert [hosts[name]["vars"]["dns_mode"] for name in ("dns1", "dns2")] == ["primary", "secondary"]
    with engine.maker() as session:
        stored = session.execute(sa.text("select tsig_secret from shard where role = 'dns'")).scalar_one()
    assert variables["dns_tsig_secret"] not in stored


def test_hosts_that_owe_different_things_get_different_lists(engine: Any, fqdn: Make) -> None:
    one, two = fqdn("one.other.example"), fqdn("two.other.example")
    with engine.maker() as session, session.begin():
        session.execute(sa.delete(Delivery).where(Delivery.node_id == engine.ids["web1"], Delivery.resource_id == two))
    document = engine.document(engine.claim("web-a"))
    lists = {name: {item["id"] for item in host["vars"]["web_fqdns"]} for name, host in document.body["hosts"].items()}
    assert lists == {"web1": {str(one)}, "web2": {str(one), str(two)}}
    assert "web_fqdns" not in group(document, "web-a")
    assert str(two) not in document.sent["web1"].items


def test_a_hostile_node_stays_out_of_the_inventory_and_alone(engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    with engine.maker() as session, session.begin():
        table = registry["node"].model.__table__
        session.execute(
            sa.update(table).where(table.c.name == "web2").values(address="-oProxyCommand=touch /tmp/hostreeve-pwned")
        )
    document = engine.document(engine.claim("web-a"))
    assert list(document.body["hosts"]) == list(document.sent) == ["web1"]
    assert document.unfit == {"web2": "the address of the node is not well-formed"}


def test_a_node_gets_nothing_of_other_shards(engine: Any, fqdn: Make) -> None:
    ids = engine.ids
    ids["web-b"] = engine.add("shard", name="web-b", role="web", cluster_id=ids["cluster"])
    ids["web9"] = engine.add("node", name="web9", address="10.0.0.19", shard_id=ids["web-b"])
    fqdn("www.other.example")
    taken = engine.claim("web-b")
    assert taken.playbook == "site.yml"
    assert group(engine.document(taken), "web-b")["web_fqdns"] == []
    # The balancer routes the names of both.
    names = [shard["name"] for shard in group(engine.document(engine.claim("lb-a")), "lb-a")["lb_shards"]]
    assert names == ["web-a"]  # web-b's only node was never converged


def test_the_terminal_gets_the_same_variables(engine: Any, fqdn: Make) -> None:
    fqdn("www.other.example")
    with engine.maker() as session:
        body = inventory_of(session, session.scalars(sa.select(registry["shard"].model)).all())
    assert set(body["hosts"]) == {"web1", "web2", "lb1", "dns1", "dns2"}
    document = engine.document(engine.claim("web-a"))
    run, terminal = group(document, "web-a"), body["groups"]["shard_web_a"]["vars"]
    assert terminal == {key: value for key, value in run.items() if not key.startswith("hostreeve_")}
    json.dumps(body)
