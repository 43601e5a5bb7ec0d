"""Settings of gunicorn: ``gunicorn -c python:api.gunicorn 'api.app:create_app()'``."""

from __future__ import annotations

import os
from typing import Any

from prometheus_client import multiprocess

bind = os.environ.get("HOSTREEVE_BIND", "127.0.0.1:8000")
# Threads: most of a request is waiting for the database, and a stream of events (at most 24, api/jobs/stream.py) holds
# one for its whole life.
worker_class = "gthread"
workers = int(os.environ.get("HOSTREEVE_WORKERS", "2"))
threads = int(os.environ.get("HOSTREEVE_THREADS", "40"))
# A large refresh of records may take a while; a hanging request must not take for ever.
timeout = 120
# Streams do not end by themselves; their readers come again and go on where they were.
graceful_timeout = 5
# The socket is the proxy's business, and so is the scheme.
forwarded_allow_ips = ""


def child_exit(_server: Any, worker: Any) -> None:
    """Take the gauges of a process out of /metrics when it ends."""
    if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
        multiprocess.mark_process_dead(worker.pid)
