"""The application: ``gunicorn 'api.app:create_app()'``."""

from __future__ import annotations

import time
import uuid
from typing import Any

import structlog
from apispec.ext.marshmallow import MarshmallowPlugin
from flask import Flask, Response, g, request
from redis import Redis

import api.kinds  # noqa: F401 - fills the registry
from api.auth import guard
from api.auth.keys import Keyring
from api.core import crypto, errors, logs, metrics, routes, system
from api.core.db import engine_for, maker_for
from api.core.kind import registry
from api.core.proxy import TrustedProxies
from api.core.settings import Settings, load
from api.core.state import EXTENSION, State
from api.notify.targets import policy_of

log = structlog.get_logger()


def create_app(settings: Settings | None = None) -> Flask:
    """Make the application; settings come from the environment unless given."""
    settings = settings or load()
    logs.configure()
    crypto.use(settings.secret_key)
    policy_of(settings.notify_allow)
    app = Flask("api", static_folder=None)
    app.config.update(
        API_TITLE="Hostreeve",
        API_VERSION="1",
        OPENAPI_VERSION="3.0.3",
        MAX_CONTENT_LENGTH=settings.max_body,
        # An automatic answer to OPTIONS would pass by the guard.
        PROVIDE_AUTOMATIC_OPTIONS=False,
    )
    app.wsgi_app = TrustedProxies(app.wsgi_app, settings.proxies)  # type: ignore[method-assign]
    engine = engine_for(settings.database_url)
    maker = maker_for(engine)
    redis = Redis.from_url(settings.redis_url, socket_timeout=5, socket_connect_timeout=2)
    reader = engine_for(settings.database_url, reading=True)
    app.extensions[EXTENSION] = State(settings, engine, maker, reader, redis, _publisher(settings, maker))
    _trace(app)
    guard.install(app, app.extensions.setdefault("keyring", Keyring(maker, reader)))
    rest = errors.EnvelopeApi(app, spec_kwargs={"marshmallow_plugin": MarshmallowPlugin(_schema_name), **SPEC})
    errors.register(app)
    for blueprint in blueprints():
        rest.register_blueprint(blueprint)
    system.install(app, rest)
    metrics.install(app)
    return app


SPEC: dict[str, Any] = {
    "info": {
        "description": "Runs a hosting platform. Mutations answer 202 with the resource and the jobs that carry it out."
    },
    "components": {"securitySchemes": {"key": {"type": "http", "scheme": "bearer", "bearerFormat": "hr_…"}}},
    "security": [{"key": []}],
}


def blueprints() -> list[Any]:
    """Return the blueprints of all kinds and of what is not a kind; a new part of the API adds its own here.

    Making them also declares the scopes that keys may hold.
    """
    from api.auth.routes import blp as api_keys
    from api.core.audit_routes import blp as audit
    from api.jobs import follow
    from api.jobs.lease_routes import blp as leases
    from api.jobs.routes import inventory, shards
    from api.launch import routes as launch
    from api.launch.schedule_routes import blp as schedules
    from api.moves import routes as moves
    from api.notify import routes as notify
    from api.plan import drift_routes as drift
    from api.plan import routes as plan
    from api.usage import routes as usage
    from api.watch import routes as watch
    from api.workflow import routes as workflow

    kinds = [routes.blueprint_for(kind) for kind in registry]
    launching = [launch.templates, launch.adhoc, launch.launches, launch.scripts, schedules]
    planning = [plan.shards, plan.templates, plan.plans, drift.shards, drift.blp, watch.shards]
    following = [workflow.workflows, workflow.blp, notify.notices, notify.secrets]
    own = [api_keys, audit, follow.jobs, shards, inventory, leases, *moves.blueprints(), *usage.blueprints()]
    return [*kinds, *own, *launching, *planning, *following]


def _schema_name(schema: Any) -> str:
    name: str = (schema if isinstance(schema, type) else type(schema)).__name__
    return name.removesuffix("Schema")


def _publisher(settings: Settings, maker: Any) -> Any:
    from api.jobs.queue import Publisher

    return Publisher(settings, maker)


def _trace(app: Flask) -> None:
    """Give every request an id and a line in the log."""

    @app.before_request
    def begin() -> None:
        g.trace_id = uuid.uuid4().hex
        g.started = time.perf_counter()

    @app.after_request
    def end(response: Response) -> Response:
        response.headers["X-Trace-Id"] = g.trace_id
        response.headers["X-Content-Type-Options"] = "nosniff"
        response.headers.setdefault("Cache-Control", "no-store")
        if request.method not in ("GET", "HEAD") or response.status_code >= 500:
            log.info(
                "request",
                method=request.method,
                path=request.path,
                status=response.status_code,
                ms=round((time.perf_counter() - g.started) * 1000, 1),
                key=str(g.actor.id) if "actor" in g else None,
                trace_id=g.trace_id,
                remote=request.remote_addr,
            )
        return response
