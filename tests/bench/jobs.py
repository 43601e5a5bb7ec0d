"""What the job engine adds to ansible-playbook: to start, between two jobs, per event, and with many who look on.

Plays run on this machine, without SSH: what is measured is not the hosts.
"""

from __future__ import annotations

import itertools
import os
import statistics
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from datetime import UTC, datetime
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import ansible_runner
import httpx
import orjson
import sqlalchemy as sa

from api.app import create_app
from api.core.settings import load
from api.core.state import EXTENSION
from api.jobs.models import Job
from tests.bench import fleet
from tests.bench.fill import copies
from tests.bench.servers import Servers, eventually
from tests.bench.table import Row, at_least, number, seconds
from tests.e2e.client import Client
from tests.jobs.conftest import Engine, furnish
from tests.jobs.working import HEAD, REPORT
from worker.events import EventLog

ROUNDS = 7
#: The playbook of launches, which does nothing.
LAUNCHED = "launched.yml"
NOTHING = """
- name: Nothing
  hosts: all
  gather_facts: false
  tasks: []
"""
#: Items of a play, each of which is an event.
ITEMS = 5000
LOOP = """
    - name: Say much
      ansible.builtin.debug: {{msg: "{{{{ item }}}}"}}
      loop: "{{{{ range({items}) | list }}}}"
"""
FEW, MANY = 30, 1000
#: Jobs between which the pauses are looked at.
SEEN = 25
#: Events that are stored; what fits below the bound of a file.
EVENTS = 50_000
LISTENERS, BEATS = 50, 40
#: Events per second that AWX stores on four processors, by its documentation; ten times that is the goal.
AWX = 1630


def rows() -> list[Row]:
    """Measure, and return the rows."""
    with Servers() as servers:
        env = {**servers.environment("jobs"), "HOSTREEVE_WORKERS": "3"}
        data = Path(env["HOSTREEVE_DATA_DIR"])
        directory = data / "plays"
        env["HOSTREEVE_PLAYBOOKS"] = str(directory)
        plays(directory)
        client = servers.api(env)
        os.environ.update({key: value for key, value in env.items() if key.startswith("HOSTREEVE_")})
        app = create_app(load())
        state = app.extensions[EXTENSION]
        engine = Engine(state.settings, state.maker, app)
        furnish(engine)
        with sa.create_engine(env["HOSTREEVE_DATABASE_URL"]).connect() as connection:
            fill(connection.execution_options(isolation_level="AUTOCOMMIT"))
            servers.launch("worker", [sys.executable, "-m", "worker", "--workers", "1"], env)
            found = [*starts(client, engine, directory), launched(client, directory)]
            plays(directory, ITEMS)
            found += [many(client, engine, directory), *stored(client, engine, data)]
            plays(directory)
            pauses = {size: pause(connection, size) for size in (FEW, MANY)}
    return [
        *found,
        Row(
            f"a worker's pause between two jobs while {number(MANY)} are queued",
            seconds(pauses[MANY]),
            f"{seconds(pauses[FEW])} while {FEW} are",
            pauses[MANY] / pauses[FEW],
        ),
    ]


def plays(directory: Path, items: int = 0) -> None:
    """Write the play of all jobs: it says so many things, then reports for a balancer, as on a host."""
    directory.mkdir(parents=True, exist_ok=True)
    text = (HEAD + LOOP + REPORT).format(work=directory, python=sys.executable, items=items)
    (directory / "converge.yml").write_text(text)
    (directory / LAUNCHED).write_text(NOTHING)
    (directory / "hosts.yml").write_text("lb: {hosts: {lb1: {lb_fqdns: [], lb_shards: []}}}\n")


def fill(connection: sa.Connection) -> None:
    """Make as many balancers as jobs will be queued, each in a shard of its own."""
    copies(
        connection,
        "shard",
        MANY,
        id="cast(md5('shard' || n) as uuid)",
        name="'lb-' || n",
        role="'lb'",
        created_at="created_at + n * interval '1 millisecond'",
    )
    copies(
        connection,
        "node",
        MANY,
        id="cast(md5('node' || n) as uuid)",
        shard_id="cast(md5('shard' || n) as uuid)",
        name="'lb-' || n",
        address="'lb' || n || '.bench.test'",
        created_at="created_at + n * interval '1 millisecond'",
    )


