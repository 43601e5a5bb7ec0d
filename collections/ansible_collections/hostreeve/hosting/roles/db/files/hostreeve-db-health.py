#!/usr/bin/python3 -IB
# Managed by Hostreeve: changes are overwritten.
"""Says over HTTP how the MariaDB of this host is; to load balancers, and to whoever decides about a failover.

    GET /primary   200 if it takes writes and follows nobody, else 503
    GET /replica   200 if its replication runs, else 503
    GET /          200 with everything as JSON, and whether the shard's other servers can be reached from here

One thread looks at the server twice a second, over one connection; every request is answered from what it saw last, so
neither a server that hangs nor a crowd of clients delays an answer. systemd holds the listening socket, which therefore
outlives a restart.
"""

import asyncio
import contextlib
import json
import os
import socket
import sys
import threading
import time

CONFIG = "/etc/hostreeve/db-health.json"
SOCKET = "/run/mysqld/mysqld.sock"
USER = "hostreeve_health"
PORT = 3306

#: Seconds between two looks, that the server may take for an answer, and after which what was seen no longer counts.
EVERY, PATIENCE, STALE = 0.5, 2.0, 2.5
#: Seconds that another server of the shard may take to greet, and for which its answer counts.
GREETING, GREETED = 1.5, 1.0
#: Seconds that a client may take for its request, bytes of it, and clients at a time.
REQUEST, REQUEST_MOST, CLIENTS_MOST = 2.0, 4096, 400

DOWN = {"server": "down", "primary": False, "read_only": None, "gtid": "", "semi_sync": False, "replication": None}
REASONS = {200: "OK", 400: "Bad Request", 404: "Not Found", 405: "Method Not Allowed", 503: "Service Unavailable"}


def replication_of(slave):
    """Return how replication is, from a row of SHOW SLAVE STATUS; None if there is none.

    An error is only a number: its text may quote a customer's data.
    """
    if not slave:
        return None
    threads = [slave["Slave_IO_Running"], slave["Slave_SQL_Running"]]
    errors = [(name, slave[f"Last_{name}_Errno"]) for name in ("IO", "SQL")]
    return {
        "running": threads == ["Yes", "Yes"],
        "lag": slave["Seconds_Behind_Master"],
        "primary": slave["Master_Host"],
        "error": ", ".join(f"{name} error {number}" for name, number in errors if number),
    }


def connect(path):
    """Return a connection to the server."""
    import pymysql

    return pymysql.connect(
        unix_socket=path,
        user=USER,
        charset="utf8mb4",
        autocommit=True,
        cursorclass=pymysql.cursors.DictCursor,
        connect_timeout=PATIENCE,
        read_timeout=PATIENCE,
        write_timeout=PATIENCE,
    )


def look(connection):
    """Return the state of the server behind a connection."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT @@GLOBAL.read_only AS read_only, @@GLOBAL.gtid_current_pos AS gtid")
        server = cursor.fetchone()
        cursor.execute("SHOW GLOBAL STATUS LIKE 'Rpl\\_semi\\_sync\\_%\\_status'")
        semi_sync = {row["Variable_name"].lower(): row["Value"] == "ON" for row in cursor.fetchall()}
        cursor.execute("SHOW SLAVE STATUS")
        replication = replication_of(cursor.fetchone())
    read_only = str(server["read_only"]) not in ("0", "OFF")
    side = "master" if replication is None else "slave"
    return {
        "server": "up",
        "primary": not read_only and replication is None,
        "read_only": read_only,
        "gtid": server["gtid"],
        "semi_sync": semi_sync.get(f"rpl_semi_sync_{side}_status", False),
        "replication": replication,
    }


class Watch(threading.Thread):
    """What the server was like when it was looked at last."""

    def __init__(self, path=SOCKET):
        super().__init__(daemon=True)
        self._path = path
        self._connection = None
        self._seen = (0.0, DOWN)

    def state(self):
        """Return the server's state; it is down if it has said nothing for a while."""
        moment, seen = self._seen
        return seen if time.monotonic() - moment < STALE else DOWN

    def look(self):
        """Look once. The connection is kept: it still answers when the server takes no more of them."""
        moment = time.monotonic()
        try:
            if self._connection is None:
                self._connection = connect(self._path)
            seen, trouble = look(self._connection), ""
        except Exception as error:  # a server that dies mid-sentence makes the client raise whatever there is
            if self._connection is not None:
                with contextlib.suppress(Exception):
                    self._connection._force_close()  # without a good-bye, which could block
            self._connection, seen, trouble = None, DOWN, f": {type(error).__name__} {error.args[:1]}"
        before = self._seen[1]
        if any(seen[key] != before[key] for key in ("server", "primary")):
            print(f"server {seen['server']}, primary {seen['primary']}{trouble}", file=sys.stderr, flush=True)
        self._seen = (moment, seen)

    def run(self):
        """Look for ever."""
        while True:
            self.look()
            time.sleep(EVERY)


