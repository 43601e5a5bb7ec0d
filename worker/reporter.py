"""Settles hosts while the run goes on: a host that hangs must not delay what another has done."""

from __future__ import annotations

import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from api.jobs import report, step
from api.jobs.document import Document
from api.jobs.settle import Run, fail_host, settle_report
from worker.context import Context

#: Only these modules' results are reports; any other task may return what it likes.
MODULES = tuple(f"hostreeve.hosting.{role}_resources" for role in ("web", "lb", "dns", "db", "valkey"))
UNREACHABLE = "does not answer; it is tried again by itself"

log = structlog.get_logger(__name__)


class Recap:
    """What the events of a launch say about its hosts; whatever a host is, it is known by its events only."""

    def __init__(self) -> None:
        self.unreachable: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.stats: dict[str, dict[str, int]] | None = None
        self.seconds: dict[str, float] = {}
        #: what set_stats told
        self.told: Any = {}

    def take(self, event: dict[str, Any]) -> None:
        """Look at an event."""
        name, data = event.get("event"), event.get("event_data") or {}
        if name == "playbook_on_stats":
            self.stats = _stats(data)
            self.told = data.get("artifact_data") or {}
        if not isinstance(host := data.get("host"), str):
            return
        self.seconds[host] = self.seconds.get(host, 0.0) + float(data.get("duration") or 0)
        result: dict[str, Any] = data["res"] if isinstance(data.get("res"), dict) else {}
        if name == "runner_on_failed" and not data.get("ignore_errors"):
            self.messages[host] = f"{data.get('task', '')}: {result.get('msg', 'failed')}"
        elif name == "runner_on_unreachable":
            self.unreachable.setdefault(host, str(result.get("msg", "")))

    def bad(self) -> list[str]:
        """Return the hosts that failed at the end, for people."""
        stats = self.stats or {"failures": {}, "dark": {}}
        down = {host for host, count in stats["dark"].items() if count}
        failed = {host for host, count in stats["failures"].items() if count} | down
        return [f"{host} (unreachable)" if host in down else host for host in sorted(failed)]

    def hosts(self) -> dict[str, dict[str, Any]]:
        """Return the fields of JobHost of every host that took part."""
        stats = self.stats or _stats({})
        known = {host for counts in stats.values() for host in counts} | self.unreachable.keys() | self.messages.keys()
        return {
            host[:64]: {
                "ok": stats["ok"].get(host, 0),
                "changed": stats["changed"].get(host, 0),
                "failed": stats["failures"].get(host, 0),
                "skipped": stats["skipped"].get(host, 0),
                "unreachable": bool(stats["dark"].get(host)) or (self.stats is None and host in self.unreachable),
                "seconds": round(self.seconds.get(host, 0.0), 3),
                "message": (self.unreachable.get(host) or self.messages.get(host, ""))[:2000].replace("\0", ""),
            }
            for host in sorted(known)
        }


def _stats(data: dict[str, Any]) -> dict[str, dict[str, int]]:
    return {key: dict(data.get(key) or {}) for key in ("ok", "changed", "failures", "dark", "skipped")}


class Reporter:
    """Takes results from the event handler and writes them in a thread of its own."""

    def __init__(self, context: Context, run: Run, document: Document) -> None:
        self._context, self._run, self._document = context, run, document
        self._queue: queue.SimpleQueue[Callable[[Session], Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._work, name="reporter", daemon=True)
        self.failed = False
        #: hosts that gave a report, that did not answer, and what the others said last
        self.reported: set[str] = set()
        self.unreachable: dict[str, str] = {}
        self.messages: dict[str, str] = {}
        self.stats: dict[str, dict[str, int]] | None = None
        self.seconds: dict[str, float] = {}

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def finish(self) -> None:
        """Wait until everything is written, for as long as a lease could live."""
        self._queue.put(None)
        self._thread.join(self._context.settings.lease_seconds + 5)
        if self._thread.is_alive():
            self.failed = True

    def take(self, event: dict[str, Any]) -> None:
        """Look at an event; cheap, as ansible-runner waits."""
        name, data = event.get("event"), event.get("event_data") or {}
        host = data.get("host")
        if name == "playbook_on_stats":
            self.stats = _stats(data)
        if host not in self._document.sent:
            return
        self.seconds[host] = self.seconds.get(host, 0.0) + float(data.get("duration") or 0)
        result: dict[str, Any] = data["res"] if isinstance(data.get("res"), dict) else {}
        if name == "runner_on_ok" and (data.get("resolved_action") or data.get("task_action")) in MODULES:
            self._queue.put(lambda session: self._settle(session, host, result))
            self.reported.add(host)
        elif name == "runner_on_failed" and not data.get("ignore_errors"):
            self.messages[host] = f"{data.get('task', '')}: {result.get('msg', 'failed')}"
        elif name == "runner_on_unreachable" and host not in self.unreachable:
            self.unreachable[host] = str(result.get("msg", ""))
            node = self._document.sent[host].node_id
            self._queue.put(lambda session: fail_host(session, self._run, node, UNREACHABLE, again=True))

    def _settle(self, session: Session, host: str, result: dict[str, Any]) -> None:
        sent = self._document.sent[host]
        try:
            read = report.read(sent, result.get("resources"), result.get("unchanged"))
        except report.Unfit as error:
            self.messages[host] = str(error)
            fail_host(session, self._run, sent.node_id, "its report could not be read")
            return
        said = step.read(result.get("node"))
        if said is not None:
            # Before resources: a node is locked before what it carries.
            step.note(session, self._run, sent.node_id, said)
        settle_report(session, self._run, host, sent, read)

    def _work(self) -> None:
        while (work := self._queue.get()) is not None:
            try:
                attempt(self._context, work)
            except Exception:
                # What is not settled now is failed at the end of the run, never taken for done.
                log.exception("report not written", job=str(self._run.job_id))
                self.failed = True


def attempt(context: Context, work: Callable[[Session], Any]) -> Any:
    """Do ``work`` in a transaction; again while the database is away or breaks deadlocks, for one lease's life."""
    end = time.monotonic() + context.settings.lease_seconds
    pause = 0.05
    while True:
        try:
            with context.transaction() as session:
                return work(session)
        except (sa.exc.OperationalError, sa.exc.InterfaceError):
            if time.monotonic() + pause > end:
                raise
            time.sleep(pause)
            pause = min(pause * 2, 2.0)
