"""Everything dies while 500 changes are in flight; in the end the hosts equal the database, and it tells the truth."""

from __future__ import annotations

import itertools
import random
import re
import shutil
import subprocess
import tempfile
import threading
import time
import uuid
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import httpx
import pytest
import sqlalchemy as sa

from tests.e2e.client import Client, eventually
from tests.e2e.fleet import DNS, LB, WEB, furnish, on_host
from tests.faults.containers import WORKERS, Containers
from tests.faults.daemons import Daemons, insist

pytestmark = pytest.mark.fleet

CHANGES, SENDERS = 500, 4
#: Each of these dies at least once; the order is new in every run, and printed.
VICTIMS = ["redis", "api", "api-worker", "worker", "worker-process", "run", "playbook", "postgres", "disk"] * 2
#: The same with three workers on machines of their own.
APART = ["redis", "api", *WORKERS, "run", "playbook", "postgres", "disk"] * 2
#: what was killed, and when in seconds since 1970
Fault = tuple[str, float]
#: Seconds within which everything must have come to its end after the last fault.
CALM = 240


@pytest.fixture
def daemons(request: pytest.FixtureRequest) -> Iterator[Daemons]:
    directory = Path(tempfile.mkdtemp(prefix="hr-", dir="/tmp"))
    directory.chmod(0o755)
    made: Daemons = request.param(directory)
    try:
        yield made
    finally:
        made.stop()
        shutil.rmtree(directory, ignore_errors=True)


class Portal:
    """Sends changes and remembers what was accepted: id → what it should be in the end."""

    def __init__(self, client: Client, webroot: str, zone: str) -> None:
        self._client, self._webroot, self._zone = client, webroot, zone
        self.names: dict[str, str] = {}
        self.records: dict[str, str] = {}
        self.deleted: set[str] = set()

    def change(self, number: int) -> None:
        """One change of the 500: mostly names, some records, some names that go again."""
        if number % 5 == 4:
            body = {"zone_id": self._zone, "name": f"r{number}", "type": "A", "content": f"192.0.2.{number % 250 + 1}"}
            row = self._post("/records", body)
            self.records[row["id"]] = f"r{number}.acme.test"
            return
        name = f"storm{number}.{'acme' if number % 2 else 'elsewhere'}.test"
        row = self._post("/fqdns", {"webroot_id": self._webroot, "fqdn": name})
        self.names[row["id"]] = name
        if number % 10 == 0:
            insist(lambda: self._client.call("DELETE", f"/fqdns/{row['id']}", self._gone(row["id"])))
            self.deleted.add(row["id"])

    def _gone(self, id_: str) -> int:
        # A deletion that was accepted, and whose answer was lost, may be done by the next try.
        return 404 if self._client.http.get(f"/fqdns/{id_}").status_code == 404 else 202

    def _post(self, path: str, body: dict[str, str]) -> dict[str, Any]:
        # The key makes the next try after a lost answer the same change.
        headers = {"Idempotency-Key": str(uuid.uuid4())}
        answer = insist(lambda: self._client.call("POST", path, 202, json=body, headers=headers), 90)
        return answer["resource"]  # type: ignore[index,no-any-return]


@pytest.mark.parametrize(
    ("daemons", "victims"), [(Daemons, VICTIMS), (Containers, APART)], indirect=["daemons"], ids=["one", "three"]
)
def test_whatever_dies_every_accepted_change_ends_with_a_truthful_status(daemons: Daemons, victims: list[str]) -> None:
    seed = random.randrange(10**6)
    print(f"seed {seed}")
    dice = random.Random(seed)
    platform = furnish(daemons.start(), daemons.base, daemons.env)
    client = platform.client
    webroot = client.make("webroots", tenant_id=platform.tenant["id"])
    began = {host: on_host(host, "date", "+%s").strip() for host in (*WEB, "lb1", *DNS)}
    portal = Portal(client, webroot["id"], platform.zone["id"])

    over = threading.Event()
    with ThreadPoolExecutor(1) as storm:
        raging = storm.submit(rage, daemons, victims, dice, over)
        try:
            with ThreadPoolExecutor(SENDERS) as senders:
                list(senders.map(portal.change, range(CHANGES)))
        finally:
            over.set()
        faults = raging.result(120)
    assert len(portal.names) + len(portal.records) == CHANGES

    eventually(lambda: insist(lambda: quiet(client)), CALM, 1)
    failed = list(pages(client, "/fqdns?status=failed")) + list(pages(client, "/records?status=failed"))
    print(f"{len(failed)} of {CHANGES} failed by then: {sorted({row['status_message'] for row in failed})}")
    assert all(row["status_message"] for row in failed)
    for row in failed:
        client.call("POST", f"/{'fqdns' if 'fqdn' in row else 'records'}/{row['id']}/retry", 202)
    eventually(lambda: quiet(client), CALM, 1)
    nothing_is_lost(client, portal)
    hosts_equal_the_database(client, platform.zone["name"])
    no_two_runs_overlapped(daemons, began)
    audit_tells_it_all(daemons, portal)
    tell(daemons, faults)


def rage(daemons: Daemons, victims: list[str], dice: random.Random, over: threading.Event) -> list[Fault]:
    """Kill one after the other until every victim had its turn, and on until the changes are all sent."""
    left: list[str] = []
    done: list[Fault] = []
    turns = 0
    while not over.is_set() or turns < len(victims):
        if not left:
            left = dice.sample(victims, len(victims))
        victim = left.pop()
        moment = time.time()
        if daemons.kill(victim):
            done.append((victim, moment))
        elif not over.is_set():
            left.insert(0, victim)
            turns -= 1
        turns += 1
        over.wait(dice.uniform(0.5, 4)) or time.sleep(0.5)
    return done


