"""The RQ side: one queue, ids only, no retries; our own rows and leases decide what is done."""

from __future__ import annotations

import os
import signal

from rq import Worker
from rq.serializers import JSONSerializer

import worker.run
from api.jobs.queue import connect, queue_of
from worker import processes
from worker.context import Context

#: Seconds: how long a silent worker is believed to live, how often a running job is looked at, how often RQ tidies up.
TTL, MONITORING, MAINTENANCE = 60, 10, 30


def work(context: Context, parent: int) -> None:
    """Take jobs until SIGTERM; then end the current one and return."""
    processes.die_with_parent(signal.SIGTERM)
    if os.getppid() != parent:
        return
    worker.run.prepared = context
    connection = connect(context.settings)
    Worker(
        [queue_of(context.queue, connection)],
        connection=connection,
        serializer=JSONSerializer,
        worker_ttl=TTL,
        job_monitoring_interval=MONITORING,
        maintenance_interval=MAINTENANCE,
    ).work(logging_level="WARNING")
