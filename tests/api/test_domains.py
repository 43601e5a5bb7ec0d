"""Names, zones and records: who may have which, and what the platform writes by itself."""

from __future__ import annotations

import pytest
import sqlalchemy as sa

from api.core.kind import registry
from api.jobs.models import Delivery


@pytest.fixture
def acme(world):
    return world.rest["acme"]


def records(world, zone, **where):
    """Return the records that are wished, as (name, type, content, managed_by)."""
    query = "&".join(f"{key}={value}" for key, value in {"zone_id": world[zone], "limit": 200, **where}.items())
    rows = world.admin.get(f"/records?{query}").json["items"]
    return sorted((r["name"], r["type"], r["content"], r["managed_by"]) for r in rows if not r["delete_requested"])


def managed(world, zone="acme-zone"):
    return [row[:3] for row in records(world, zone, managed_by="platform")]


def test_a_name_of_the_own_zone_gets_the_addresses(world, acme):
    assert managed(world) == [("www", "A", "192.0.2.1")]
    acme.make("fqdns", fqdn="acme.example", webroot_id=world["acme-webroot"])
    assert managed(world) == [("@", "A", "192.0.2.1"), ("www", "A", "192.0.2.1")]
    world.admin.make("lb-addresses", address="2001:DB8::1".lower(), cluster_id=world["cluster"])
    assert ("www", "AAAA", "2001:db8::1") in managed(world) and len(managed(world)) == 4
    assert len(managed(world, "other-zone")) == 2
    gone = world.admin.delete(f"/lb-addresses/{world['lb-address']}")
    assert gone.json["resource"]["status"] == "deleted"
    assert [job["shard_id"] for job in gone.json["jobs"]] == [world["dns"]]
    assert managed(world) == [("@", "AAAA", "2001:db8::1"), ("www", "AAAA", "2001:db8::1")]


def test_a_name_outside_every_zone_gets_none(world, acme):
    acme.make("fqdns", fqdn="elsewhere.test", webroot_id=world["acme-webroot"])
    assert len(managed(world)) == 1
    zone = acme.make("zones", name="elsewhere.test", brand_id=world["acme"])
    found = acme.get(f"/records?zone_id={zone['id']}").json["items"]
    assert [(row["name"], row["content"], row["managed_by"]) for row in found] == [("@", "192.0.2.1", "platform")]


@pytest.mark.parametrize(
    ("type_", "content"), [("A", "192.0.2.77"), ("AAAA", "2001:db8::7"), ("CNAME", "elsewhere.example.")]
)
def test_own_records_come_first(world, acme, type_, content):
    made = acme.post("/records", {"zone_id": world["acme-zone"], "name": "www", "type": type_, "content": content})
    assert made.status_code == 202, made.text
    own = ("www", type_, content, "user")
    assert [row for row in records(world, "acme-zone") if row[0] == "www"] == [own]
    acme.make("fqdns", fqdn="shop.acme.example", webroot_id=world["acme-webroot"])
    assert own in records(world, "acme-zone")
    assert acme.delete(f"/records/{made.json['resource']['id']}").status_code == 202
    assert managed(world) == [("shop", "A", "192.0.2.1"), ("www", "A", "192.0.2.1")]


def test_own_record_first_then_the_name(world, acme):
    acme.make("records", zone_id=world["acme-zone"], name="own", type="A", content="192.0.2.50")
    acme.make("records", zone_id=world["acme-zone"], name="text", type="TXT", content="x")
    for name in ("own", "text"):
        acme.make("fqdns", fqdn=f"{name}.acme.example", webroot_id=world["acme-webroot"])
    assert [row[0] for row in managed(world)] == ["text", "www"]


def test_the_platforms_records_are_not_the_users(world, acme):
    row = acme.get("/records?managed_by=platform").json["items"][0]
    for refused in (acme.patch(f"/records/{row['id']}", {"ttl": 60}), acme.delete(f"/records/{row['id']}")):
        assert refused.status_code == 409 and "platform" in refused.json["error"]["message"]


