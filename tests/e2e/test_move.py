"""A database moves to another shard through REST while somebody writes to it; the run is killed in the middle of it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import pytest

from tests.e2e.client import eventually
from tests.e2e.databases import LEDGER, Shard
from tests.e2e.fleet import DB, OLDER, Platform, kill_run, on_host, reach

pytestmark = pytest.mark.fleet
STOP = "/run/e2e-ledger-stop"
ROWS = 100_000


def sql(host: str, statement: str) -> str:
    """Ask a server as root."""
    return on_host(host, "mariadb", "-NBe", statement, check=False).strip()


def mark(host: str, database: str) -> str:
    return sql(host, f"SELECT SCHEMA_COMMENT FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = '{database}'")


@pytest.fixture(scope="module")
def first(platform: Platform) -> dict[str, Any]:
    """A shard of a server that runs an older release."""
    client = platform.client
    made = client.create("shards", cluster_id=platform.shards["web-a"]["cluster_id"], name="db-b", role="db")
    ((name, address),) = OLDER.items()
    node = client.create("nodes", shard_id=made["id"], name=name, address=address)
    client.until("nodes", node, "active", 600)
    return made


@pytest.fixture
def database(platform: Platform, first: dict[str, Any]) -> Iterator[dict[str, Any]]:
    """A tenant's database there; gone at the end."""
    client = platform.client
    tenant = client.make("tenants", brand_id=platform.brand["id"], shard_id=platform.shards["web-a"]["id"])
    made = client.make("databases", tenant_id=tenant["id"], shard_id=first["id"])
    yield made
    for user in client.call("GET", f"/database-users?database_id={made['id']}")["items"]:
        client.delete("database-users", user)
    client.call("DELETE", f"/databases/{made['id']}?confirm={made['name']}", 202)
    client.gone("databases", made)
    client.delete("tenants", tenant)


def writer(host: str, database: dict[str, Any], user: dict[str, Any], password: str) -> subprocess.Popen[str]:
    """Start a writer that keeps a ledger, at whichever server lets it in."""
    on_host(host, "rm", "-f", STOP)
    command = reach(host, "python3", "-c", LEDGER)
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    asked = {
        "hosts": [*OLDER.values(), *DB.values()],
        "user": user["name"],
        "password": password,
        "database": database["name"],
    }
    assert process.stdin is not None
    process.stdin.write(json.dumps({**asked, "seconds": 400, "threads": 2, "rest": 0.01, "stop": STOP}))
    process.stdin.close()
    process.stdin = None
    eventually(lambda: sql(host, f"SELECT COUNT(*) > 20 FROM {database['name']}.ledger") == "1", 30)
    return process


def test_a_database_moves_under_load_and_a_killed_run_costs_nothing(
    platform: Platform, first: dict[str, Any], db_shard: Shard, database: dict[str, Any]
) -> None:
    client, name = platform.client, database["name"]
    (source,), target = OLDER, db_shard.primary()
    answer = client.call("POST", "/database-users", 202, json={"database_id": database["id"], "suffix": "app"})
    user, secret = client.until("database-users", answer["resource"], "active"), answer["secret"]
    filled = f"USE {name}; CREATE TABLE big (id INT PRIMARY KEY, v CHAR(32)); INSERT INTO big SELECT seq, MD5(seq) "
    sql(source, filled + f"FROM seq_1_to_{ROWS}")
    process = writer(source, database, user, secret)

    # The run is killed when the users have just been shut out at the source, and nothing is open at the target.
    move = client.call("POST", f"/databases/{database['id']}/move", 202, json={"shard_id": db_shard.row["id"]})
    move = move["resource"]
    seen = []

    def shut() -> bool:
        seen.append(client.call("GET", f"/moves/{move['id']}")["progress"].get("phase"))
        return mark(source, name) == "Hostreeve: moved away"

    eventually(shut, 120, 0.05)
    kill_run(move["job_id"])
    assert set(seen) & {"copying", "locking", "verified"}, f"progress was shown while it ran: {set(seen)}"
    eventually(lambda: client.call("GET", f"/moves/{move['id']}")["state"] == "failed", 60)
    client.until("databases", database, "active")
    client.until("database-users", user, "active")
    assert mark(source, name) == "Managed by Hostreeve"
    assert client.get("databases", database)["shard_id"] == first["id"]
    count = int(sql(source, f"SELECT COUNT(*) FROM {name}.ledger"))
    eventually(lambda: int(sql(source, f"SELECT COUNT(*) FROM {name}.ledger")) > count, 30)

    # Another try; a password that is changed meanwhile is the one that counts afterwards.
    again = client.call("POST", f"/moves/{move['id']}/retry", 202)["resource"]
    client.call("PATCH", f"/database-users/{user['id']}", 202, json={"hosts": ["0.0.0.0/8", "10.0.0.0/8"]})
    client.call("DELETE", f"/databases/{database['id']}?confirm={name}", 409)
    assert eventually(lambda: client.ended({"id": again["job_id"]}), 180)["state"] == "successful"
    done = client.call("GET", f"/moves/{move['id']}")
    assert done["state"] == "switched" and done["result"]["rows"] > ROWS, done
    client.until("databases", database, "active")
    client.until("database-users", user, "active")
    assert client.get("databases", database)["shard_id"] == db_shard.row["id"]
    assert sql(target, f"SELECT COUNT(*) FROM {name}.big WHERE v = MD5(id)") == str(ROWS)
    assert (mark(source, name), mark(target, name)) == ("Hostreeve: moved away", "Managed by Hostreeve")
    hosts = sql(target, f"SELECT GROUP_CONCAT(Host ORDER BY 1) FROM mysql.global_priv WHERE User = '{user['name']}'")
    assert hosts == "0.0.0.0/255.0.0.0,10.0.0.0/255.0.0.0"
    count = int(sql(target, f"SELECT COUNT(*) FROM {name}.ledger"))
    eventually(lambda: int(sql(target, f"SELECT COUNT(*) FROM {name}.ledger")) > count, 30)

    on_host(source, "touch", STOP)
    assert process.stdout is not None
    ledger = json.loads(process.stdout.read())
    print("ledger:", ledger, "move:", done["result"])
    assert ledger["lost"] == [] and ledger["acknowledged"] > 100 and ledger["host"] == DB[target]

    job = client.call("POST", f"/moves/{move['id']}/confirm", 202)["jobs"][0]
    assert eventually(lambda: client.ended(job), 60)["state"] == "successful"
    assert client.call("GET", f"/moves/{move['id']}")["state"] == "confirmed" and mark(source, name) == ""
    assert name in on_host(source, "ls", "/var/lib/hostreeve/dropped-databases")
    assert sql(source, "SELECT COUNT(*) FROM mysql.global_priv WHERE User = 'hostreeve_copy'") == "0"
