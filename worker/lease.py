"""Keeping the leases of a run."""

from __future__ import annotations

import threading
import time
from contextlib import suppress

import sqlalchemy as sa

from api.jobs import leases
from api.jobs.finish import CANCELED, Held
from api.jobs.models import Job
from worker.context import Context
from worker.playbook import Stop

#: Seconds between two looks at whether somebody cancels the run.
LOOK = 1.0


class Lease:
    """Renews the leases of a run; stops the run when they are lost, and when somebody cancels it."""

    def __init__(self, context: Context, taken: Held, timeout: int = 0) -> None:
        self.stop_run = Stop(context.settings, timeout)
        self._context, self._claim = context, taken
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._work, name="lease", daemon=True)

    def start(self) -> None:
        """Begin to renew."""
        self._thread.start()

    def stop(self) -> None:
        """Renew no longer."""
        self._over.set()
        self._thread.join(5)

    def _work(self) -> None:
        settings = self._context.settings
        good = time.monotonic()
        renew_at = good + settings.lease_renew_seconds
        while not self._over.wait(LOOK):
            self._look()
            if time.monotonic() < renew_at:
                continue
            renew_at = time.monotonic() + settings.lease_renew_seconds
            try:
                with self._context.maker() as session, session.begin():
                    kept = leases.renew(session, self._claim.job_id, self._claim.tokens, settings.lease_seconds)
            except sa.exc.SQLAlchemyError:
                # The database is away. The lease lives on there until its time, and not a moment longer here.
                kept = time.monotonic() - good < settings.lease_seconds - settings.lease_renew_seconds
            else:
                good = time.monotonic()
            if not kept:
                self.stop_run.reason = "lease_lost"
                return

    def _look(self) -> None:
        """Stop the run if somebody cancels it. The leases are kept until its last process is gone."""
        if self.stop_run.reason:
            return
        wished = sa.select(Job.cancel_requested_at).where(Job.id == self._claim.job_id)
        with suppress(sa.exc.SQLAlchemyError), self._context.maker() as session:
            if session.scalar(wished) is not None:
                self.stop_run.reason = CANCELED
