"""Several senders, dead ones, dead targets, and the worker's own process."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import threading
import time
from collections import Counter
from dataclasses import replace
from types import SimpleNamespace

import psutil
import pytest
import sqlalchemy as sa

from api.core.db import engine_for, maker_for, now
from api.core.settings import ROOT
from api.notify import http
from api.notify.models import Notice
from api.notify.sender import LEASE, SIDE_BY_SIDE, End, Sender, due, settle, take
from tests.notify.conftest import until
from worker import notify, processes


def ask(stage, made, number):
    for _ in range(number):
        assert stage.rest.post(f"/notifications/{made['id']}/test").status_code == 202


def deliveries(receiver):
    return Counter(got.headers["X-Hostreeve-Delivery"] for got in receiver.got)


def start(stage, over):
    """A sender with a database connection of its own, as another process would have it."""
    settings = stage.settings
    engine = engine_for(settings.database_url)
    context = SimpleNamespace(settings=settings, engine=engine, maker=maker_for(engine))
    thread = threading.Thread(target=notify.serve, args=(context, Sender(settings, context.maker), over))
    thread.start()
    return thread, engine


def test_three_senders_send_each_notice_once(stage, receivers):
    made = [
        (stage.webhook(receiver.url, name=f"Hook {n}"), receiver)
        for n, receiver in enumerate(receivers() for _ in range(3))
    ]
    for hook, _ in made:
        ask(stage, hook, 10)
    over = threading.Event()
    running = [start(stage, over) for _ in range(3)]
    try:
        until(lambda: len(stage.notices(state="sent")) == 30, 60)
    finally:
        over.set()
        for thread, engine in running:
            thread.join(30)
            engine.dispose()
    for _, receiver in made:
        assert len(receiver.got) == 10 and set(deliveries(receiver).values()) == {1}
    assert {notice.tries for notice in stage.notices()} == {1}


def test_only_one_takes(stage, receiver):
    ask(stage, stage.webhook(receiver.url), 1)
    with stage.engine.maker() as session:
        (entry,) = due(session, 10)
    won = []
    barrier = threading.Barrier(3)

    def work():
        barrier.wait()
        with stage.engine.maker.begin() as session:
            if taken := take(session, *entry):
                won.append(taken)

    threads = [threading.Thread(target=work) for _ in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(won) == 1
    left = (stage.notices()[0].next_at - now()).total_seconds()
    assert LEASE - 30 < left <= LEASE


def test_a_sender_that_died(stage, receiver):
    """When its lease ends another one sends; if the first was only slow, what it notes then is no longer asked for."""
    ask(stage, stage.webhook(receiver.url), 1)
    with stage.engine.maker() as session:
        (entry,) = due(session, 10)
    with stage.engine.maker.begin() as session:
        dead = take(session, *entry)
    assert stage.send() == 0
    stage.later()
    assert stage.send() == 1 and stage.notices()[0].state == "sent"
    with stage.engine.maker.begin() as session:
        settle(session, dead, End("failed", "too late"))
    assert stage.notices()[0].state == "sent" and stage.notices()[0].tries == 2
    # The same while the second one is still at it.
    stage.rest.post(f"/notices/{dead.id}/redeliver")
    with stage.engine.maker() as session:
        (entry,) = due(session, 10)
    with stage.engine.maker.begin() as session:
        assert take(session, *entry).tries == 3
        settle(session, dead, End("sent", "too late"))
    assert stage.notices()[0].state == "pending"


def test_a_dead_target_delays_nobody(stage, receivers, monkeypatch):
    """Its notices rest after the first silence, and those of others go out meanwhile."""
    monkeypatch.setattr(http, "STEP", 2.0)
    dead, alive = receivers(), receivers()
    stop = threading.Event()
    dead.answer = lambda got: (stop.wait(30), (200, {}, b""))[1]
    ask(stage, stage.webhook(dead.url, name="dead"), 20)
    ask(stage, stage.webhook(alive.url, name="alive"), 5)
    over = threading.Event()
    began = time.monotonic()
    thread, engine = start(stage, over)
    try:
        until(lambda: len(alive.got) == 5)
        took = time.monotonic() - began
        until(lambda: stage.notices(state="failed"))
    finally:
        stop.set()
        over.set()
        thread.join(30)
        engine.dispose()
    # Five notices, two side by side, were not behind ten times two seconds.
    assert took < 10
    assert len(dead.got) <= 2 * SIDE_BY_SIDE
    waiting = [row for row in stage.notices(target=dead.url) if row.state == "pending"]
    assert len(waiting) >= 20 - 2 * SIDE_BY_SIDE and all(row.tries == 0 for row in waiting)


def test_fair_shares(stage, receivers):
    """Ten thousand of one target leave room for all others in the first look."""
    for number in range(4):
        ask(stage, stage.webhook(receivers().url, name=f"Hook {number}"), 1 if number else 9)
    with stage.engine.maker() as session:
        found = due(session, 5)
        assert sorted(Counter(target for _, target, _ in found).values()) == [1, 1, 1, 2]
        busy = Counter({found[0][1]: SIDE_BY_SIDE})
        assert found[0][1] not in {target for _, target, _ in due(session, 8, busy)}


def test_the_database_is_away(stage, receiver, caplog):
    """A sender goes on looking; nothing is lost."""
    ask(stage, stage.webhook(receiver.url), 1)
    broken = engine_for("sqlite:////nonexistent/directory/main.db")
    context = SimpleNamespace(settings=stage.settings, engine=broken, maker=maker_for(broken))
    over = threading.Event()
    thread = threading.Thread(target=notify.serve, args=(context, stage.sender, over))
    thread.start()
    time.sleep(0.3)
    assert thread.is_alive()
    over.set()
    thread.join(10)
    assert not thread.is_alive() and receiver.got == []
    assert stage.send() == 1


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGTERM])
def test_the_workers_sender(stage, receiver, tmp_path_factory, number):
    """``python -m worker`` sends; a sender that is killed is started again, and what it had is sent all the same."""
    if stage.engine.is_sqlite:
        pytest.skip("the database makes no difference here")
    # A short path, since sockets lie below it.
    tmp_path = tmp_path_factory.mktemp("run")
    (tmp_path / "key").touch()
    settings = replace(stage.settings, ssh_key=tmp_path / "key", ssh_known_hosts=tmp_path / "key", run_dir=tmp_path)
    env = {**os.environ, "PYTHONPATH": str(ROOT)}
    env |= {"HOSTREEVE_" + name.upper(): str(value) for name, value in vars(settings).items()}
    go = threading.Event()
    receiver.answer = lambda got: (go.wait(30), (204, {}, b""))[1]
    made = stage.webhook(receiver.url)
    ask(stage, made, 1)
    with (tmp_path / "log").open("wb") as log:
        command = [sys.executable, "-m", "worker", "--workers", "1"]
        worker = subprocess.Popen(command, cwd=ROOT, env=env, stdout=log, stderr=log)
    try:
        until(lambda: receiver.got, 60)
        if number == signal.SIGTERM:
            worker.terminate()
            time.sleep(0.5)
            assert worker.poll() is None, "it did not wait for what is on its way"
            go.set()
            assert worker.wait(30) == 0
            assert stage.notices()[0].state == "sent" and len(receiver.got) == 1
            return
        (pid,) = [pid for pid in processes.children(worker.pid) if talks(pid, receiver.port)]
        os.kill(pid, signal.SIGKILL)
        go.set()
        with stage.engine.maker.begin() as session:
            # The lease's end.
            session.execute(sa.update(Notice).values(next_at=now()))
        until(lambda: stage.notices()[0].state == "sent", 60)
        assert len(receiver.got) == 2 and len(deliveries(receiver)) == 1
    finally:
        go.set()
        worker.terminate()
        worker.wait(30)


def talks(pid, port):
    return any(found.raddr and found.raddr.port == port for found in psutil.Process(pid).net_connections("tcp"))
