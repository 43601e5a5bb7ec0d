"""Terminal runs with the API's inventory: real ansible-playbook processes, a real API, local connections."""

from __future__ import annotations

import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from api.core.settings import ROOT, Settings
from api.jobs.sweep import sweep
from tests.jobs.terminals import LEASE, PLAY, SECONDS, Server, Terminal, ready, until

Make = Callable[[str], uuid.UUID]

#: What depends on the database; the other tests are run on one, as each takes seconds.
ON_BOTH = (
    "test_the_second_of_two_runs_is_refused_by_name",
    "test_a_job_holds_its_hosts_and_the_others_go_on",
    "test_a_killed_run_loses_its_hosts_and_the_job_goes_on",
)


@pytest.fixture(scope="session")
def server(settings: Settings, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env |= {"HOSTREEVE_" + name.upper(): str(value) for name, value in vars(settings).items()}
    env |= {"HOSTREEVE_LEASE_SECONDS": str(SECONDS), "HOSTREEVE_BIND": f"127.0.0.1:{port}", "HOSTREEVE_WORKERS": "1"}
    command = [sys.executable, "-m", "gunicorn", "-c", "python:api.gunicorn", "api.app:create_app()"]
    log = tmp_path_factory.mktemp("api") / "log"
    with log.open("wb") as file:
        process = subprocess.Popen(command, cwd=ROOT, env=env, stdout=file, stderr=file, start_new_session=True)
    found = Server(f"http://127.0.0.1:{port}", process)
    try:
        until(lambda: ready(found.url), log.read_text, 30)
        yield found
    finally:
        found.send(signal.SIGCONT)
        process.terminate()
        process.wait(30)


@pytest.fixture
def terminal(engine: Any, server: Server, tmp_path: Path, request: pytest.FixtureRequest) -> Iterator[Terminal]:
    if engine.is_sqlite and request.node.originalname not in ON_BOTH:
        pytest.skip("the database makes no difference here")
    made = Terminal(engine, server, tmp_path)
    yield made
    made.go()
    for run in made.runs:
        if run.process.poll() is None:
            run.process.kill()
            run.process.wait()


def test_the_second_of_two_runs_is_refused_by_name(terminal: Terminal) -> None:
    first = terminal.waiting(terminal.start())
    token = terminal.told("web1")[0]
    second = terminal.start(LOGNAME="ben")
    assert second.ended() == 2, second.output
    for host in ("web1", "web2", "lb1"):
        assert f"{host} is held by anna@{socket.gethostname()} (play.yml, key night shift) since 20" in second.output
    assert "Note what a host is told" not in second.output
    assert terminal.told("web1")[0] == token
    terminal.go()
    assert first.ended() == 0, first.output
    assert (terminal.holders(), terminal.runs_held()) == (set(), [])
    third = terminal.start("--limit", "web1")
    assert third.ended() == 0, third.output
    assert int(terminal.told("web1")[0]) > int(token)
    assert terminal.told("web2")[0] != "-1"


def test_a_job_holds_its_hosts_and_the_others_go_on(terminal: Terminal, fqdn: Make) -> None:
    fqdn("www.other.example")
    taken = terminal.engine.claim("web-a")
    terminal.go()
    run = terminal.start()
    assert run.ended() == 2, run.output
    assert f"web1 is held by job {taken.job_id} of shard web-a since 20" in run.output
    assert (terminal.told("web1"), terminal.told("web2")) == ([], [])
    assert int(terminal.told("lb1")[0]) > 0
    assert terminal.holders() == {taken.job_id}


def test_a_killed_run_loses_its_hosts_and_the_job_goes_on(terminal: Terminal, fqdn: Make) -> None:
    run = terminal.waiting(terminal.start("--limit", "web1"))
    fqdn("www.other.example")
    job = terminal.engine.queued("web-a").id
    run.process.kill()

    def swept() -> bool:
        with terminal.engine.maker.begin() as session:
            return job in sweep(session)

    assert not swept()
    run.until(swept, SECONDS + 10)
    assert terminal.engine.claim("web-a").tokens["web1"] > int(terminal.told("web1")[0])
    # The sweep that found the job may have looked at the lease a moment before it ran out.
    swept()
    assert terminal.runs_held() == []


def test_the_lease_is_renewed_during_a_long_task(terminal: Terminal) -> None:
    run = terminal.waiting(terminal.start())
    time.sleep(2.5 * SECONDS)
    refused = terminal.start(LOGNAME="ben")
    assert refused.ended() == 2
    assert "is held by anna@" in refused.output
    assert [held.owner for held in terminal.runs_held()] == [f"anna@{socket.gethostname()}"]
    terminal.go()
    assert run.ended() == 0, run.output


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 99), (signal.SIGTERM, 143), (signal.SIGHUP, 129)], ids=str
)
def test_an_interrupted_run_gives_its_hosts_back(terminal: Terminal, number: signal.Signals, code: int) -> None:
    run = terminal.waiting(terminal.start())
    assert terminal.runs_held()
    run.process.send_signal(number)
    assert run.ended(20) == code, run.output
    assert (terminal.holders(), terminal.runs_held()) == (set(), [])
    assert not (terminal.path / "go").exists()


def test_a_signal_that_comes_with_a_fork_is_not_lost(terminal: Terminal) -> None:
    for number in (signal.SIGTERM, signal.SIGINT, signal.SIGHUP, signal.SIGTERM, signal.SIGINT):
        run = terminal.start()
        run.until(lambda run=run: "Wait until the test goes on" in run.output)
        run.process.send_signal(number)
        assert run.ended(20) != 0, run.output
        assert (terminal.holders(), terminal.runs_held()) == (set(), []), run.output


