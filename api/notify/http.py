"""One POST to a target: resolved once, every address checked, connected to what was checked, bounded in all it takes.

The name stays in ``Host``, in SNI and in the check of the certificate. No proxy of the environment is used: it would
resolve the name once more.
"""

from __future__ import annotations

import socket
import ssl
import time
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from typing import Any

import httpcore
import httpx

from api.notify.targets import Policy, Refused, address_of, check_address, origin, parse

#: Seconds that a message may take, with all its redirects, and each of its steps.
WHOLE, STEP = 20.0, 8.0
REDIRECTS = 3
#: Bytes of an answer's body that are read; nothing of them is kept.
MOST = 64 * 1024
#: Addresses of one name that are tried.
TRIED = 4

#: (host, port) → addresses as text
Resolve = Callable[[str, int], list[str]]


class Unreachable(Exception):
    """Nobody answered in time: the target may be tried again, and so may all else that goes there."""


class Declined(Exception):
    """The target answered, and not with a success."""


def resolve(host: str, port: int) -> list[str]:
    """Return the addresses of a name, as the system resolves it. OSError."""
    found = socket.getaddrinfo(host, port, type=socket.SOCK_STREAM)
    return list(dict.fromkeys(str(entry[4][0]) for entry in found))


@dataclass
class Client:
    """Sends; ``resolver`` and ``tls`` are what a test or an operator may replace."""

    policy: Policy = field(default_factory=Policy)
    resolver: Resolve = resolve
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context)

    def post(self, url: str, headers: dict[str, str], body: bytes, secrets: Iterable[str] = ()) -> str:
        """Send, and follow redirects that keep the method; return the status line of the success.

        ``secrets`` are the headers that only the first origin may see. Raises Refused, Unreachable or Declined.
        """
        end = time.monotonic() + WHOLE
        target = parse(url, self.policy)
        sent = dict(headers)
        for _ in range(REDIRECTS + 1):
            status, location = self._once(target, sent, body, end)
            if 200 <= status < 300:
                return f"HTTP {status}"
            if status not in (307, 308) or not location:
                raise Declined(f"HTTP {status}")
            following = self._following(target, location)
            if origin(following) != origin(target):
                sent = {name: value for name, value in sent.items() if name not in set(secrets)}
            target = following
        raise Declined(f"more than {REDIRECTS} redirects")

    def _following(self, target: httpx.URL, location: str) -> httpx.URL:
        try:
            following = parse(str(target.join(location)), self.policy)
        except (httpx.InvalidURL, UnicodeError) as error:
            reason = str(error) if isinstance(error, Refused) else "is no URL"
            raise Refused(f"redirected to what is refused: {reason}") from None
        except Refused as error:
            raise Refused(f"redirected to what is refused: {error}") from None
        if target.scheme == "https" and following.scheme != "https":
            raise Refused("redirected from https to http")
        return following

    def _once(self, url: httpx.URL, headers: dict[str, str], body: bytes, end: float) -> tuple[int, str]:
        backend = _Pinned(self.policy, self.resolver, end, plain=url.scheme == "http")
        timeout = dict.fromkeys(("connect", "read", "write", "pool"), STEP)
        given = [("Host", url.netloc.decode("ascii")), *headers.items(), ("Content-Length", str(len(body)))]
        try:
            with (
                httpcore.ConnectionPool(ssl_context=self.tls, network_backend=backend, retries=0) as pool,
                pool.stream("POST", str(url), headers=given, content=body, extensions={"timeout": timeout}) as response,
            ):
                read = 0
                for part in response.iter_stream():
                    read += len(part)
                    if read > MOST:
                        break
                location = dict(response.headers).get(b"location") or dict(response.headers).get(b"Location") or b""
                return response.status, location.decode("latin-1")
        except (httpcore.TimeoutException, TimeoutError):
            raise Unreachable("no answer in time") from None
        except httpcore.RemoteProtocolError:
            raise Declined("the answer is not HTTP") from None
        except (httpcore.NetworkError, httpcore.ProtocolError, ssl.SSLError, OSError) as error:
            raise Unreachable(_reason(error)) from None


def _reason(error: Exception) -> str:
    return str(error).strip().splitlines()[0][:200] if str(error).strip() else type(error).__name__


class _Pinned(httpcore.NetworkBackend):
    """Connects to addresses that were checked, and stops everything at one moment."""

    def __init__(self, policy: Policy, resolver: Resolve, end: float, *, plain: bool) -> None:
        self._policy, self._resolver, self._end, self._plain = policy, resolver, end, plain
        self._inner = httpcore.SyncBackend()

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Resolve, refuse if one address is not to be reached, and connect to one of exactly these."""
        problem: Exception = Unreachable(f"{host} has no address")
        for text in self._addresses(host, port)[:TRIED]:
            try:
                stream = self._inner.connect_tcp(
                    text, port, timeout=left(self._end, timeout), socket_options=socket_options
                )
            except (httpcore.NetworkError, httpcore.TimeoutException) as error:
                problem = error
                continue
            return Bounded(stream, self._end)
        raise problem

    def _addresses(self, host: str, port: int) -> list[str]:
        try:
            found = [host] if address_of(host) else self._resolver(host, port)
        except (OSError, UnicodeError):
            raise Unreachable(f"{host} does not resolve") from None
        for text in found:
            address = address_of(text)
            if address is None:
                raise Refused("resolves to what is no address")
            # A name that also leads inside is as bad as one that only does.
            check_address(address, self._policy, plain=self._plain)
        return found


class Bounded(httpcore.NetworkStream):
    """A connection on which no single step, and no number of steps, goes beyond one moment."""

    def __init__(self, stream: httpcore.NetworkStream, end: float) -> None:
        self._stream, self._end = stream, end

    def read(self, max_bytes: int, timeout: float | None = None) -> bytes:
        """Read what is there."""
        return self._stream.read(max_bytes, left(self._end, timeout))

    def write(self, buffer: bytes, timeout: float | None = None) -> None:
        """Write all of it."""
        self._stream.write(buffer, left(self._end, timeout))

    def close(self) -> None:
        """End the connection."""
        self._stream.close()

    def start_tls(
        self, ssl_context: ssl.SSLContext, server_hostname: str | None = None, timeout: float | None = None
    ) -> httpcore.NetworkStream:
        """Begin TLS with the name that was asked for."""
        inner = self._stream.start_tls(ssl_context, server_hostname, left(self._end, timeout))
        return Bounded(inner, self._end)

    def get_extra_info(self, info: str) -> Any:
        """Return what the connection tells of itself."""
        return self._stream.get_extra_info(info)


def left(end: float, timeout: float | None) -> float:
    """Return the seconds that a step has; httpcore.ReadTimeout if there are none."""
    seconds = end - time.monotonic()
    if seconds <= 0:
        raise httpcore.ReadTimeout("no answer in time")
    return seconds if timeout is None else min(seconds, timeout)
