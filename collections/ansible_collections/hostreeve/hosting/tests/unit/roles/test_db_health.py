"""The health responder of a database host: what it says, and to whom it does not listen for long."""

from __future__ import annotations

import asyncio
import contextlib
import importlib.util
import json
import pathlib
import socket
import threading
import time

import pytest

SCRIPT = pathlib.Path(__file__).parents[3] / "roles/db/files/hostreeve-db-health.py"
SLAVE = {
    "Slave_IO_Running": "Yes",
    "Slave_SQL_Running": "Yes",
    "Last_IO_Errno": 0,
    "Last_SQL_Errno": 0,
    "Last_SQL_Error": "",
    "Seconds_Behind_Master": 3,
    "Master_Host": "10.0.0.1",
}


def load():
    spec = importlib.util.spec_from_file_location("hostreeve_db_health", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


health = load()


class Cursor:
    """Answers as a server does: statements by what they begin with."""

    def __init__(self, answers):
        self._answers = answers

    def __enter__(self):
        return self

    def __exit__(self, *_):
        pass

    def cursor(self):
        return self

    def execute(self, statement):
        self._rows = next(rows for start, rows in self._answers.items() if statement.startswith(start))

    def fetchone(self):
        return self._rows[0] if self._rows else None

    def fetchall(self):
        return self._rows


def server(read_only=0, slave=None, semi_sync=()):
    return Cursor(
        {
            "SELECT": [{"read_only": read_only, "gtid": "0-1-7"}],
            "SHOW GLOBAL": [{"Variable_name": f"Rpl_semi_sync_{side}_status", "Value": "ON"} for side in semi_sync],
            "SHOW SLAVE": [slave] if slave else [],
        }
    )


@pytest.fixture
def responder(tmp_path):
    """Start a responder whose server is down; yields its watch, its port and the file with its peers."""
    peers = tmp_path / "peers.json"
    peers.write_text('{"peers": []}')
    watch = health.Watch(str(tmp_path / "no.sock"))
    watch.look()
    listening = socket.create_server(("127.0.0.1", 0), backlog=1024)
    loop = asyncio.new_event_loop()
    task = loop.create_task(health.serve(listening, watch, health.Peers(str(peers))))
    thread = threading.Thread(target=lambda: _run(loop, task), daemon=True)
    thread.start()
    yield watch, listening.getsockname()[1], peers
    loop.call_soon_threadsafe(task.cancel)
    thread.join()
    loop.close()


def _run(loop, task):
    with contextlib.suppress(asyncio.CancelledError):
        loop.run_until_complete(task)


def ask(port, request=b"GET / HTTP/1.0\r\n\r\n"):
    """Return the status (0: closed without one) and the JSON of an answer."""
    with socket.create_connection(("127.0.0.1", port), timeout=10) as connection:
        connection.sendall(request)
        answer = b""
        with contextlib.suppress(ConnectionResetError):
            while data := connection.recv(65536):
                answer += data
    head, _, body = answer.partition(b"\r\n\r\n")
    return (int(head.split()[1]), json.loads(body)) if head else (0, None)


def test_what_a_primary_is():
    seen = health.look(server(semi_sync=["master"]))
    assert seen == {
        "server": "up",
        "primary": True,
        "read_only": False,
        "gtid": "0-1-7",
        "semi_sync": True,
        "replication": None,
    }
    assert health.look(server(read_only=1))["primary"] is False
    assert health.look(server(slave=SLAVE))["primary"] is False, "it takes writes, and follows another one"
    assert health.look(server())["semi_sync"] is False


def test_what_a_replica_is():
    seen = health.look(server(read_only=1, slave=SLAVE, semi_sync=["slave"]))
    assert seen["replication"] == {"running": True, "lag": 3, "primary": "10.0.0.1", "error": ""}
    assert seen["semi_sync"] is True
    broken = {
        **SLAVE,
        "Slave_SQL_Running": "No",
        "Last_SQL_Errno": 1062,
        "Last_SQL_Error": "Duplicate entry 'ada@acme.example' for key 'mail'",
        "Seconds_Behind_Master": None,
    }
    seen = health.look(server(read_only=1, slave=broken))
    assert seen["replication"] == {"running": False, "lag": None, "primary": "10.0.0.1", "error": "SQL error 1062"}
    assert "acme" not in json.dumps(seen)


def test_a_server_that_is_down(responder):
    _, port, _ = responder
    assert ask(port) == (200, {**health.DOWN, "peers": {}})
    assert ask(port, b"GET /primary HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 503
    assert ask(port, b"GET /replica HTTP/1.1\r\nHost: x\r\n\r\n")[0] == 503


def test_what_was_seen_counts_for_a_while(responder):
    watch, port, _ = responder
    watch._seen = (time.monotonic(), health.look(server()))
    assert ask(port, b"GET /primary HTTP/1.0\r\n\r\n")[0] == 200
    watch._seen = (time.monotonic() - health.STALE, watch._seen[1])
    assert ask(port, b"GET /primary HTTP/1.0\r\n\r\n")[0] == 503
    assert ask(port)[1]["server"] == "down"


@pytest.mark.parametrize(
    ("request_", "status"),
    [
        (b"POST / HTTP/1.0\r\n\r\n", 405),
        (b"GET /nothing HTTP/1.0\r\n\r\n", 404),
        (b"GET /../primary HTTP/1.0\r\n\r\n", 404),
        (b"GET /\r\n\r\n", 400),
        (b"\r\n\r\n", 400),
        (b"\0\xff\xfe\r\n\r\n", 400),
        (b"GET / HTTP/1.0\r\nX: " + b"x" * 100_000 + b"\r\n\r\n", 0),
    ],
)
def test_requests_that_are_none(responder, request_, status):
    assert ask(responder[1], request_)[0] == status


def test_a_slow_client_is_let_go(responder):
    with socket.create_connection(("127.0.0.1", responder[1]), timeout=10) as slow:
        began = time.monotonic()
        slow.sendall(b"GET / HT")
        with contextlib.suppress(ConnectionResetError):
            assert slow.recv(100) == b""
        assert time.monotonic() - began < health.REQUEST + 3


def test_a_crowd_keeps_nobody_from_asking(responder):
    with contextlib.ExitStack() as crowd:
        for _ in range(health.CLIENTS_MOST + 50):
            crowd.enter_context(socket.create_connection(("127.0.0.1", responder[1]), timeout=10)).sendall(b"GET")
        began = time.monotonic()
        assert ask(responder[1])[0] == 200
        assert time.monotonic() - began < health.REQUEST, "it waited until the crowd was let go"


def test_peers(responder, monkeypatch):
    _, port, peers = responder
    with contextlib.ExitStack() as stack:
        greeting, full, silent = (stack.enter_context(socket.create_server(("127.0.0.1", 0))) for _ in range(3))
        ports = {"greeting": greeting, "full": full, "silent": silent}
        known = {name: listening.getsockname()[1] for name, listening in ports.items()}
        real = asyncio.open_connection

        def open_connection(address, _port, **kwargs):
            return real("127.0.0.1", known.get(address, 9), **kwargs)

        monkeypatch.setattr(health.asyncio, "open_connection", open_connection)
        for listening, kind in ((greeting, 10), (full, 255)):
            threading.Thread(target=_greet, args=(listening, bytes([9, 0, 0, 0, kind])), daemon=True).start()
        peers.write_text(json.dumps({"peers": ["greeting", "full", "silent", "absent"]}))
        began = time.monotonic()
        said = ask(port)[1]["peers"]
    assert said == {"greeting": True, "full": True, "silent": False, "absent": False}
    assert time.monotonic() - began < 3


def _greet(listening, packet):
    connection, _ = listening.accept()
    with connection:
        connection.sendall(packet + b"x")
        time.sleep(0.5)


def test_a_file_that_is_broken_names_nobody(responder):
    responder[2].write_text("{")
    assert ask(responder[1])[1]["peers"] == {}
