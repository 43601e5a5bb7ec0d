"""What a user typed is data: from REST to the disk of a host, and when a row was planted past the API."""

from __future__ import annotations

from typing import Any

import pytest
import sqlalchemy as sa

from tests.e2e.client import browse, dig, eventually
from tests.e2e.fleet import DNS, LB, WEB, Platform, on_host

pytestmark = pytest.mark.fleet

TEMPLATE = "{{ lookup('pipe','touch /tmp/pwned; id') }}"


def test_a_template_arrives_literally(platform: Platform, site: dict[str, Any]) -> None:
    client = platform.client
    record = client.make("records", zone_id=platform.zone["id"], name="evil", type="TXT", content=TEMPLATE)
    for server in DNS.values():
        assert dig(server, "evil.acme.test", "TXT") == [f'"{TEMPLATE}"']

    client.call("PATCH", f"/webroots/{site['id']}", 202, json={"env": {"EVIL": TEMPLATE}})
    client.until("webroots", site, "active")
    client.make("fqdns", webroot_id=site["id"], fqdn="evil-env.acme.test")
    folder = f"/srv/www/{platform.tenant['name']}/{site['name']}/public"
    for host, address in WEB.items():
        on_host(host, "sh", "-c", f"echo '<?php echo getenv(\"EVIL\");' > {folder}/env.php")
        assert browse(address, "evil-env.acme.test", "/env.php").text == TEMPLATE

    for host in (*WEB, *DNS, "lb1"):
        assert on_host(host, "ls", "/tmp/pwned", check=False) == ""
    client.delete("records", record)


@pytest.mark.parametrize("planted", ["evil.acme.test;id", "evil.acme.test\nserver {}", "{{ lookup('pipe','id') }}"])
def test_a_planted_row_fails_alone(platform: Platform, site: dict[str, Any], planted: str) -> None:
    client = platform.client
    good = client.make("fqdns", webroot_id=site["id"], fqdn="good.acme.test")
    bad = client.make("fqdns", webroot_id=site["id"], fqdn="soon-bad.acme.test")
    engine = sa.create_engine(platform.env["HOSTREEVE_DATABASE_URL"])
    with engine.begin() as connection:
        connection.execute(sa.text("update fqdn set fqdn = :name where id = :id"), {"name": planted, "id": bad["id"]})
    client.call("POST", f"/shards/{platform.shards['web-a']['id']}/converge", 202)
    client.call("POST", f"/shards/{platform.shards['lb-a']['id']}/converge", 202)

    def refused() -> bool:
        row = client.get("fqdns", bad)
        return row["status"] == "failed" and all(host in row["status_message"] for host in (*WEB, "lb1"))

    eventually(refused, 90)
    assert client.get("fqdns", good)["status"] == "active"
    assert browse(LB, "good.acme.test").status_code == 200
    for host in WEB:
        on_host(host, "nginx", "-t")

    with engine.begin() as connection:
        restore = sa.text("update fqdn set fqdn = :name where id = :id")
        connection.execute(restore, {"name": "soon-bad.acme.test", "id": bad["id"]})
    client.call("POST", f"/fqdns/{bad['id']}/retry", 202)
    client.until("fqdns", bad, "active")
    eventually(lambda: browse(LB, "soon-bad.acme.test").status_code == 200, 10)
