"""Hosts are tied to the audit: what they carry is in the chain, and what somebody else put there is noticed."""

from __future__ import annotations

import json
from typing import Any

import pytest

from auditchain import Broken, verify
from tests.e2e.client import Client
from tests.e2e.fleet import Platform, on_host

pytestmark = pytest.mark.fleet

FACT = "/etc/ansible/facts.d/hostreeve.fact"


def nodes(client: Client) -> dict[str, dict[str, Any]]:
    return {node["name"]: node for node in client.call("GET", "/nodes?limit=200")["items"]}


def fact(host: str) -> dict[str, Any]:
    found: dict[str, Any] = json.loads(on_host(host, "cat", FACT))
    return found


def chain(client: Client) -> list[bytes]:
    return client.http.get("/audit/export").content.split(b"\n")


def test_every_host_carries_a_head_of_the_chain(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    client.make("fqdns", webroot_id=site["id"], fqdn="tied.acme.test")
    found = nodes(client)
    heads = {}
    for name, node in found.items():
        held = fact(name)
        assert (held["last_job"], held["audit_head"]) == (node["last_job_id"], node["last_audit_head"]), name
        assert (node["host_job_id"], node["host_audit_head"]) == (held["last_job"], held["audit_head"]), name
        assert held["changed_by"] == "job"
        runs = client.call("GET", f"/audit?action=run&resource_id={node['shard_id']}&limit=200")["items"]
        assert any(held["last_job"] in run["job_ids"] for run in runs)
        seq, _, hash_ = held["audit_head"].partition(":")
        heads[int(seq)] = hash_
    assert verify(chain(client), heads=heads).complete
    with pytest.raises(Broken):
        verify(chain(client), heads={max(heads): "0" * 64})


def test_what_somebody_else_put_there(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    client.make("fqdns", webroot_id=site["id"], fqdn="step1.acme.test")
    expected = nodes(client)["web1"]
    assert expected["in_step"] is not False
    forged = f"1:{'f' * 64}"
    on_host("web1", "sed", "-i", f's/"audit_head": "[^"]*/"audit_head": "{forged}/', FACT)
    assert fact("web1")["audit_head"] == forged
    client.make("fqdns", webroot_id=site["id"], fqdn="step2.acme.test")
    after = nodes(client)
    assert after["web1"]["in_step"] is False and after["web2"]["in_step"] is True
    told = client.call("GET", f"/audit?action=out_of_step&resource_id={expected['id']}")["items"]
    assert told[0]["before"]["audit_head"] == expected["last_audit_head"]
    assert told[0]["after"]["audit_head"] == forged
    client.make("fqdns", webroot_id=site["id"], fqdn="step3.acme.test")
    assert nodes(client)["web1"]["in_step"] is True
    history = client.call("GET", f"/nodes/{expected['id']}/history")["items"]
    assert history and all(job["state"] for job in history)
