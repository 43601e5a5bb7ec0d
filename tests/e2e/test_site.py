"""A tenant's site through REST: it goes live everywhere, and goes away everywhere."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.client import browse, dig, eventually
from tests.e2e.fleet import DNS, LB, WEB, Platform, on_host

pytestmark = pytest.mark.fleet


def test_a_name_goes_live_and_away(platform: Platform, site: dict[str, Any]) -> None:
    client, name = platform.client, "www.acme.test"
    fqdn = client.make("fqdns", webroot_id=site["id"], fqdn=name)
    for server in DNS.values():
        assert dig(server, name) == [LB]
    page = browse(LB, name)
    assert page.status_code == 200
    assert platform.tenant["name"] in page.text
    for address in WEB.values():
        assert browse(address, name).text == page.text

    client.delete("fqdns", fqdn)
    for server in DNS.values():
        assert dig(server, name) == []
    assert browse(LB, name).status_code in {404, 421}
    for address in WEB.values():
        assert browse(address, name).status_code == 404


def test_a_users_record_is_never_overwritten(platform: Platform, site: dict[str, Any]) -> None:
    client, name = platform.client, "own.acme.test"
    record = client.make("records", zone_id=platform.zone["id"], name="own", type="A", content="192.0.2.7")
    client.make("fqdns", webroot_id=site["id"], fqdn=name)
    assert dig(DNS["dns1"], name) == ["192.0.2.7"]
    client.delete("records", record)
    for server in DNS.values():
        eventually(lambda server=server: dig(server, name) == [LB], 30)


def test_suspend_and_unsuspend(platform: Platform) -> None:
    client, name = platform.client, "pause.acme.test"
    tenant = client.make("tenants", brand_id=platform.brand["id"], shard_id=platform.shards["web-a"]["id"])
    webroot = client.make("webroots", tenant_id=tenant["id"])
    fqdn = client.make("fqdns", webroot_id=webroot["id"], fqdn=name)
    assert browse(LB, name).status_code == 200

    client.call("POST", f"/tenants/{tenant['id']}/suspend", 202)
    client.until("tenants", tenant, "suspended")
    eventually(lambda: [browse(address, name).status_code for address in WEB.values()] == [503, 503], 10)

    client.call("POST", f"/tenants/{tenant['id']}/unsuspend", 202)
    client.until("tenants", tenant, "active")
    client.until("fqdns", fqdn, "active")
    assert browse(LB, name).status_code == 200

    client.call("DELETE", f"/tenants/{tenant['id']}", 409)
    for plural, row in (("fqdns", fqdn), ("webroots", webroot), ("tenants", tenant)):
        client.delete(plural, row)
    for host in WEB:
        assert on_host(host, "getent", "passwd", tenant["name"], check=False) == ""
        assert on_host(host, "find", "/srv/www", "-name", tenant["name"]) == ""


def test_a_zone_made_later_picks_up_the_name(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    client.make("fqdns", webroot_id=site["id"], fqdn="www.later.test")
    assert dig(DNS["dns1"], "www.later.test") == []
    zone = client.make("zones", brand_id=platform.brand["id"], name="later.test", dnssec=True)
    for server in DNS.values():
        eventually(lambda server=server: dig(server, "www.later.test") == [LB], 30)
        # The address and its signature.
        eventually(lambda server=server: len(dig(server, "www.later.test", "A", "+dnssec")) == 2, 30)
    client.delete("zones", zone)
    for server in DNS.values():
        assert dig(server, "later.test", "SOA") == []


def test_the_audit_and_the_job_tell_who_and_what(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    answer = client.call("POST", "/fqdns", 202, json={"webroot_id": site["id"], "fqdn": "audit.acme.test"})
    fqdn = client.until("fqdns", answer["resource"], "active")
    assert {job["shard_id"] for job in answer["jobs"]} == {shard["id"] for shard in platform.shards.values()}
    rows = client.call("GET", f"/audit?resource_id={fqdn['id']}")["items"]
    assert [row["action"] for row in rows] == ["create"]
    assert rows[0]["actor_name"] == "e2e"
    for job in answer["jobs"]:
        seen = eventually(lambda job=job: client.ended(job), 30)
        assert seen["state"] == "successful"
        events = client.call("GET", f"/jobs/{job['id']}/events?offset=0")
        assert any(event["event"] == "playbook_on_stats" for event in events["items"])
        assert "PLAY RECAP" in client.http.get(f"/jobs/{job['id']}/output").text
