"""``/healthz``, ``/readyz``, ``/openapi.json``, ``/docs``: open to anybody, as none of them tells about customers."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any, cast

import redis
import sqlalchemy as sa
import structlog
import swagger_ui_bundle
from flask import Flask, Response, request, send_from_directory

from api.auth.guard import public
from api.core.errors import EnvelopeApi, envelope
from api.core.migrate import heads, version
from api.core.state import state
from api.core.wire import answer, encode

log = structlog.get_logger()

#: The docs page runs only what we serve ourselves and talks only to this API.
POLICY = (
    "default-src 'none'; script-src 'self'; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
ASSETS = Path(swagger_ui_bundle.swagger_ui_path)
SERVED = ("swagger-ui.css", "swagger-ui-bundle.js", "favicon-32x32.png")
PAGE = """<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Hostreeve API</title>
<link rel="stylesheet" href="/docs/swagger-ui.css"><link rel="icon" href="/docs/favicon-32x32.png">
</head><body><div id="ui"><p>The API is described in <a href="/openapi.json">openapi.json</a>.</p></div>
<script src="/docs/swagger-ui-bundle.js"></script><script src="/docs/start.js"></script></body></html>
"""
START = """SwaggerUIBundle({url: "/openapi.json", dom_id: "#ui", deepLinking: true, docExpansion: "none", filter: true,
  validatorUrl: null, presets: [SwaggerUIBundle.presets.apis]});
"""


def install(app: Flask, rest: EnvelopeApi) -> None:
    """Add the routes."""
    description: dict[str, Any] = {}

    @app.get("/healthz")
    @public
    def healthz() -> Response:
        """Tell that the process lives; nothing else is asked."""
        return answer({"status": "ok"})

    @app.get("/readyz")
    @public
    def readyz() -> Response:
        """Tell whether requests can be served: 503 names what is missing."""
        missing = {name: reason for name, reason in (("database", _database()), ("queue", _queue())) if reason}
        if missing:
            log.warning("not_ready", **missing)
            return envelope(503, "SERVICE_UNAVAILABLE", "Not ready.", missing, {"Retry-After": "5"})
        return answer({"status": "ok"})

    @app.get("/openapi.json")
    @public
    def openapi() -> Response:
        """Describe the API; the description itself is no secret. Command lines ask each time whether it changed."""
        if not description:
            description["body"] = encode(rest.spec.to_dict())
            description["etag"] = hashlib.sha256(description["body"]).hexdigest()
        response = answer(description["body"], headers={"Cache-Control": "no-cache"})
        response.set_etag(description["etag"])
        return cast(Response, response.make_conditional(request))

    @app.get("/docs")
    @public
    def docs() -> Response:
        """Show the description as a page, without the internet."""
        return Response(PAGE, mimetype="text/html", headers={"Content-Security-Policy": POLICY})

    @app.get("/docs/<name>")
    @public
    def asset(name: str) -> Response:
        """Serve the page's files."""
        if name == "start.js":
            return Response(START, mimetype="text/javascript")
        if name not in SERVED:
            return envelope(404, "NOT_FOUND", "There is no such file.")
        return send_from_directory(ASSETS, name, max_age=86_400)


def _database() -> str:
    try:
        with state().reader.connect() as connection:
            return "" if version(connection) == heads() else "not migrated: run `python -m api db upgrade`"
    except sa.exc.SQLAlchemyError:
        return "does not answer"


def _queue() -> str:
    try:
        state().redis.ping()
    except redis.RedisError:
        return "does not answer"
    return ""
