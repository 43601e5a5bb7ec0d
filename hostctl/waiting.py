"""Following what was accepted until it has ended."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import Any

from hostctl.client import Client
from hostctl.errors import Exit, Failure
from hostctl.kinds import Kind
from hostctl.lookup import label

SETTLED = ("active", "suspended", "failed")
#: seconds between two looks, at first and at most
PAUSES = (0.3, 3.0)
TIMEOUT = 600.0
Say = Callable[[str], None]


class Patience:
    """Pauses that grow, and an end."""

    def __init__(self, seconds: float) -> None:
        self.end = time.monotonic() + seconds
        self._pause = PAUSES[0]

    def check(self, what: str) -> float:
        """Return the seconds that are left; Failure (timed out) if none are."""
        left = self.end - time.monotonic()
        if left <= 0:
            raise Failure(f"{what} did not end in time; it goes on without us.", Exit.TIMEOUT)
        return left

    def wait(self, what: str) -> None:
        """Sleep for a while; Failure (timed out) when there is no time left."""
        time.sleep(min(self._pause, self.check(what)))
        self._pause = min(self._pause * 1.5, PAUSES[1])

    def hurry(self) -> None:
        """Something happened: make the next pause a short one."""
        self._pause = PAUSES[0]


def look(client: Client, kind: Kind, id_: str) -> dict[str, Any] | None:
    """Return a resource, or None when it is gone."""
    try:
        return dict(client.get(f"{kind.path}/{id_}"))
    except Failure as failure:
        if failure.code is Exit.NOT_FOUND:
            return None
        raise


def is_settled(row: dict[str, Any]) -> bool:
    """Tell whether nothing is under way for a resource: the hosts have it, or refused it."""
    return row.get("status", "active") in SETTLED


def resource(client: Client, kind: Kind, row: dict[str, Any], seconds: float, say: Say) -> dict[str, Any]:
    """Follow a resource until it is active, suspended, failed or gone; return its last state (``deleted``: gone)."""
    patience, seen = Patience(seconds), ""
    while row.get("status") != "deleted" and not is_settled(row):
        if (status := str(row.get("status"))) != seen:
            say(f"{kind.name} {label(kind, row)}: {status}")
            seen = status
        patience.wait(f"{kind.name} {label(kind, row)}")
        found = look(client, kind, str(row["id"]))
        if found is None:
            if not row.get("delete_requested"):
                say(f"{kind.name} {label(kind, row)} was deleted meanwhile")
            return {**row, "status": "deleted"}
        row = found
    return row


def is_over(job: dict[str, Any]) -> bool:
    """Tell whether a job has ended; states that come later are not known here, its end is."""
    return bool(job.get("ended_at")) or job.get("state") in ("successful", "failed", "abandoned", "canceled")


def jobs(client: Client, ids: Iterable[str], seconds: float, say: Say) -> list[dict[str, Any]]:
    """Follow jobs until all have ended; return them."""
    patience, found = Patience(seconds), []
    for id_ in ids:
        seen = ""
        while not is_over(job := client.get(f"/jobs/{id_}")):
            if job["state"] != seen:
                say(f"job {id_}: {job['state']}")
                seen = job["state"]
            patience.wait(f"job {id_}")
        found.append(job)
    return found
