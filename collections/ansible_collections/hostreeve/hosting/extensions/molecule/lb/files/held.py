"""Hold a connection through a TCP front end while something happens: held.py PORT COMMAND…

Prints {"node": who answered, "seconds": until the connection was closed (null: it still serves), "next": who answers a
new connection within 6 seconds (null: nobody)}.
"""

import json
import socket
import subprocess
import sys
import time

port, command = int(sys.argv[1]), sys.argv[2:]
REQUEST = b"GET / HTTP/1.1\r\nHost: x.example.test\r\n\r\n"


def connect():
    return socket.create_connection(("127.0.0.1", port), timeout=8)


def ask(connection):
    connection.sendall(REQUEST)
    answer = b""
    while b"}" not in answer:
        data = connection.recv(4096)
        if not data:
            raise ConnectionResetError
        answer += data
    return json.loads(answer.partition(b"\r\n\r\n")[2])["node"]


def ask_anew():
    for _ in range(24):
        try:
            with connect() as connection:
                return ask(connection)
        except OSError:
            time.sleep(0.25)
    return None


with connect() as connection:
    node = ask(connection)
    began = time.monotonic()
    subprocess.run(command, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    connection.settimeout(4)
    try:
        closed = not connection.recv(1)
    except TimeoutError:
        closed = False
    except ConnectionResetError:
        closed = True
    seconds = round(time.monotonic() - began, 1)
    if not closed and ask(connection) != node:
        raise SystemExit("another server answers in the middle of a connection")
json.dump({"node": node, "seconds": seconds if closed else None, "next": ask_anew()}, sys.stdout)