def test_deleting_a_name_takes_its_records_along(world, acme):
    gone = acme.delete(f"/fqdns/{world['acme-fqdn']}")
    assert {job["shard_id"] for job in gone.json["jobs"]} == {world["web"], world["lb"], world["dns"]}
    assert managed(world) == []
    again = acme.delete(f"/fqdns/{world['acme-fqdn']}")
    assert again.status_code == 202 and again.json["resource"]["generation"] == 2


def test_a_name_is_delivered_to_every_host_that_needs_it(world):
    with world.session() as session:
        delivered = session.execute(
            sa.select(Delivery.kind, registry["node"].model.name)
            .join(registry["node"].model, registry["node"].model.id == Delivery.node_id)
            .where(Delivery.kind.in_(["fqdn", "record"]))
            .distinct()
        ).all()
    assert {node for kind, node in delivered if kind == "fqdn"} == {"web1", "web2", "lb1"}
    assert {node for kind, node in delivered if kind == "record"} == {"dns1", "dns2"}


@pytest.mark.parametrize("name", ["other.example", "www2.other.example", "a.b.other.example"])
def test_names_in_another_brands_zone(world, acme, name):
    refused = acme.post("/fqdns", {"fqdn": name, "webroot_id": world["acme-webroot"]})
    assert refused.status_code == 422 and refused.json["error"]["code"] == "POLICY_VIOLATION"
    assert list(refused.json["error"]["details"]["json"]) == ["fqdn"]


def test_zones_of_brands_do_not_overlap(world, acme):
    world.rest["other"].make("fqdns", fqdn="www.free.test", webroot_id=world["other-webroot"])
    for name in ("sub.other.example", "a.b.other.example", "free.test", "www.free.test"):
        refused = acme.post("/zones", {"name": name, "brand_id": world["acme"]})
        assert refused.status_code == 422 and refused.json["error"]["code"] == "POLICY_VIOLATION", name
        assert list(refused.json["error"]["details"]["json"]) == ["name"]
    world.rest["other"].make("zones", name="deep.wide.test", brand_id=world["other"])
    assert acme.post("/zones", {"name": "wide.test", "brand_id": world["acme"]}).status_code == 422
    # A name that only looks like it lies inside is free.
    for name in ("notother.example", "xfree.test", "free.test.example"):
        acme.make("zones", name=name, brand_id=world["acme"])


def test_an_inner_zone_of_the_own_brand_takes_over(world, acme):
    acme.make("fqdns", fqdn="a.dev.acme.example", webroot_id=world["acme-webroot"])
    assert ("a.dev", "A", "192.0.2.1") in managed(world)
    world.rows["dev"] = acme.make("zones", name="dev.acme.example", brand_id=world["acme"])
    assert managed(world, "dev") == [("a", "A", "192.0.2.1")] and len(managed(world)) == 1
    gone = acme.delete(f"/zones/{world['dev']}")
    assert gone.status_code == 202, gone.text
    assert managed(world, "dev") == [] and ("a.dev", "A", "192.0.2.1") in managed(world)


def test_a_zone_goes_with_its_records(world, acme):
    gone = acme.delete(f"/zones/{world['acme-zone']}")
    assert gone.status_code == 202 and gone.json["resource"]["status"] == "deleting"
    assert records(world, "acme-zone") == []
    refused = acme.post("/records", {"zone_id": world["acme-zone"], "name": "x", "type": "TXT", "content": "x"})
    assert refused.status_code == 409
    assert acme.get(f"/fqdns/{world['acme-fqdn']}").json["delete_requested"] is False


def test_record_conflicts(world, acme):
    def post(name, type_, content):
        body = {"zone_id": world["acme-zone"], "name": name, "type": type_, "content": content}
        return acme.post("/records", body).status_code

    assert post("c", "CNAME", "a.example") == 202
    assert post("c", "TXT", "x") == post("c", "A", "192.0.2.1") == post("c", "CNAME", "b.example") == 409
    assert post("mail", "CNAME", "a.example") == 409
    assert post("@", "CNAME", "a.example") == 409
    assert post("@", "NS", "ns.example.net") == 422
    assert post("sub", "NS", "ns.example.net") == 202
    assert post("mail", "A", "192.0.2.9") == 409
    assert post("mail", "A", "192.0.2.10") == 202
    assert post("@", "MX", "10 mail.acme.example") == 202
    assert post("@", "MX", "10 mail.acme.example.") == 409


