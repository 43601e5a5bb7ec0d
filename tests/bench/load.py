"""A client that costs little: connections that stay open, requests made of bytes, answers counted and not parsed."""

from __future__ import annotations

import socket
import threading
import time
from urllib.parse import urlsplit


class Connection:
    """One HTTP/1.1 connection on which the same request is sent again and again."""

    def __init__(self, url: str, key: str = "") -> None:
        parts = urlsplit(url)
        self._socket = socket.create_connection((parts.hostname, parts.port), timeout=30)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._path = parts.path + (f"?{parts.query}" if parts.query else "")
        authorization = f"Authorization: Bearer {key}\r\n" if key else ""
        self._request = f"GET {self._path} HTTP/1.1\r\nHost: {parts.netloc}\r\n{authorization}\r\n".encode()

    def ask(self) -> int:
        """Send the request, read the whole answer, return the size of its body; RuntimeError if it is not a 200."""
        self._socket.sendall(self._request)
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._read()
        head, _, body = data.partition(b"\r\n\r\n")
        if not head.startswith(b"HTTP/1.1 200 "):
            raise RuntimeError(f"{self._path}: {data[:500]!r}")
        fields = dict(line.lower().split(b": ", 1) for line in head.split(b"\r\n")[1:])
        size = int(fields[b"content-length"])
        got = len(body)
        while got < size:
            got += len(self._read())
        return size

    def close(self) -> None:
        """Close it."""
        self._socket.close()

    def _read(self) -> bytes:
        data = self._socket.recv(65536)
        if not data:
            raise RuntimeError(f"{self._path}: the server closed the connection")
        return data


def rate(url: str, key: str = "", *, connections: int = 8, duration: float = 3.0) -> float:
    """Return the requests per second that a server answers to some connections that never pause."""
    end = time.perf_counter() + duration
    counts = [0] * connections
    errors: list[BaseException] = []

    def send(place: int) -> None:
        connection = Connection(url, key)
        try:
            while time.perf_counter() < end:
                connection.ask()
                counts[place] += 1
        except (OSError, RuntimeError) as error:
            errors.append(error)
        finally:
            connection.close()

    began = time.perf_counter()
    threads = [threading.Thread(target=send, args=(place,)) for place in range(connections)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise SystemExit(f"{url}: {errors[0]}")
    return sum(counts) / (time.perf_counter() - began)