def test_a_failed_run_gives_its_hosts_back(terminal: Terminal) -> None:
    tasks = "- {hosts: all, gather_facts: false, tasks: [{ansible.builtin.fail: }]}\n"
    (terminal.path / "fail.yml").write_text(LEASE + tasks)
    run = terminal.start(play="fail.yml")
    assert run.ended() == 2
    assert "Failed as requested" in run.output
    assert (terminal.holders(), terminal.runs_held()) == (set(), [])


def test_a_run_whose_lease_was_taken_away_ends(terminal: Terminal, server: Server) -> None:
    run = terminal.waiting(terminal.start())
    (held,) = terminal.runs_held()
    headers = {"Authorization": f"Bearer {terminal.key}"}
    assert httpx.delete(f"{server.url}/leases/{held.id}", headers=headers).status_code == 200
    assert run.ended(SECONDS + 5) == 143, run.output
    assert "The lease of the hosts is lost, and the run ends: the API refuses: There is no such resource." in run.output


def test_a_run_without_its_api_ends_before_its_lease_does(terminal: Terminal, server: Server) -> None:
    run = terminal.waiting(terminal.start())
    server.send(signal.SIGSTOP)
    try:
        began = time.monotonic()
        run.until(lambda: "The lease of the hosts is lost" in run.output, SECONDS + 5)
        assert time.monotonic() - began < SECONDS
    finally:
        server.send(signal.SIGCONT)
    assert run.ended(20) == 143, run.output


def test_a_waiting_run_sends_what_is_wished_when_it_begins(terminal: Terminal, fqdn: Make) -> None:
    fqdn("first.other.example")
    taken = terminal.engine.claim("web-a")
    terminal.go()
    run = terminal.start(HOSTREEVE_LEASE_WAIT="60")
    run.until(lambda: f"waiting: web1 is held by job {taken.job_id}" in run.output)
    fqdn("second.other.example")
    time.sleep(2)
    assert terminal.told("lb1") == []
    terminal.engine.end(taken)
    assert run.ended() == 0, run.output
    assert terminal.told("web1")[1:] == ["first.other.example", "second.other.example"]


def test_check_mode_takes_no_lease(terminal: Terminal, fqdn: Make) -> None:
    fqdn("www.other.example")
    taken = terminal.engine.claim("web-a")
    terminal.go()
    run = terminal.start("--check")
    assert run.ended() == 0, run.output
    assert "web1" in run.output
    assert terminal.holders() == {taken.job_id}


def test_what_holds_no_lease_says_so_to_the_host(terminal: Terminal) -> None:
    (terminal.path / "own.yml").write_text(PLAY.format(work=terminal.path, python=sys.executable))
    terminal.go()
    run = terminal.start(play="own.yml")
    assert run.ended() == 0, run.output
    assert terminal.told("web1") == ["-1"]


def test_without_the_callback_or_the_scope_nothing_is_done(terminal: Terminal) -> None:
    (terminal.path / "own.cfg").write_text(f"[defaults]\ncollections_path = {ROOT}/collections\n")
    run = terminal.start(
        ANSIBLE_CONFIG=str(terminal.path / "own.cfg"), ANSIBLE_INVENTORY_ENABLED="hostreeve.hosting.platform"
    )
    assert run.ended() == 2
    assert "callbacks_enabled = hostreeve.hosting.lease" in run.output
    run = terminal.start(HOSTREEVE_API_KEY=terminal.issue("reader", "inventory:read"))
    assert run.ended() == 2
    assert "This needs a key with the scope lease:write." in run.output
    assert terminal.told("web1") == []


def test_another_inventory_needs_no_api(terminal: Terminal) -> None:
    (terminal.path / "hosts.yml").write_text("web: {hosts: {one: {}}}\n")
    terminal.go()
    run = terminal.start(inventory="hosts.yml", HOSTREEVE_URL="http://127.0.0.1:9", HOSTREEVE_API_KEY="x")
    assert run.ended() == 0, run.output
    assert terminal.told("one") == ["none"]
    assert "Refuse hosts" not in run.output
    assert "WARNING" not in run.output


def test_variables_of_another_inventory_stay_in_force(terminal: Terminal, fqdn: Make) -> None:
    fqdn("www.other.example")
    mine = "web: {hosts: {web1: {web_fqdns: [{fqdn: mine.example}]}}}\n"
    (terminal.path / "mine.yml").write_text(mine)
    terminal.go()
    run = terminal.start("-i", "mine.yml")
    assert run.ended() == 0, run.output
    assert terminal.told("web1")[1:] == ["mine.example"]
    assert terminal.told("web2")[1:] == ["www.other.example"]


def test_a_refreshed_inventory_keeps_the_lease(terminal: Terminal) -> None:
    refresh = "- {hosts: web, gather_facts: false, tasks: [{ansible.builtin.meta: refresh_inventory}]}\n"
    (terminal.path / "refresh.yml").write_text(LEASE + refresh + PLAY.format(work=terminal.path, python=sys.executable))
    terminal.go()
    run = terminal.start(play="refresh.yml")
    assert run.ended() == 0, run.output
    assert int(terminal.told("web1")[0]) > 0


def test_the_key_is_shown_nowhere(terminal: Terminal) -> None:
    terminal.go()
    run = terminal.start("-vvvv", "--diff")
    assert run.ended() == 0, run.output
    listed = subprocess.run(
        ["ansible-inventory", "-i", "api.yml", "--list"],
        cwd=terminal.path,
        env=terminal.env,
        capture_output=True,
        text=True,
        check=True,
    )
    assert '"web1"' in listed.stdout
    secret = terminal.key.split("_", 2)[2]  # which may hold underscores itself
    assert secret not in run.output + listed.stdout + listed.stderr
