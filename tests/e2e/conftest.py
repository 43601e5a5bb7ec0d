"""One platform for all end-to-end tests: the API and a worker as real processes, converging the test fleet."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from cryptography.fernet import Fernet

from tests.e2e.client import Client, eventually
from tests.e2e.databases import Shard
from tests.e2e.fleet import FLEET, ROOT, Platform, free_port, furnish, issue_key, ready


@pytest.fixture(scope="session")
def platform(
    postgres: Callable[[str], str], redis_url: str, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Platform]:
    """Start API and worker on PostgreSQL and Redis, register the fleet, create a brand, a zone and a tenant."""
    state = tmp_path_factory.mktemp("platform")
    env = {
        **os.environ,
        "PYTHONPATH": f"{ROOT}:{ROOT / 'collections'}",
        "HOSTREEVE_DATABASE_URL": postgres("e2e"),
        "HOSTREEVE_REDIS_URL": redis_url,
        "HOSTREEVE_DATA_DIR": str(state / "data"),
        "HOSTREEVE_RUN_DIR": str(state / "run"),
        "HOSTREEVE_SSH_KEY": str(FLEET / "key"),
        "HOSTREEVE_SSH_KNOWN_HOSTS": str(FLEET / "known_hosts"),
        "HOSTREEVE_SECRET_KEY": Fernet.generate_key().decode(),
        "HOSTREEVE_SWEEP_SECONDS": "2",
    }
    subprocess.run([sys.executable, "-m", "api", "db", "upgrade"], cwd=ROOT, env=env, check=True)
    key = issue_key(env, "*", "*")
    port = free_port()
    base = f"http://127.0.0.1:{port}"
    commands = {
        "api": [
            sys.executable,
            "-m",
            "gunicorn",
            "--bind",
            f"127.0.0.1:{port}",
            "--threads",
            "8",
            "api.app:create_app()",
        ],
        "worker": [sys.executable, "-m", "worker", "--workers", "3"],
    }
    processes = []
    try:
        for name, command in commands.items():
            log = (state / f"{name}.log").open("w")
            processes.append(subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=subprocess.STDOUT))
        eventually(lambda: ready(base), 120)
        client = Client(base, key)
        yield furnish(client, base, env)
    finally:
        for process in reversed(processes):
            process.terminate()
        for process in reversed(processes):
            process.wait(60)
        for name in commands:
            print(f"--- {name}\n" + (state / f"{name}.log").read_text()[-8000:])


@pytest.fixture(scope="session")
def db_shard(platform: Platform) -> Iterator[Shard]:
    """Two servers, db1 the primary at first, with a database; for all tests that need any."""
    made = Shard(platform)
    yield made
    made.remove()


@pytest.fixture
def site(platform: Platform) -> Iterator[dict[str, Any]]:
    """A webroot of its own for a test; removed afterwards with whatever the test left below it."""
    webroot = platform.client.make("webroots", tenant_id=platform.tenant["id"], runtime="php")
    yield webroot
    for fqdn in platform.client.call("GET", f"/fqdns?webroot_id={webroot['id']}&limit=200")["items"]:
        platform.client.delete("fqdns", fqdn)
    platform.client.delete("webroots", webroot)