async def greets(address):
    """Tell whether a MariaDB answers at an address; one that has no room for us (an error, 255) does as well."""
    try:
        async with asyncio.timeout(GREETING):
            reader, writer = await asyncio.open_connection(address, PORT, limit=REQUEST_MOST)
            try:
                return (await reader.readexactly(5))[4] in (10, 255)
            finally:
                writer.transport.abort()
    except (OSError, asyncio.IncompleteReadError):  # TimeoutError is an OSError
        return False


class Peers:
    """Whether the other servers of the shard greet; asked at most once a second, however many want to know."""

    def __init__(self, path=CONFIG):
        self._path = path
        self._asked = 0.0
        self._task = None

    async def greet(self):
        """Return {address: whether it greets}."""
        if self._task is None or (self._task.done() and time.monotonic() - self._asked > GREETED):
            self._asked = time.monotonic()
            self._task = asyncio.create_task(self._greet())
        return await asyncio.shield(self._task)

    async def _greet(self):
        # Read each time: a server that joins or leaves is no reason to restart.
        try:
            with open(self._path, encoding="utf-8") as file:
                addresses = json.load(file)["peers"]
        except (OSError, ValueError, KeyError) as error:
            print(f"{self._path}: {error}", file=sys.stderr, flush=True)
            return {}
        return dict(zip(addresses, await asyncio.gather(*map(greets, addresses)), strict=True))


class Responder:
    """Answers clients, each within a time of its own; a newcomer that finds no room takes the oldest one's."""

    def __init__(self, watch, peers):
        self._watch = watch
        self._peers = peers
        self._clients = {}

    async def serve(self, reader, writer):
        """Answer one request and close."""
        if len(self._clients) >= CLIENTS_MOST:
            next(iter(self._clients)).transport.abort()
        self._clients[writer] = None
        try:
            async with asyncio.timeout(REQUEST):
                head = await reader.readuntil(b"\r\n\r\n")
            status, body = await self.answer(head.split(b"\r\n", 1)[0])
            writer.write(response(status, body))
            async with asyncio.timeout(REQUEST):
                await writer.drain()
                writer.close()
                await writer.wait_closed()
        except (OSError, asyncio.IncompleteReadError, asyncio.LimitOverrunError):
            writer.transport.abort()
        finally:
            self._clients.pop(writer, None)

    async def answer(self, line):
        """Return the status and the JSON for the first line of a request."""
        method, _, rest = line.partition(b" ")
        path, _, protocol = rest.rpartition(b" ")
        if not protocol.startswith(b"HTTP/1."):
            return 400, None
        if method != b"GET":
            return 405, None
        state = self._watch.state()
        if path == b"/primary":
            return (200 if state["primary"] else 503), None
        if path == b"/replica":
            return (200 if state["replication"] and state["replication"]["running"] else 503), None
        if path == b"/":
            peers = await self._peers.greet()
            return 200, {**self._watch.state(), "peers": peers}
        return 404, None


def response(status, body):
    """Return the bytes of an answer."""
    content = json.dumps(body if body is not None else REASONS[status]).encode() + b"\n"
    head = [f"HTTP/1.1 {status} {REASONS[status]}", "Content-Type: application/json", "Cache-Control: no-store",
            f"Content-Length: {len(content)}", "Connection: close"]  # fmt: skip
    return "\r\n".join([*head, "", ""]).encode() + content


async def serve(listening, watch, peers):
    """Answer on a listening socket for ever."""
    server = await asyncio.start_server(Responder(watch, peers).serve, sock=listening, limit=REQUEST_MOST)
    async with server:
        await server.serve_forever()


def main():
    if os.environ.get("LISTEN_FDS") != "1":
        sys.exit("systemd starts this, with a socket to listen on")
    watch = Watch()
    watch.look()
    watch.start()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(socket.socket(fileno=3), watch, Peers()))


if __name__ == "__main__":
    main()
