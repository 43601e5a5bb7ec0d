"""``/metrics`` in Prometheus' text format, for a key with ``metrics:read``.

Under several processes, set ``PROMETHEUS_MULTIPROC_DIR`` to an empty directory before the first of them starts.
"""

from __future__ import annotations

import os
import time
from collections.abc import Iterator

import sqlalchemy as sa
from flask import Flask, Response, g, request
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.multiprocess import MultiProcessCollector
from prometheus_client.registry import Collector

from api.auth.guard import require
from api.auth.scopes import declare
from api.core.state import reading
from api.jobs.models import Delivery, Job
from api.watch.models import ShardHealth

REQUESTS = Counter("hostreeve_requests", "Requests by route and status", ["method", "route", "status"])
SECONDS = Histogram(
    "hostreeve_request_seconds",
    "Seconds until the answer, by route",
    ["method", "route"],
    buckets=(0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10),
)
SCOPE = declare("metrics:read")
METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


class Work(Collector):
    """Jobs and deliveries by state, counted when they are asked for."""

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """Yield the gauges."""
        with reading() as session:
            for name, text, column in (
                ("hostreeve_jobs", "Jobs by state", Job.state),
                ("hostreeve_db_shards", "Database shards by health", ShardHealth.state),
                ("hostreeve_deliveries", "What nodes have still to carry, by state", Delivery.state),
            ):
                gauge = GaugeMetricFamily(name, text, labels=["state"])
                for state, count in session.execute(sa.select(column, sa.func.count()).group_by(column)):
                    gauge.add_metric([state], count)
                yield gauge


def install(app: Flask) -> None:
    """Measure every request and add the route."""

    @app.after_request
    def measure(response: Response) -> Response:
        # The rule and not the path, and no methods of a caller's invention: labels must stay few.
        route = request.url_rule.rule if request.url_rule else "none"
        method = request.method if request.method in METHODS else "other"
        REQUESTS.labels(method, route, response.status_code).inc()
        SECONDS.labels(method, route).observe(time.perf_counter() - g.started)
        return response

    @app.get("/metrics")
    @require(SCOPE, every_brand=True)
    def metrics() -> Response:
        registry = CollectorRegistry()
        registry.register(Work())
        if os.environ.get("PROMETHEUS_MULTIPROC_DIR"):
            MultiProcessCollector(registry)
            text = generate_latest(registry)
        else:
            text = generate_latest(REGISTRY) + generate_latest(registry)
        return Response(text, content_type=CONTENT_TYPE_LATEST)