def starts(client: Client, engine: Engine, directory: Path) -> list[Row]:
    """Return what a whole job costs beside ansible-playbook and ansible-runner; the rounds alternate."""
    timings: dict[Callable[[], object], list[float]] = {}
    waits = []

    def job() -> None:
        waits.append(run(client, engine))

    def bare() -> None:
        play(directory)

    def runner() -> None:
        done = ansible_runner.run(
            private_data_dir=str(directory),
            project_dir=str(directory),
            inventory=str(directory / "hosts.yml"),
            playbook="converge.yml",
            quiet=True,
        )
        if done.rc:
            raise SystemExit(f"ansible-runner ended with {done.rc}")

    fleet.say("jobs, ansible-playbook and ansible-runner in turn")
    for work in (job, bare, runner) * (ROUNDS + 1):
        began = time.perf_counter()
        work()
        timings.setdefault(work, []).append(time.perf_counter() - began)
    # The first round finds nothing in any cache.
    whole, plain, run_ = (statistics.median(timings[work][1:]) for work in (job, bare, runner))
    return [
        Row(
            "a job of one task, from the request to its end",
            seconds(whole),
            f"{seconds(plain)} ansible-playbook",
            whole / plain,
        ),
        Row("the same against ansible-runner", seconds(whole), seconds(run_), whole / run_),
        Row("... of which from the request until it runs", seconds(statistics.median(waits[1:]))),
    ]


def play(directory: Path) -> None:
    """Run the play without anything of ours."""
    command = ["ansible-playbook", "-i", "hosts.yml", "converge.yml"]
    subprocess.run(command, cwd=directory, check=True, stdout=subprocess.DEVNULL)


def run(client: Client, engine: Engine) -> float:
    """Have the balancer converged and wait for the end; return the seconds until it ran."""
    job = ended(client, engine)
    if job.state != "successful" or job.started_at is None:
        raise SystemExit(f"a job of the bench ended {job.state} ({job.reason})")
    return (job.started_at - job.created_at).total_seconds()


def ended(client: Client, engine: Engine) -> Job:
    """Have the balancer converged; return the job at its end."""
    id_ = uuid.UUID(client.call("POST", f"/shards/{engine.ids['lb-a']}/converge", 202)["jobs"][0]["id"])
    query = sa.select(Job).where(Job.id == id_)
    eventually(lambda: engine.all(query)[0].ended_at is not None, "the end of a job", 240)
    job: Job = engine.all(query)[0]
    return job


def launched(client: Client, directory: Path) -> Row:
    """Return the time from a launch's request to its first event, and to the first output of ansible-playbook."""
    inventory = client.create("inventories", name="bench", source="static", hosts={"lb1": {}})["id"]
    template = client.create("templates", name="Bench", playbook=LAUNCHED, inventory_id=inventory)["id"]

    def launch() -> float:
        began = time.perf_counter()
        job = client.call("POST", f"/templates/{template}/launch", 202, json={})["jobs"][0]["id"]
        while not client.call("GET", f"/jobs/{job}/events")["items"]:
            time.sleep(0.01)
        found = time.perf_counter() - began
        eventually(lambda: client.call("GET", f"/jobs/{job}")["ended_at"] is not None, "the end of a launch")
        return found

    def bare() -> float:
        began = time.perf_counter()
        command = ["ansible-playbook", "-i", "lb1,", LAUNCHED]
        with subprocess.Popen(command, cwd=directory, stdout=subprocess.PIPE) as process:
            assert process.stdout is not None
            process.stdout.read(1)
            found = time.perf_counter() - began
            process.stdout.read()
        return found

    fleet.say("launches of a template and ansible-playbook in turn")
    pairs = [(launch(), bare()) for _ in range(ROUNDS + 1)][1:]
    ours, plain = (statistics.median(times) for times in zip(*pairs, strict=True))
    return Row(
        "from a launch's request to its first event",
        seconds(ours),
        f"{seconds(plain)} until ansible-playbook prints",
        ours / plain,
    )


def many(client: Client, engine: Engine, directory: Path) -> Row:
    """Return what a play of many events costs as a job."""
    fleet.say(f"a play of {number(ITEMS)} events")
    began = time.perf_counter()
    run(client, engine)
    whole = time.perf_counter() - began
    began = time.perf_counter()
    play(directory)
    plain = time.perf_counter() - began
    figure = f"{seconds(whole)} ({number(ITEMS / whole)} events/s)"
    return Row(f"a job of {number(ITEMS)} events", figure, f"{seconds(plain)} ansible-playbook", whole / plain)


def stored(client: Client, engine: Engine, data: Path) -> list[Row]:
    """Return how many events per second are stored, alone and with listeners, and how late those are."""
    fleet.say(f"events, then {LISTENERS} listeners")
    alone = apart(data, str(uuid.uuid4()))
    with running(client, engine, data / "plays") as id_, Listeners(client, id_) as listeners:
        late = listeners.beat(EventLog(data / "jobs", id_))
        listened = apart(data, id_)
    goal = f"{number(AWX)}/s AWX, by its documentation"
    return [
        Row("events stored", f"{number(alone)}/s", goal, alone / AWX, at_least(10)),
        Row(f"... with {LISTENERS} listeners", f"{number(listened)}/s", f"{number(alone)}/s alone", listened / alone),
        Row(
            f"from an event until each of {LISTENERS} listeners has it: median, slowest",
            f"{seconds(statistics.median(late))}, {seconds(max(late))}",
        ),
    ]


