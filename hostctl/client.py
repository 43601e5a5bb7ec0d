"""The server: requests with the key, tried again where that is safe, and refusals as ``Failure``.

A mutation carries an ``Idempotency-Key``, so that trying it again after a broken connection makes nothing twice.
"""

from __future__ import annotations

import ssl
import time
import uuid
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import httpx

from hostctl.errors import Exit, Failure
from hostctl.settings import Settings

#: Tries of one request, and the seconds before the second one; each further pause is twice as long.
TRIES = 4
PAUSE = 0.25
#: The server asked for patience, or a proxy could not reach it; the request was not carried out, or has its key.
TRY_AGAIN = (429, 502, 503, 504)
PATIENCE = 30.0
PAGE = 200


class Client:
    """REST with a key."""

    def __init__(self, settings: Settings) -> None:
        self.settings = settings
        self.url = settings.url
        verify: Any = True
        if settings.ca_file:
            try:
                verify = ssl.create_default_context(cafile=settings.ca_file)
            except OSError as error:
                raise Failure(f"The CA file {settings.ca_file} cannot be read: {error}", Exit.USAGE) from None
        headers = {"User-Agent": "hostctl", "Accept": "application/json"}
        # Redirects are not followed: a key must not travel where somebody else points.
        self.http = httpx.Client(headers=headers, timeout=settings.timeout, verify=verify)

    def get(self, path: str, **query: Any) -> Any:
        """Return the parsed answer of a GET; parameters that are None are left out."""
        return self.parsed(self.request("GET", path, params=_plain(query)))

    def items(self, path: str, *, limit: int | None = None, **query: Any) -> Iterator[dict[str, Any]]:
        """Yield the items of a list, page by page; ``limit`` of them, or all."""
        cursor, left = None, limit
        while left is None or left > 0:
            size = PAGE if left is None else min(left, PAGE)
            page = self.get(path, **query, limit=size, cursor=cursor)
            yield from page["items"]
            left = None if left is None else left - len(page["items"])
            cursor = page["next_cursor"]
            if cursor is None:
                return

    def mutate(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        key: str = "",
        query: dict[str, str] | None = None,
    ) -> Any:
        """Carry out a mutation; return ``{"resource", "jobs", …}``. ``key`` is the Idempotency-Key, new without it."""
        return self.parsed(self.send(method, path, body, key=key, query=query))

    def send(
        self,
        method: str,
        path: str,
        body: dict[str, Any] | None = None,
        *,
        key: str = "",
        query: dict[str, str] | None = None,
    ) -> httpx.Response:
        """The same, with the answer's headers."""
        headers = {"Idempotency-Key": key or uuid.uuid4().hex}
        return self.request(method, path, json=body, headers=headers, params=query)

    def authorization(self) -> dict[str, str]:
        """Return the header that tells who asks; Failure if there is no key."""
        if not self.settings.key:
            raise Failure("No API key: set HOSTCTL_KEY_FILE, HOSTCTL_KEY, or a profile's key_file.", Exit.AUTH)
        return {"Authorization": f"Bearer {self.settings.key}"}

    def request(self, method: str, path: str, *, public: bool = False, **kwargs: Any) -> httpx.Response:
        """Return a successful answer; Failure for any other. Tries again after a broken connection."""
        kwargs = {name: value for name, value in kwargs.items() if value is not None}
        if not public:
            kwargs["headers"] = {**kwargs.get("headers", {}), **self.authorization()}
        pause = PAUSE
        for left in reversed(range(TRIES)):
            wait = pause
            try:
                answer = self.http.request(method, self.url + path, **kwargs)
            except httpx.TransportError as error:
                if not left or isinstance(error, httpx.UnsupportedProtocol):
                    raise unreachable(self.url, error) from None
            else:
                if answer.status_code not in TRY_AGAIN or not left:
                    if answer.is_success or answer.status_code == 304:
                        return answer
                    raise refusal(answer)
                wait = max(pause, _retry_after(answer))
            time.sleep(wait)
            pause *= 2
        raise AssertionError("unreachable")

    @staticmethod
    def parsed(answer: httpx.Response) -> Any:
        """Return the JSON of an answer; Failure if there is none: then it is not the API that answers."""
        try:
            return answer.json()
        except ValueError:
            raise Failure(
                f"{answer.url} did not answer with JSON; is this Hostreeve's API?", Exit.UNREACHABLE
            ) from None


def _plain(query: dict[str, Any]) -> dict[str, str]:
    return {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in query.items()
        if value is not None
    }


def _retry_after(answer: httpx.Response) -> float:
    text = answer.headers.get("Retry-After", "")
    return min(float(text), PATIENCE) if text.isascii() and text.isdigit() else 0.0


def unreachable(url: str, error: Exception) -> Failure:
    """Return the failure for a server that does not answer."""
    return Failure(f"{url} does not answer: {str(error) or type(error).__name__}", Exit.UNREACHABLE)


def refusal(answer: httpx.Response) -> Failure:
    """Return the failure for an answer that is no success, in the API's own words."""
    error: dict[str, Any] = {}
    with suppress(ValueError, KeyError, TypeError):
        error = dict(answer.json()["error"])
    status = answer.status_code
    if status in (401, 403):
        code = Exit.AUTH
    elif status == 404:
        code = Exit.NOT_FOUND
    elif 400 <= status < 500 and status != 429:
        code = Exit.REFUSED
    else:
        code = Exit.UNREACHABLE
    message = str(error.get("message") or f"{answer.url} answered {status}")
    lines = details(error.get("details"))
    if code is Exit.UNREACHABLE and error.get("trace_id"):
        lines.append(f"trace id {error['trace_id']}")
    return Failure(message, code, lines, error or {"message": message, "status": status})


def details(found: Any) -> list[str]:
    """Return ``{"json": {"fqdn": ["is taken"]}}`` as lines: ``fqdn: is taken``."""
    lines: list[str] = []

    def walk(value: Any, path: str) -> None:
        if isinstance(value, dict):
            for name, inner in value.items():
                walk(inner, f"{path}.{name}" if path else str(name))
        elif isinstance(value, list):
            lines.extend(f"{path}: {item}" for item in value)
        else:
            lines.append(f"{path}: {value}")

    for part, inner in (found if isinstance(found, dict) else {}).items():
        walk(inner, "" if part in ("json", "query") else str(part))
    return lines
