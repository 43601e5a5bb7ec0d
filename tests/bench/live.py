"""What a change costs from REST to the visitor: one name, and a thousand at once."""

from __future__ import annotations

import http.client
import statistics
import sys
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from tests.bench import fleet
from tests.bench.servers import Servers
from tests.bench.table import Row, at_least, at_most, number, seconds
from tests.e2e.client import Client

SINGLE = 10
BURST = 1000
#: Portal connections that send the burst.
SENDERS = 8
LB = next(iter(fleet.LB.values()))


def rows() -> list[Row]:
    """Measure, and return the rows."""
    fleet.prepare()
    with Servers() as servers:
        env = servers.environment("live")
        client = servers.api(env)
        servers.launch("worker", [sys.executable, "-m", "worker", "--workers", "3"], env)
        webroot, shards = furnish(client)
        ping = fleet.ping()
        fleet.say(f"{SINGLE} names, one after the other")
        served, active = one_by_one(client, webroot)
        fleet.say(f"{BURST} names at once")
        whole, runs = burst(client, webroot)
    most = max(runs.values())
    told = ", ".join(f"{shards[shard]} {count}" for shard, count in runs.items())
    each = whole / BURST
    return [
        Row(
            "POST of one FQDN until the load balancer serves it, median",
            seconds(served),
            f"{seconds(ping)} ping",
            served / ping,
            at_most(3),
        ),
        Row(f"{BURST} FQDNs at once: runs of the busiest shard", str(most), f"1 ({told})", most, at_most(10)),
        Row(
            "… until all are active, per FQDN, against one run per change",
            f"{seconds(whole)}, {seconds(each)} each ({number(BURST / whole)}/s)",
            f"{seconds(active)} until one is active",
            active / each,
            at_least(50),
        ),
    ]


def furnish(client: Client) -> tuple[dict[str, Any], dict[str, str]]:
    """Register the fleet and make a tenant with a webroot; return it and the names of the shards by id."""
    fleet.say("the API makes its nodes active")
    region = client.create("regions", name="bench")
    cluster = client.create("clusters", name="bench-1", region_id=region["id"])
    client.create("lb-addresses", cluster_id=cluster["id"], address=LB)
    shards, nodes = {}, []
    for name, hosts in {"lb-a": fleet.LB, "web-a": fleet.WEB}.items():
        shards[name] = client.create("shards", cluster_id=cluster["id"], name=name, role=name.split("-")[0])
        for host, address in hosts.items():
            nodes.append(client.create("nodes", shard_id=shards[name]["id"], name=host, address=address))
    for node in nodes:
        client.until("nodes", node, "active", fleet.PATIENCE)
    brand = client.create(
        "brands",
        name="bench",
        base_domain="bench.test",
        hostmaster="hostmaster@bench.test",
        nameservers=["ns1.bench.test", "ns2.bench.test"],
    )
    tenant = client.make("tenants", brand_id=brand["id"], shard_id=shards["web-a"]["id"])
    webroot = client.make("webroots", tenant_id=tenant["id"])
    return webroot, {shard["id"]: name for name, shard in shards.items()}


def one_by_one(client: Client, webroot: dict[str, Any]) -> tuple[float, float]:
    """Return the median seconds from a POST until the name is served, and until it is active."""
    served, active = [], []
    for one in range(SINGLE):
        name = f"single{one}.bench.test"
        began = time.perf_counter()
        row = client.create("fqdns", webroot_id=webroot["id"], fqdn=name)
        while status(name) != 200:
            if time.perf_counter() - began > fleet.PATIENCE:
                raise SystemExit(f"{name} is not served: {client.get('fqdns', row)}")
            time.sleep(0.01)
        served.append(time.perf_counter() - began)
        client.until("fqdns", row, "active", fleet.PATIENCE)
        active.append(time.perf_counter() - began)
        settle(client)
    return statistics.median(served), statistics.median(active)


def settle(client: Client) -> None:
    """Wait until no job runs, so that the next change does not wait for this one's."""
    while any(job["state"] in {"queued", "running"} for job in client.call("GET", "/jobs?limit=20")["items"]):
        time.sleep(0.1)


def burst(client: Client, webroot: dict[str, Any]) -> tuple[float, Counter[str]]:
    """Return the seconds from the first POST until all names are active, and the runs per shard that it took."""
    known = {job["id"] for job in pages(client, "/jobs?limit=200")}
    names = [f"burst{one}.bench.test" for one in range(BURST)]
    began = time.perf_counter()
    with ThreadPoolExecutor(SENDERS) as senders:
        list(senders.map(lambda name: client.create("fqdns", webroot_id=webroot["id"], fqdn=name), names))
    fleet.say(f"accepted in {seconds(time.perf_counter() - began)}")
    while (
        unfinished := client.call("GET", "/fqdns?limit=1&status=pending")["items"]
        or (client.call("GET", "/fqdns?limit=1&status=provisioning")["items"])
    ):
        if time.perf_counter() - began > fleet.PATIENCE:
            raise SystemExit(f"not active: {unfinished}")
        time.sleep(0.1)
    whole = time.perf_counter() - began
    if failed := client.call("GET", "/fqdns?limit=1&status=failed")["items"]:
        raise SystemExit(f"failed: {failed}")
    wrong = [name for name in names[::50] if status(name) != 200]
    if wrong:
        raise SystemExit(f"active, but not served: {wrong}")
    settle(client)
    jobs = [job for job in pages(client, "/jobs?limit=200") if job["id"] not in known]
    return whole, Counter(job["shard_id"] for job in jobs)


def pages(client: Client, path: str) -> Iterator[dict[str, Any]]:
    """Yield the items of all pages of a list."""
    cursor = ""
    while True:
        page = client.call("GET", path + cursor)
        yield from page["items"]
        if not page["has_more"]:
            return
        cursor = f"&cursor={page['next_cursor']}"


def status(name: str) -> int:
    """Ask the load balancer for a name, as a visitor."""
    connection = http.client.HTTPConnection(LB, timeout=5)
    try:
        connection.request("GET", "/", headers={"Host": name})
        return connection.getresponse().status
    finally:
        connection.close()
