"""Ask a load balancer as its clients do, from where this runs.

    ask.py ADDRESS < requests.json     [{"host": "...", "headers": {...}, "times": 1}, ...] -> [[answer, ...], ...]
    ask.py ADDRESS --slow SECONDS      send half a header; print the seconds until the connection was closed
    ask.py ADDRESS --flood NUMBER      open connections; print how many were let in
    ask.py ADDRESS --open PORT         print whether the port takes a connection and answers a request

An answer is what the node said about the request, with the status; {"status": 421} where no node was asked.
"""

import http.client
import json
import socket
import sys
import time


def ask(address, request):
    connection = http.client.HTTPConnection(address, 80, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    connection.putheader("Host", request["host"])
    for name, value in request.get("headers", {}).items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    body = response.read()
    connection.close()
    answer = json.loads(body) if response.status == 200 else {}
    return {"status": response.status, **answer}


def slow(address, patience):
    began = time.monotonic()
    with socket.create_connection((address, 80), timeout=patience) as connection:
        connection.sendall(b"GET / HTTP/1.1\r\nHost: one.exam")
        while connection.recv(4096):
            pass
    return round(time.monotonic() - began, 1)


def flood(address, number):
    connections = []
    for _ in range(number):
        try:
            connections.append(socket.create_connection((address, 80), timeout=5))
        except ConnectionResetError:
            continue
    time.sleep(0.5)
    held = 0
    for connection in connections:
        connection.setblocking(False)
        try:
            connection.recv(1)
        except BlockingIOError:  # open, with nothing to read
            held += 1
        except OSError:
            pass
        connection.close()
    return held


def answers(address, port):
    try:
        connection = http.client.HTTPConnection(address, port, timeout=3)
        connection.request("GET", "/metrics")
        return connection.getresponse().status == 200
    except (OSError, http.client.HTTPException):
        return False


def main():
    address, *option = sys.argv[1:]
    if not option:
        result = [[ask(address, request) for _ in range(request.get("times", 1))] for request in json.load(sys.stdin)]
    else:
        result = {"--slow": slow, "--flood": flood, "--open": answers}[option[0]](address, int(option[1]))
    json.dump(result, sys.stdout)


main()
