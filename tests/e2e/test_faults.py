"""Hosts that are down, and what lies around on hosts."""

from __future__ import annotations

from typing import Any

import pytest

from tests.e2e.client import browse, eventually
from tests.e2e.fleet import LB, WEB, Platform, on_host

pytestmark = pytest.mark.fleet


def test_a_host_that_is_down_delays_nobody_and_catches_up(platform: Platform, site: dict[str, Any]) -> None:
    client, name = platform.client, "patient.acme.test"
    on_host("web2", "systemctl", "stop", "ssh.socket", check=False)
    on_host("web2", "systemctl", "stop", "ssh")
    on_host("web2", "sh", "-c", "pkill sshd || true")
    try:
        fqdn = client.create("fqdns", webroot_id=site["id"], fqdn=name)
        failed = client.until("fqdns", fqdn, "failed")
        assert "web2" in failed["status_message"]
        assert "web1" not in failed["status_message"]
        assert browse(WEB["web1"], name).status_code == 200
        assert browse(LB, name).status_code in {200, 404}  # web2 still serves, but does not know the name yet
    finally:
        on_host("web2", "systemctl", "start", "ssh")
    client.until("fqdns", fqdn, "active", 120)
    assert browse(WEB["web2"], name).status_code == 200


def test_a_full_converge_removes_our_orphans_and_no_strangers(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    client.make("fqdns", webroot_id=site["id"], fqdn="stays.acme.test")
    sites = "/etc/nginx/hostreeve/sites"
    on_host("web1", "cp", f"{sites}/stays.acme.test.conf", f"{sites}/orphan.acme.test.conf")
    on_host("web1", "sed", "-i", "s/stays.acme.test/orphan.acme.test/g", f"{sites}/orphan.acme.test.conf")
    stranger = "server { listen 8099; server_name stranger.test; return 204; }"
    on_host("web1", "sh", "-c", f"echo '{stranger}' > {sites}/stranger.conf")
    on_host("web1", "sh", "-c", f"echo '{stranger}' | sed s/8099/8098/ > /etc/nginx/conf.d/stranger.conf")
    try:
        job = client.call("POST", f"/shards/{platform.shards['web-a']['id']}/converge", 202)["jobs"][0]
        done = eventually(lambda: client.ended(job), 60)
        assert done["state"] == "successful", done
        left = on_host("web1", "ls", sites).split()
        assert "orphan.acme.test.conf" not in left
        assert "stays.acme.test.conf" in left
        assert "stranger.conf" in left
        on_host("web1", "ls", "/etc/nginx/conf.d/stranger.conf")
        assert browse(LB, "stays.acme.test").status_code == 200
    finally:
        on_host("web1", "rm", "-f", f"{sites}/stranger.conf", "/etc/nginx/conf.d/stranger.conf")


def test_retry_re_drives_only_what_is_missing(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    on_host(
        "web2", "sh", "-c", "mv /usr/sbin/nginx /usr/sbin/nginx.away; printf '#!/bin/sh\\nexit 1\\n' > /usr/sbin/nginx"
    )
    on_host("web2", "chmod", "755", "/usr/sbin/nginx")
    try:
        fqdn = client.create("fqdns", webroot_id=site["id"], fqdn="retry.acme.test")
        failed = client.until("fqdns", fqdn, "failed")
        assert "web2" in failed["status_message"]
    finally:
        on_host("web2", "mv", "-f", "/usr/sbin/nginx.away", "/usr/sbin/nginx")
    answer = client.call("POST", f"/fqdns/{fqdn['id']}/retry", 202)
    client.until("fqdns", fqdn, "active")
    assert [job["shard_id"] for job in answer["jobs"]] == [platform.shards["web-a"]["id"]]
    rows = client.call("GET", f"/jobs/{answer['jobs'][0]['id']}/resources")["items"]
    assert {row["host"] for row in rows if row["resource_id"] == fqdn["id"]} == {"web2"}
