"""The demo's walk through REST: what stands is kept, what is missing is made, and the result is proved from outside."""

from __future__ import annotations

import json
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

API = "http://127.0.0.1:8000"
STATE = Path(__file__).resolve().parents[1] / ".cache" / "demo"
LB, NAME_SERVERS = "10.89.1.10", {"dns1": "10.89.1.21", "dns2": "10.89.1.22"}
NODES = {"lb-a": {"lb1": LB}, "web-a": {"web1": "10.89.1.11", "web2": "10.89.1.12"}, "dns-a": NAME_SERVERS}
ZONE, SITE = "demo.test", "www.demo.test"
PATIENCE = 300  # seconds that a resource may take to become active


class Api:
    """A few lines of REST: bearer key, JSON in and out."""

    def __init__(self, key: str) -> None:
        self.key = key

    def call(self, method: str, path: str, body: dict[str, Any] | None = None) -> dict[str, Any]:
        """Return the answer's JSON; a refusal ends the demo with the API's own words."""
        request = urllib.request.Request(  # noqa: S310 - a fixed loopback address
            API + path,
            method=method,
            data=None if body is None else json.dumps(body).encode(),
            headers={"Authorization": f"Bearer {self.key}", "Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=30) as answer:  # noqa: S310
                return json.load(answer)
        except urllib.error.HTTPError as refusal:
            sys.exit(f"{method} {path}: {refusal.code} {refusal.read().decode(errors='replace')}")

    def ensure(self, plural: str, match: dict[str, str], **fields: Any) -> dict[str, Any]:
        """Return the resource that matches, made if there is none."""
        query = "&".join(f"{key}={value}" for key, value in match.items())
        found = self.call("GET", f"/{plural}?{query}")["items"]
        if found:
            return found[0]
        print(f"POST /{plural} {json.dumps({**match, **{k: v for k, v in fields.items() if 'secret' not in k}})}")
        return self.call("POST", f"/{plural}", {**match, **fields})["resource"]

    def until_active(self, plural: str, row: dict[str, Any]) -> dict[str, Any]:
        """Wait until every host carries the resource; say what the API says if it does not come."""
        end = time.monotonic() + PATIENCE
        while row["status"] != "active":
            if time.monotonic() > end:
                sys.exit(f"/{plural}/{row['id']} is {row['status']}: {row['status_message']}")
            time.sleep(0.3)
            row = self.call("GET", f"/{plural}/{row['id']}")
        return row


def infrastructure(api: Api) -> dict[str, Any]:
    """Register the fleet; return the shards by name."""
    region = api.ensure("regions", {"name": "demo"})
    cluster = api.ensure("clusters", {"name": "demo-1"}, region_id=region["id"])
    api.ensure("lb-addresses", {"address": LB}, cluster_id=cluster["id"])
    shards = {}
    for name, nodes in NODES.items():
        role = name.split("-")[0]
        extra = {"tsig_secret": (STATE.parent / "fleet/demo/tsig").read_text().strip()} if role == "dns" else {}
        shard = shards[name] = api.ensure("shards", {"name": name}, role=role, cluster_id=cluster["id"], **extra)
        for host, address in nodes.items():
            primary = {"is_primary": host == "dns1"} if role == "dns" else {}
            api.ensure("nodes", {"name": host}, shard_id=shard["id"], address=address, **primary)
    for row in api.call("GET", "/nodes?limit=200")["items"]:
        print(f"node {row['name']}: waiting until it is converged")
        api.until_active("nodes", row)
    return shards


def site(api: Api, shards: dict[str, Any]) -> tuple[dict[str, Any], dict[str, Any]]:
    """Create brand, zone, tenant, webroot and FQDN; return the tenant and the FQDN once they are active."""
    brand = api.ensure(
        "brands",
        {"name": "demo"},
        base_domain=ZONE,
        hostmaster=f"hostmaster@{ZONE}",
        nameservers=[f"ns1.{ZONE}", f"ns2.{ZONE}"],
        dns_shard_id=shards["dns-a"]["id"],
    )
    zone = api.ensure("zones", {"name": ZONE}, brand_id=brand["id"])
    for name, address in zip(("ns1", "ns2"), NAME_SERVERS.values(), strict=True):
        api.ensure("records", {"zone_id": zone["id"], "name": name, "type": "A"}, content=address)
    tenant = api.ensure("tenants", {"brand_id": brand["id"]}, shard_id=shards["web-a"]["id"], label="Demo tenant")
    webroot = api.ensure("webroots", {"tenant_id": tenant["id"]}, runtime="php")
    fqdn = api.ensure("fqdns", {"fqdn": SITE}, webroot_id=webroot["id"])
    return tenant, api.until_active("fqdns", fqdn)


def prove(tenant: dict[str, Any]) -> list[str]:
    """Ask both name servers and the load balancer from outside; exit with the reason if one of them disagrees."""
    lines = []
    for host, address in NAME_SERVERS.items():
        answer = subprocess.run(
            ["dig", "+short", "+time=2", f"@{address}", SITE, "A"], capture_output=True, text=True, check=False
        ).stdout.strip()
        if answer != LB:
            sys.exit(f"{host} answers {answer or 'nothing'} for {SITE}, not {LB}")
        lines.append(f"  dig @{address} {SITE}  →  {answer}   ({host})")
    request = urllib.request.Request(f"http://{LB}/", headers={"Host": SITE})
    with urllib.request.urlopen(request, timeout=10) as answer:  # noqa: S310
        page, status = answer.read().decode(), answer.status
    if tenant["name"] not in page:
        sys.exit(f"the load balancer's page for {SITE} is not the tenant's:\n{page[:500]}")
    lines.append(f"  curl -H 'Host: {SITE}' http://{LB}/  →  {status}, the page of tenant {tenant['name']}")
    return lines


def main() -> None:
    """Run the walk and leave the summary for bin/demo."""
    key = (STATE / "api-key").read_text().strip()
    api = Api(key)
    tenant, fqdn = site(api, infrastructure(api))
    proof = "\n".join(prove(tenant))
    bearer = '"Authorization: Bearer $(cat .cache/demo/api-key)"'
    summary = f"""
Proved from outside the fleet:
{proof}

  site      http://{SITE}/ (through {LB}; add "{LB} {SITE}" to /etc/hosts to open it in a browser)
  API docs  {API}/docs
  health    {API}/readyz
  API key   {key}

Next, try:
  curl -s -H {bearer} {API}/fqdns/{fqdn["id"]}
  curl -s -X POST -H {bearer} {API}/tenants/{tenant["id"]}/suspend && sleep 5; curl -i -H 'Host: {SITE}' http://{LB}/
  .venv/bin/ansible-playbook -i inventory/demo playbooks/site.yml --check --diff

Stop it with bin/demo --stop.
"""
    (STATE / "summary.txt").write_text(summary)


if __name__ == "__main__":
    main()
