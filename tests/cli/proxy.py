"""A way to the server that breaks: a TCP proxy that cuts connections on demand."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Callable
from contextlib import suppress
from urllib.parse import urlsplit

#: given the bytes of an answer so far, how many of them still get through; None: all, and more may come
Cut = Callable[[bytes], int | None]


def _request(client: socket.socket) -> bytes:
    """Read a whole request; its body may come in a segment of its own."""
    data = b""
    while b"\r\n\r\n" not in data:
        if not (part := client.recv(65536)):
            return data
        data += part
    head = data.partition(b"\r\n\r\n")[0]
    length = re.search(rb"(?i)\r\ncontent-length: *(\d+)", head)
    whole = len(head) + 4 + (int(length[1]) if length else 0)
    while len(data) < whole and (part := client.recv(65536)):
        data += part
    return data


class Proxy:
    """Passes bytes on, one request per connection; ``cut`` decides about each answer as it grows."""

    def __init__(self, url: str, cut: Cut) -> None:
        parts = urlsplit(url)
        self._to = (parts.hostname, parts.port)
        self._cut = cut
        #: first bytes of every request
        self.requests: list[bytes] = []
        self._server = socket.create_server(("127.0.0.1", 0))
        self.url = f"http://127.0.0.1:{self._server.getsockname()[1]}"
        threading.Thread(target=self._serve, daemon=True).start()

    def close(self) -> None:
        self._server.close()

    def _serve(self) -> None:
        with suppress(OSError):
            while True:
                client, _ = self._server.accept()
                threading.Thread(target=self._pass, args=(client,), daemon=True).start()

    def _pass(self, client: socket.socket) -> None:
        with client, socket.create_connection(self._to) as server, suppress(OSError):
            request = _request(client)
            self.requests.append(request)
            # So that every request has a connection of its own.
            server.sendall(request.replace(b"Connection: keep-alive", b"Connection: close"))
            answer, sent = b"", 0
            while part := server.recv(65536):
                answer += part
                left = self._cut(answer)
                client.sendall(answer[sent : len(answer) if left is None else max(left, sent)])
                sent = len(answer)
                if left is not None:
                    return
