"""The hosts of the test fleet, and the platform that converges them, as tests reach them."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx

from tests.e2e.client import Client, eventually

ROOT = Path(__file__).resolve().parents[2]
FLEET = ROOT / ".cache" / "fleet" / "test"
LB = "10.89.2.10"
WEB = {"web1": "10.89.2.11", "web2": "10.89.2.12"}
DNS = {"dns1": "10.89.2.21", "dns2": "10.89.2.22"}
VALKEY = {"kv1": "10.89.2.51", "kv2": "10.89.2.52", "kv3": "10.89.2.53"}
#: Where a Valkey instance moves to.
ELSEWHERE = {"kv4": "10.89.2.54"}
DB = {"db1": "10.89.2.61", "db2": "10.89.2.62"}
#: A server of an older release, from which a database moves.
OLDER = {"db12": "10.89.2.63"}


def reach(host: str, *command: str) -> list[str]:
    """Return the words that run a command on a fleet host through podman, with our stdin."""
    return ["podman", "exec", "-i", f"hostreeve-test-{host}", *command]


def on_host(host: str, *command: str, check: bool = True) -> str:
    """Run a command on a fleet host through podman and return its output."""
    done = subprocess.run(reach(host, *command), stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    assert not check or done.returncode == 0, f"{host}: {command}: {done.stderr}"
    return done.stdout


def kill_run(job_id: str) -> None:
    """SIGKILL to every process of a run but the worker's own: what a machine that runs out of memory does."""
    for entry in Path("/proc").glob("[0-9]*"):
        try:
            if (
                job_id.encode() in (entry / "environ").read_bytes()
                and b"ansible-playbook" in (entry / "cmdline").read_bytes()
            ):
                os.kill(int(entry.name), signal.SIGKILL)
        except OSError:
            continue


def playbook(*arguments: str, env: dict[str, str] | None = None) -> subprocess.CompletedProcess[str]:
    """Run ansible-playbook as an operator would, from the root of the checkout."""
    return subprocess.run(
        [str(Path(sys.executable).parent / "ansible-playbook"), *arguments],
        cwd=ROOT,
        env={**os.environ, "ANSIBLE_NOCOLOR": "1", "ANSIBLE_CONFIG": str(ROOT / "ansible.cfg"), **(env or {})},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )


@dataclass
class Platform:
    """A running platform, with what tests ask it for."""

    client: Client
    base: str
    env: dict[str, str]
    shards: dict[str, dict[str, Any]]
    brand: dict[str, Any]
    zone: dict[str, Any]
    tenant: dict[str, Any]

    def key(self, scopes: str, brands: str) -> str:
        """Issue an API key through the command line."""
        return issue_key(self.env, scopes, brands)


def issue_key(env: dict[str, str], scopes: str, brands: str) -> str:
    command = [sys.executable, "-m", "api", "keys", "create", "--name", "e2e", "--scopes", scopes, "--brands", brands]
    done = subprocess.run(command, cwd=ROOT, env=env, capture_output=True, text=True, check=True)
    return done.stdout.strip().splitlines()[-1]


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def ready(base: str) -> bool:
    try:
        return httpx.get(f"{base}/readyz").status_code == 200
    except httpx.HTTPError:
        return False


def furnish(client: Client, base: str, env: dict[str, str]) -> Platform:
    """Register the fleet through REST, as an operator who never touches a terminal."""
    region = client.create("regions", name="test")
    cluster = client.create("clusters", name="test-1", region_id=region["id"])
    client.create("lb-addresses", cluster_id=cluster["id"], address=LB)
    shards, nodes = {}, []
    for name, hosts in {"lb-a": {"lb1": LB}, "web-a": WEB, "dns-a": DNS}.items():
        role = name.split("-")[0]
        secret = {"tsig_secret": (FLEET / "tsig").read_text().strip()} if role == "dns" else {}
        shards[name] = client.create("shards", cluster_id=cluster["id"], name=name, role=role, **secret)
        for host, address in hosts.items():
            primary = {"is_primary": host == "dns1"} if role == "dns" else {}
            nodes.append(client.create("nodes", shard_id=shards[name]["id"], name=host, address=address, **primary))
    for node in nodes:
        client.until("nodes", node, "active", 600)
    # What an earlier run left on the hosts is in no database any longer: a full converge takes it away.
    swept = [client.call("POST", f"/shards/{shard['id']}/converge", 202)["jobs"][0] for shard in shards.values()]
    for job in swept:
        assert eventually(lambda job=job: client.ended(job), 120)["state"] == "successful"
    brand = client.create(
        "brands",
        name="acme",
        base_domain="acme.test",
        hostmaster="hostmaster@acme.test",
        nameservers=["ns1.acme.test", "ns2.acme.test"],
        dns_shard_id=shards["dns-a"]["id"],
    )
    zone = client.make("zones", brand_id=brand["id"], name="acme.test")
    tenant = client.make("tenants", brand_id=brand["id"], shard_id=shards["web-a"]["id"])
    return Platform(client, base, env, shards, brand, zone, tenant)
