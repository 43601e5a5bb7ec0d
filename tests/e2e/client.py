"""A portal's view of the platform: REST calls and patience, and the same questions asked from outside."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from typing import Any

import httpx


def eventually(check: Callable[[], Any], seconds: float = 60, pause: float = 0.2) -> Any:
    """Return the first true answer of ``check``; AssertionError with the last one when time runs out."""
    end = time.monotonic() + seconds
    while True:
        answer = check()
        if answer or time.monotonic() > end:
            assert answer, f"did not come true within {seconds} s; last answer: {answer!r}"
            return answer
        time.sleep(pause)


class Client:
    """REST with a key; every method returns parsed JSON and fails on a status that was not expected."""

    def __init__(self, base: str, key: str) -> None:
        self.http = httpx.Client(base_url=base, headers={"Authorization": f"Bearer {key}"}, timeout=30)

    def call(self, method: str, path: str, expect: int = 200, **kwargs: Any) -> Any:
        """Send one request; ``kwargs`` go to httpx."""
        answer = self.http.request(method, path, **kwargs)
        assert answer.status_code == expect, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def create(self, plural: str, **fields: Any) -> dict[str, Any]:
        """Create a resource and return it as accepted."""
        return self.call("POST", f"/{plural}", 202, json=fields)["resource"]

    def make(self, plural: str, seconds: float = 90, **fields: Any) -> dict[str, Any]:
        """Create a resource and wait until it is active."""
        return self.until(plural, self.create(plural, **fields), "active", seconds)

    def get(self, plural: str, row: dict[str, Any]) -> dict[str, Any]:
        """Read a resource again."""
        return self.call("GET", f"/{plural}/{row['id']}")

    def until(self, plural: str, row: dict[str, Any], status: str, seconds: float = 90) -> dict[str, Any]:
        """Wait for a status; the failure shows the resource as it stands."""
        seen: dict[str, Any] = {}

        def check() -> bool:
            seen.update(self.get(plural, row))
            return bool(seen["status"] == status)

        try:
            eventually(check, seconds)
        except AssertionError:
            raise AssertionError(f"{plural} {row['id']} is not {status}: {seen}") from None
        return seen

    def ended(self, job: dict[str, Any]) -> dict[str, Any] | None:
        """Return a job once it has ended."""
        seen: dict[str, Any] = self.call("GET", f"/jobs/{job['id']}")
        return seen if seen["state"] not in {"queued", "running"} else None

    def gone(self, plural: str, row: dict[str, Any], seconds: float = 90) -> None:
        """Wait until a deleted resource is really gone."""
        eventually(lambda: self.http.get(f"/{plural}/{row['id']}").status_code == 404, seconds)

    def delete(self, plural: str, row: dict[str, Any]) -> None:
        """Delete a resource and wait until every host has let go of it."""
        self.call("DELETE", f"/{plural}/{row['id']}", 202)
        self.gone(plural, row)


def dig(server: str, name: str, kind: str = "A", *flags: str) -> list[str]:
    """Ask one name server; sorted answers."""
    command = ["dig", "+short", "+time=2", "+tries=1", *flags, f"@{server}", name, kind]
    return sorted(subprocess.run(command, capture_output=True, text=True, check=False).stdout.split("\n")[:-1])


def browse(address: str, name: str, path: str = "/") -> httpx.Response:
    """Ask a host for a page of a name."""
    return httpx.get(f"http://{address}{path}", headers={"Host": name}, timeout=5)