@contextmanager
def running(client: Client, engine: Engine, directory: Path) -> Iterator[str]:
    """Give the id of a job that runs until the end of the block."""
    go = directory / "go"
    go.unlink(missing_ok=True)
    wait = f"    - ansible.builtin.wait_for: {{path: {go}, timeout: 600, sleep: 1}}\n"
    (directory / "converge.yml").write_text(HEAD.format(python=sys.executable) + wait)
    id_ = client.call("POST", f"/shards/{engine.ids['lb-a']}/converge", 202)["jobs"][0]["id"]
    eventually(lambda: bool(engine.all(sa.select(Job.id).filter_by(id=uuid.UUID(id_), state="running"))), "a job")
    yield id_
    go.touch()


def apart(data: Path, name: str) -> float:
    """Return ``rate`` of a process of its own: here the listeners' threads would hold it up."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as pool:
        return pool.submit(rate, data, name).result()


def rate(data: Path, name: str) -> float:
    """Return how many events per second are written, as the worker writes them."""
    log = EventLog(data / "jobs", name)
    began = time.perf_counter()
    for n in range(EVENTS):
        log.append(event(n))
    spent = time.perf_counter() - began
    log.close()
    if log.lost or log.truncated:
        raise SystemExit("events of the bench were not stored")
    return EVENTS / spent


def event(n: int) -> dict[str, Any]:
    """An event as ansible-runner hands it over, with all that is not kept."""
    return {
        "uuid": "cf10a2a2-8a0a-4c4c-9a0e-1f6a5c8f7e11",
        "counter": n,
        "created": datetime.now(UTC).isoformat(),
        "event": "runner_item_on_ok",
        "stdout": f"ok: [web1] => (item={n})",
        "event_data": {
            "host": "web1",
            "play": "Converge",
            "task": "Say much",
            "task_action": "ansible.builtin.debug",
            "duration": 0.01,
            "res": {"changed": False, "msg": f"item {n}", "_ansible_verbose_always": True},
        },
    }


class Listeners:
    """Many readers of one job's stream, each on a connection of its own."""

    def __init__(self, client: Client, job: str) -> None:
        self._url = str(client.http.base_url).rstrip("/") + f"/jobs/{job}/events/stream"
        self._headers = dict(client.http.headers)
        self._over = threading.Event()
        self._open = threading.Semaphore(0)
        self._late: list[float] = []
        self._began: datetime | None = None
        self._threads = [threading.Thread(target=self._listen, daemon=True) for _ in range(LISTENERS)]

    def __enter__(self) -> Listeners:
        for thread in self._threads:
            thread.start()
        for _ in self._threads:
            if not self._open.acquire(timeout=60):
                raise SystemExit(f"no {LISTENERS} listeners came through")
        return self

    def __exit__(self, *_: object) -> None:
        self._over.set()
        for thread in self._threads:
            thread.join(30)

    def beat(self, log: EventLog) -> list[float]:
        """Write events one by one; return how many seconds later each listener had each."""
        self._began = datetime.now(UTC)
        for n in range(BEATS):
            log.append(event(n))
            time.sleep(0.1)
        eventually(lambda: len(self._late) >= LISTENERS * BEATS, "events at the listeners", 30)
        return self._late[:]

    def _listen(self) -> None:
        # A process of the API that has no place left says so; the next try may come to another one.
        while not self._over.is_set():
            with httpx.stream("GET", self._url, headers=self._headers, timeout=60) as response:
                if response.status_code == 503:
                    time.sleep(0.1)
                    continue
                self._open.release()
                for line in response.iter_lines():
                    if self._over.is_set():
                        return
                    if line.startswith("data: "):
                        self._note(orjson.loads(line[6:]).get("at"))
                return

    def _note(self, at: str | None) -> None:
        if not at or self._began is None:
            return
        moment = datetime.fromisoformat(at)
        # What the job itself said is long ago.
        if moment >= self._began and len(self._late) < LISTENERS * BEATS:
            self._late.append((datetime.now(UTC) - moment).total_seconds())


def pause(connection: sa.Connection, size: int) -> float:
    """Queue so many jobs; return the median seconds between the end of one and the start of the next."""
    fleet.say(f"{number(size)} queued jobs")
    shards = connection.scalars(sa.text("select id from shard where name like 'lb-%' and name <> 'lb-a'")).all()
    ids = [uuid.uuid4() for _ in range(size)]
    queued = [{"id": id_, "shard_id": shard, "full": True} for id_, shard in zip(ids, shards, strict=False)]
    connection.execute(sa.insert(Job), queued)
    query = sa.select(Job.started_at, Job.ended_at).where(Job.id.in_(ids), Job.ended_at.is_not(None))
    query = query.order_by(Job.started_at)
    eventually(lambda: len(connection.execute(query).all()) >= SEEN, f"{SEEN} jobs", 240)
    times = [(started, ended) for started, ended in connection.execute(query) if started and ended]
    # The others are not waited for; the one that runs ends by itself.
    connection.execute(sa.delete(Job).where(Job.id.in_(ids), Job.state == "queued"))
    return statistics.median((start - end).total_seconds() for (_, end), (start, _) in itertools.pairwise(times))