def test_a_change_is_held_against_the_others(world, acme):
    row = acme.make("records", zone_id=world["acme-zone"], name="mail", type="A", content="192.0.2.20")
    refused = acme.patch(f"/records/{row['id']}", {"content": "192.0.2.9"})
    assert refused.status_code == 409 and list(refused.json["error"]["details"]["json"]) == ["content"]
    refused = acme.patch(f"/records/{row['id']}", {"content": "nonsense"})
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["content"]


def test_the_zone_that_hosts_receive(world):
    kind = registry["zone"]
    with world.session() as session:
        row = session.scalars(sa.select(kind.model).where(kind.model.name == "acme.example")).one()
        item = kind.carries["dns"].item(session, row)
    assert item.keys() == {"name", "dnssec", "hostmaster", "nameservers", "records"}
    assert item["hostmaster"] == "hostmaster@acme.example"
    assert item["nameservers"] == ["ns1.acme.example", "ns2.acme.example"]
    assert [(r["name"], r["type"], r["ttl"], r["content"]) for r in item["records"]] == [
        ("mail", "A", 3600, "192.0.2.9"),
        ("www", "A", 300, "192.0.2.1"),
    ]


def test_a_brand_changes_its_zones(world):
    changed = world.admin.patch(f"/brands/{world['acme']}", {"hostmaster": "new@acme.example"})
    assert [job["shard_id"] for job in changed.json["jobs"]] == [world["dns"]]
    assert world.admin.get(f"/zones/{world['acme-zone']}").json["status"] == "pending"


def test_dns_shards(world):
    world.admin.make("shards", name="dns-b", role="dns", cluster_id=world["cluster"])
    refused = world.admin.post("/zones", {"name": "two.test", "brand_id": world["acme"]})
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["brand_id"]
    brand = {"name": "x", "base_domain": "x.test", "hostmaster": "h@x.test", "nameservers": ["a.x.test", "b.x.test"]}
    refused = world.admin.post("/brands", {**brand, "dns_shard_id": world["web"]})
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["dns_shard_id"]
    made = world.admin.make("brands", **brand, dns_shard_id=world["dns"])
    assert world.admin.make("zones", name="two.test", brand_id=made["id"])["shard_id"] == world["dns"]


def test_without_a_name_server_everything_is_done_at_once(world):
    """A dns shard that has no node yet: nothing waits for a host that does not exist."""
    shard = world.admin.make("shards", name="dns-b", role="dns", cluster_id=world["cluster"])
    names = ["ns1.new.test", "ns2.new.test"]
    brand = world.admin.make(
        "brands",
        name="new",
        base_domain="new.test",
        hostmaster="h@new.test",
        nameservers=names,
        dns_shard_id=shard["id"],
    )
    zone = world.admin.make("zones", name="new.test", brand_id=brand["id"])
    tenant = world.admin.make("tenants", brand_id=brand["id"])
    webroot = world.admin.make("webroots", tenant_id=tenant["id"])
    fqdn = world.admin.make("fqdns", fqdn="new.test", webroot_id=webroot["id"])
    record = world.admin.make("records", zone_id=zone["id"], name="x", type="TXT", content="x")
    rows = world.admin.get(f"/records?zone_id={zone['id']}").json["items"]
    assert [row["status"] for row in rows] == ["active", "active"] and zone["status"] == record["status"] == "active"
    world.admin.delete(f"/fqdns/{fqdn['id']}")
    assert len(world.admin.get(f"/records?zone_id={zone['id']}").json["items"]) == 1
    gone = world.admin.delete(f"/zones/{zone['id']}")
    assert gone.status_code == 202 and gone.json["resource"]["status"] == "deleted", gone.text
    assert world.admin.get(f"/records/{record['id']}").status_code == 404
