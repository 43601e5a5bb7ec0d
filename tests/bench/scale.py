"""What 10,000 nodes and 1,000,000 resources cost the platform itself: the hosts are simulated, the rest is not.

A simulated host reports at once that everything was done. So the figures are what database and engine add to a run.
"""

from __future__ import annotations

import os
import statistics
import time
from collections.abc import Callable

import psutil
import sqlalchemy as sa

from api.app import create_app
from api.core.settings import load
from api.core.state import EXTENSION
from api.jobs.sweep import sweep
from tests.bench import fleet
from tests.bench.api import connect
from tests.bench.fill import copies
from tests.bench.servers import Servers
from tests.bench.table import Row, number, seconds
from tests.e2e.client import Client
from tests.jobs.conftest import Engine

SHARDS, NODES, NAMES = 2500, 10_000, 1_000_000
#: Shards in which something changes at once.
BUSY = 300
LISTS = ("/fqdns?limit=50", "/nodes?limit=50", "/shards?limit=50&sort=name", "/jobs?limit=50")


def rows() -> list[Row]:
    """Measure, and return the rows."""
    with Servers() as servers:
        env = servers.environment("scale")
        client = servers.api(env)
        fleet.say(f"a database of {number(NODES)} nodes in {number(SHARDS)} shards and {number(NAMES)} names")
        fill(client, env["HOSTREEVE_DATABASE_URL"])
        os.environ.update({key: value for key, value in env.items() if key.startswith("HOSTREEVE_")})
        app = create_app(load())
        state = app.extensions[EXTENSION]
        engine = Engine(state.settings, state.maker, app)
        lists = [Row(f"GET {path}", seconds(ask(client, path))) for path in LISTS]
        idle = timed(lambda: swept(engine), 5)
        shards = changed(engine)
        waiting = timed(lambda: swept(engine), 1)
        fleet.say(f"{BUSY} runs with simulated hosts")
        began = time.perf_counter()
        for shard in shards:
            engine.ids["busy"] = shard
            engine.run("busy")
        each = (time.perf_counter() - began) / BUSY
        memory = psutil.Process().memory_info().rss
    what = f"{number(NODES)} nodes, {number(NAMES)} names"
    return [
        *lists,
        Row(f"a sweep with nothing to do, {what}", seconds(idle)),
        Row(f"a sweep with {BUSY} jobs that nobody took", seconds(waiting)),
        Row("a run of four simulated hosts: claim, document, reports, end", f"{seconds(each)} ({number(1 / each)}/s)"),
        Row("memory of a process that did all that", f"{memory / 1_048_576:.0f} MiB"),
    ]


def swept(engine: Engine) -> None:
    with engine.transaction() as session:
        sweep(session)


def timed(work: Callable[[], object], times: int) -> float:
    """Return the median seconds of some rounds."""
    found = []
    for _ in range(times):
        began = time.perf_counter()
        work()
        found.append(time.perf_counter() - began)
    return statistics.median(found)


def ask(client: Client, path: str) -> float:
    """Return the median seconds of a request, on a connection that is open."""
    connection = connect(client, path)
    for _ in range(20):
        connection.ask()
    return timed(connection.ask, 100)


def changed(engine: Engine) -> list[object]:
    """Change one name in so many shards; return the shards."""
    query = sa.text(
        "select distinct on (tenant.shard_id) fqdn.id, tenant.shard_id from fqdn "
        "join webroot on webroot.id = fqdn.webroot_id join tenant on tenant.id = webroot.tenant_id "
        "where fqdn.id in (select id from fqdn order by created_at limit 3000) limit :busy"
    )
    with engine.maker() as session:
        found = session.execute(query, {"busy": BUSY}).all()
    for id_, _ in found:
        engine.change("fqdn", id_)
    return [shard for _, shard in found]


def fill(client: Client, database: str) -> None:
    """Make one of each through REST, and the others as copies in SQL."""
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
    webroot = client.create("webroots", tenant_id=tenant["id"])
    client.create("fqdns", webroot_id=webroot["id"], fqdn="name0.bench.test")
    client.create("nodes", shard_id=shard["id"], name="n0", address="10.0.0.1")
    place = f"(1 + n % {SHARDS})"
    later = {"created_at": "created_at + n * interval '1 millisecond'", "status": "'active'"}

    def key(table: str, count: str = "n") -> str:
        return f"cast(md5('{table}' || {count}) as uuid)"

    engine = sa.create_engine(database)
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        connection.execute(sa.text("delete from delivery"))
        connection.execute(
            sa.text("update job set state = 'successful', started_at = created_at, ended_at = created_at")
        )
        copies(connection, "shard", SHARDS, id=key("shard"), name="'web-' || n", **later)
        copies(
            connection,
            "node",
            NODES,
            id=key("node"),
            shard_id=key("shard", place),
            name="'n' || n",
            address="'n' || n || '.bench.test'",
            **later,
        )
        copies(
            connection,
            "tenant",
            SHARDS,
            id=key("tenant"),
            shard_id=key("shard"),
            name="'t_' || lpad(cast(n as text), 10, '0')",
            uid="uid + n",
            **later,
        )
        copies(
            connection,
            "webroot",
            SHARDS,
            id=key("webroot"),
            tenant_id=key("tenant"),
            name="'web_' || lpad(cast(n as text), 10, '0')",
            **later,
        )
        copies(
            connection,
            "fqdn",
            NAMES - 1,
            id=key("fqdn"),
            webroot_id=key("webroot", place),
            fqdn="'name' || n || '.bench.test'",
            reversed="'test.bench.name' || n",
            **later,
        )
        connection.exec_driver_sql("vacuum analyze")
    engine.dispose()