def tell(daemons: Daemons, faults: list[Fault]) -> None:
    """Print how often each part died, and the longest time until a run that began afterwards had ended well."""
    engine = sa.create_engine(daemons.env["HOSTREEVE_DATABASE_URL"])
    query = "select extract(epoch from started_at), extract(epoch from ended_at) from job where state = 'successful'"
    with engine.connect() as connection:
        runs = [(float(start), float(end)) for start, end in connection.execute(sa.text(query))]
    engine.dispose()
    print("fault            times  longest recovery")
    for victim in sorted({victim for victim, _ in faults}):
        moments = [moment for name, moment in faults if name == victim]
        after = [[end for start, end in runs if start > moment] for moment in moments]
        slowest = max((min(ends) - moment for moment, ends in zip(moments, after, strict=True) if ends), default=None)
        # After the last changes no run may be left to tell by.
        print(f"{victim:16} {len(moments):5}  " + ("no run followed" if slowest is None else f"{slowest:.1f} s"))


def pages(client: Client, path: str) -> Iterator[dict[str, Any]]:
    cursor = ""
    while True:
        page = client.call("GET", f"{path}&limit=200{cursor}")
        yield from page["items"]
        if not page["has_more"]:
            return
        cursor = f"&cursor={page['next_cursor']}"


def quiet(client: Client) -> bool:
    """Tell whether nothing waits and nothing runs."""
    states = [
        *(f"/jobs?limit=1&state={state}" for state in ("queued", "running")),
        *(
            f"/{plural}?limit=1&status={status}"
            for plural in ("fqdns", "records", "webroots", "tenants", "zones", "nodes")
            for status in ("pending", "provisioning", "deleting")
        ),
    ]
    return all(not client.call("GET", path)["items"] for path in states)


def nothing_is_lost(client: Client, portal: Portal) -> None:
    names = {row["id"]: row for row in pages(client, "/fqdns?")}
    records = {row["id"]: row for row in pages(client, "/records?")}
    assert set(portal.names) - portal.deleted <= set(names)
    assert not portal.deleted & set(names)
    assert set(portal.records) <= set(records)
    assert {row["status"] for row in [*names.values(), *records.values()]} == {"active"}


def hosts_equal_the_database(client: Client, zone: str) -> None:
    names = sorted(row["fqdn"] for row in pages(client, "/fqdns?status=active"))
    for host in WEB:
        files = on_host(host, "ls", "/etc/nginx/hostreeve/sites").split()
        assert sorted(name.removesuffix(".conf") for name in files) == names, host
    map_ = on_host("lb1", "cat", "/etc/haproxy/maps/hosts.map")
    assert sorted({line.split()[0] for line in map_.splitlines() if line and line[0] != "#"}) == names
    wanted = {
        (f"{row['name']}.{zone}" if row["name"] != "@" else zone, row["content"])
        for row in pages(client, "/records?type=A")
    }
    for host in DNS:
        listed = on_host(host, "pdnsutil", "list-zone", zone)
        found = {
            (fields[0].rstrip("."), fields[-1])
            for fields in map(str.split, listed.splitlines())
            if len(fields) >= 4 and fields[-2] == "A"
        }
        assert found == wanted, host
    for name in random.sample(names, 20):
        assert httpx.get(f"http://{LB}/", headers={"Host": name}).status_code == 200


def no_two_runs_overlapped(daemons: Daemons, began: dict[str, str]) -> None:
    """By the record on the host: once a newer run's token has come, none of an older run follows that was let in."""
    engine = sa.create_engine(daemons.env["HOSTREEVE_DATABASE_URL"])
    with engine.connect() as connection:
        counted = "select count(*), count(*) filter (where state = 'abandoned') from job"
        jobs = connection.execute(sa.text(counted)).one()
    engine.dispose()
    print(f"{jobs[0]} jobs, {jobs[1]} abandoned")
    for host, since in began.items():
        journal = on_host(host, "journalctl", "--no-pager", "-o", "cat", f"--since=@{since}", "-t", "hostreeve")
        runs = re.findall(r"^run (?P<state>begins|ends) fence=(\d+) job=(\S+)$", journal, re.MULTILINE)
        assert runs, host
        fences = [int(fence) for _, fence, _ in runs]
        assert fences == sorted(fences), host
        # Each begins when the one before has ended, or was killed and never said so.
        for (state, fence, _), (following, next_fence, _) in itertools.pairwise(runs):
            if state == "begins" and following == "ends":
                assert fence == next_fence, host


def audit_tells_it_all(daemons: Daemons, portal: Portal) -> None:
    engine = sa.create_engine(daemons.env["HOSTREEVE_DATABASE_URL"])
    with engine.connect() as connection:
        created = {
            str(id_) for id_ in connection.scalars(sa.text("select resource_id from audit where action = 'create'"))
        }
        ended = connection.execute(
            sa.text("select count(*) from job where state not in ('queued', 'running')"),
        ).scalar_one()
        runs = connection.execute(sa.text("select count(*) from audit where action = 'run'")).scalar_one()
    engine.dispose()
    assert set(portal.names) | set(portal.records) <= created
    assert runs == ended
    done = subprocess.run(
        ["hostctl", "audit", "verify", "--json"],
        env={
            **daemons.env,
            "HOSTCTL_URL": daemons.base,
            "HOSTCTL_KEY": portal._client.http.headers["Authorization"].removeprefix("Bearer "),
            "XDG_STATE_HOME": str(daemons.directory / "state"),
        },
        capture_output=True,
        text=True,
        check=False,
    )
    assert done.returncode == 0, done.stdout + done.stderr
