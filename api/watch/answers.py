"""Asking the nodes of a db shard how they are. What comes back is data of a host that may lie: bounded and checked."""

from __future__ import annotations

import ipaddress
import json
import time
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import httpcore
import marshmallow as ma

from api.core.fields import Bool
from api.notify.http import Bounded, left

#: Seconds that one answer may take as a whole; a node's responder answers within three.
WHOLE = 4.0
#: Bytes of an answer.
MOST = 64 * 1024
#: Nodes that are asked at the same time.
THREADS = 16


class _Seconds(ma.fields.Float):
    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> float:
        if type(value) not in (int, float):
            raise self.make_error("invalid")
        number: float = super()._deserialize(value, attr, data, **kwargs)
        return number


class _Line(ma.fields.String):
    """Text of a host: one line, fit for a terminal, not endless."""

    def _deserialize(self, value: Any, attr: str | None, data: Any, **kwargs: Any) -> str:
        text: str = super()._deserialize(value, attr, data, **kwargs)
        return "".join(char if char.isprintable() else " " for char in text[:300]).strip()


class _Known(ma.Schema):
    class Meta:
        """A newer responder may tell more."""

        unknown = ma.EXCLUDE


class ReplicationSchema(_Known):
    """How a replica replicates."""

    running = Bool(required=True)
    lag = _Seconds(required=True, allow_none=True, validate=ma.validate.Range(0, 1e9))
    primary = _Line(required=True, validate=ma.validate.Length(max=64))
    error = _Line(required=True)


class AnswerSchema(_Known):
    """What a node tells of its MariaDB, and which MariaDB of the other nodes greets it."""

    server = ma.fields.String(required=True, validate=ma.validate.OneOf(["up", "down"]))
    primary = Bool(required=True)
    read_only = Bool(required=True, allow_none=True)
    gtid = _Line(required=True)
    semi_sync = Bool(required=True)
    replication = ma.fields.Nested(ReplicationSchema, required=True, allow_none=True)
    peers = ma.fields.Dict(
        keys=ma.fields.String(validate=ma.validate.Length(max=64)),
        values=Bool(),
        required=True,
        validate=ma.validate.Length(max=64),
    )


Answer = dict[str, Any]


def read(body: bytes) -> Answer | None:
    """Return an answer, or None if it is none."""
    try:
        answer: Answer = AnswerSchema().load(json.loads(body))
    except (ValueError, RecursionError, ma.ValidationError):
        return None
    return answer


def ask(address: str, port: int) -> Answer | None:
    """Return what a node answers; None if it does not in time, or not sensibly. Follows no redirect."""
    try:
        host = f"[{address}]" if ipaddress.ip_address(address).version == 6 else address
    except ValueError:
        # A row that no API wrote: names are not resolved here.
        return None
    try:
        with (
            httpcore.ConnectionPool(network_backend=_Backend(time.monotonic() + WHOLE), retries=0) as pool,
            pool.stream("GET", f"http://{host}:{port}/") as response,
        ):
            body = b""
            for part in response.iter_stream():
                body += part
                if len(body) > MOST:
                    return None
            return read(body) if response.status == 200 else None
    except (httpcore.NetworkError, httpcore.ProtocolError, httpcore.TimeoutException, OSError):
        return None


def ask_all(addresses: Iterable[str], port: int) -> dict[str, Answer | None]:
    """Return address → answer, of all at the same time."""
    wanted = sorted(set(addresses))
    with ThreadPoolExecutor(min(THREADS, max(1, len(wanted))), thread_name_prefix="watch") as pool:
        return dict(zip(wanted, pool.map(lambda address: ask(address, port), wanted), strict=True))


class _Backend(httpcore.NetworkBackend):
    """Connects to the address that it is given, and stops everything at one moment."""

    def __init__(self, end: float) -> None:
        self._end = end

    def connect_tcp(
        self,
        host: str,
        port: int,
        timeout: float | None = None,
        local_address: str | None = None,
        socket_options: Any = None,
    ) -> httpcore.NetworkStream:
        """Connect."""
        stream = httpcore.SyncBackend().connect_tcp(host, port, timeout=left(self._end, timeout))
        return Bounded(stream, self._end)
