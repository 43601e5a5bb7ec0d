"""What the API costs: requests per second beside bare Flask, and long lists beside short ones."""

from __future__ import annotations

import statistics
import time
from pathlib import Path

import sqlalchemy as sa

from tests.bench import events, fleet, load
from tests.bench.fill import copies
from tests.bench.servers import Servers
from tests.bench.table import Row, at_most, number, seconds
from tests.e2e.client import Client

FEW, MANY = 1000, 1_000_000
ROUNDS = 5
LISTS = {
    "a list of 50": "/fqdns?limit=50",
    "… sorted by name": "/fqdns?limit=50&sort=fqdn",
    "… found by the beginning of the name": "/fqdns?limit=50&search=name5",
    "… of one webroot": "/fqdns?limit=50&webroot_id={webroot}",
    "… behind a cursor in the middle": "/fqdns?limit=50&sort=fqdn&cursor={cursor}",
}


def rows() -> list[Row]:
    """Measure, and return the rows."""
    with Servers() as servers:
        envs = {size: servers.environment(f"names{size}") for size in (FEW, MANY)}
        clients = {size: servers.api(env) for size, env in envs.items()}
        paths = {}
        for size, client in clients.items():
            fleet.say(f"a database of {number(size)} names")
            paths[size] = fill(client, envs[size]["HOSTREEVE_DATABASE_URL"], size)
        bare = servers.gunicorn("bare", "tests.bench.bare:app", envs[FEW])
        fleet.say("requests per second")
        client = clients[MANY]
        one = client.call("GET", "/fqdns?limit=1")["items"][0]
        key = client.http.headers["Authorization"].removeprefix("Bearer ")
        url = f"{str(client.http.base_url).rstrip('/')}/fqdns/{one['id']}"
        return [
            *rates(bare, client, f"/fqdns/{one['id']}"),
            *lengths(clients, paths),
            *events.rows(client, Path(envs[MANY]["HOSTREEVE_DATA_DIR"]), url, key),
        ]


def rates(bare: str, client: Client, one: str) -> list[Row]:
    """Return the rows of requests per second; rounds alternate, so that what else the machine does hits all alike."""
    key = client.http.headers["Authorization"].removeprefix("Bearer ")
    base = str(client.http.base_url).rstrip("/")
    urls = {"bare": f"{bare}/", "one": base + one, "list": base + LISTS["a list of 50"]}
    found: dict[str, list[float]] = {name: [] for name in urls}
    for name, url in urls.items():
        load.rate(url, key if name != "bare" else "", duration=1)
    for _ in range(ROUNDS):
        for name, url in urls.items():
            found[name].append(load.rate(url, key if name != "bare" else ""))
    middle = {name: statistics.median(values) for name, values in found.items()}
    reference = f"{number(middle['bare'])}/s bare Flask"
    return [
        Row("GET of one FQDN with key check, PostgreSQL", f"{number(middle['one'])}/s", reference,
            middle["one"] / middle["bare"]),
        Row("GET of a list of 50 FQDNs", f"{number(middle['list'])}/s", reference, middle["list"] / middle["bare"]),
    ]  # fmt: skip


def lengths(clients: dict[int, Client], paths: dict[int, dict[str, str]]) -> list[Row]:
    """Return the rows of long lists against short ones."""
    result = []
    for name in LISTS:
        times: dict[int, list[float]] = {size: [] for size in clients}
        connections = {size: connect(client, paths[size][name]) for size, client in clients.items()}
        for turn in range(300):
            for size, connection in connections.items():
                began = time.perf_counter()
                connection.ask()
                if turn >= 50:  # the others warm up
                    times[size].append(time.perf_counter() - began)
        few, many = (statistics.median(times[size]) for size in (FEW, MANY))
        result.append(
            Row(
                f"{name}, {number(MANY)} FQDNs against {number(FEW)}",
                seconds(many),
                seconds(few),
                many / few,
                at_most(1.2),
            )
        )
    return result


def connect(client: Client, path: str) -> load.Connection:
    """Return a connection that asks for a path."""
    key = client.http.headers["Authorization"].removeprefix("Bearer ")
    return load.Connection(str(client.http.base_url).rstrip("/") + path, key)


def fill(client: Client, database: str, size: int) -> dict[str, str]:
    """Make so many FQDNs of ten webroots, and return the paths of LISTS for them.

    One is made through REST, so that everything around it is real; the others are copies, made in SQL.
    """
    region = client.create("regions", name="bench")
    cluster = client.create("clusters", name="bench-1", region_id=region["id"])
    shard = client.create("shards", cluster_id=cluster["id"], name="web-a", role="web")
    brand = client.create(
        "brands",
        name="bench",
        base_domain="bench.test",
        hostmaster="hostmaster@bench.test",
        nameservers=["ns1.bench.test", "ns2.bench.test"],
    )
    tenant = client.create("tenants", brand_id=brand["id"], shard_id=shard["id"])
    webroots = [client.create("webroots", tenant_id=tenant["id"])["id"] for _ in range(10)]
    client.create("fqdns", webroot_id=webroots[0], fqdn="name0.bench.test")
    engine = sa.create_engine(database)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        copies(
            connection,
            "fqdn",
            size - 1,
            id="gen_random_uuid()",
            fqdn="'name' || n || '.bench.test'",
            reversed="'test.bench.name' || n",
            webroot_id=f"(cast('{{{','.join(webroots)}}}' as uuid[]))[1 + n % 10]",
            created_at="created_at + n * interval '1 millisecond'",
            status="'active'",
        )
        connection.exec_driver_sql("vacuum analyze")
    engine.dispose()
    middle = client.call("GET", "/fqdns?limit=1&sort=fqdn&search=name5")["next_cursor"]
    return {name: path.format(webroot=webroots[5], cursor=middle) for name, path in LISTS.items()}
