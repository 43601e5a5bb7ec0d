"""Errors and their one shape: ``{"error": {"code", "message", "details", "trace_id"}}``.

``details`` names the part of the request and the field: ``{"json": {"fqdn": ["is taken"]}}``.
"""

from __future__ import annotations

import http
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
import structlog
from flask import Flask, Response, g
from flask_smorest import Api
from sqlalchemy.orm.exc import StaleDataError
from werkzeug.exceptions import HTTPException

from api.core.db import Base
from api.core.wire import answer

log = structlog.get_logger()

#: Codes of what werkzeug and webargs raise; any other status carries its HTTP name in capitals.
CODES = {
    400: "VALIDATION_ERROR",
    401: "AUTHENTICATION_ERROR",
    403: "AUTHORIZATION_ERROR",
    409: "CONFLICT",
    413: "PAYLOAD_TOO_LARGE",
    422: "VALIDATION_ERROR",
    429: "RATE_LIMIT_EXCEEDED",
    500: "INTERNAL_ERROR",
}
MESSAGES = {
    400: "The request could not be read.",
    404: "There is no such resource.",
    405: "The method is not allowed here.",
    413: "The request body is too large.",
    415: "The body must be sent as application/json.",
    422: "The request holds invalid values.",
    500: "Something went wrong; the trace id tells the operator what.",
}


class ApiError(Exception):
    """A refusal that a caller may read: HTTP status, code, message and the details per field."""

    def __init__(
        self, status: int, message: str, *, code: str = "", details: Any = None, headers: dict[str, str] | None = None
    ) -> None:
        super().__init__(message)
        self.status = status
        self.code = code or code_of(status)
        self.message = message
        self.details = details or {}
        self.headers = headers or {}


def code_of(status: int) -> str:
    """Return the code of an HTTP status."""
    return CODES.get(status) or http.HTTPStatus(status).phrase.upper().replace(" ", "_").replace("-", "_")


def not_found(field: str = "", message: str = "There is no such resource.") -> ApiError:
    """Return a 404; ``field`` names the body's field that points at what is absent or not yours."""
    return ApiError(404, message, details={"json": {field: ["does not exist"]}} if field else None)


def invalid(field: str, *reasons: str, where: str = "json") -> ApiError:
    """Return a 422 for one field."""
    return ApiError(422, MESSAGES[422], details={where: {field: list(reasons)}})


def conflict(message: str, field: str = "", reason: str = "") -> ApiError:
    """Return a 409, with the field if one is to blame."""
    return ApiError(409, message, details={"json": {field: [reason or message]}} if field else None)


def policy(field: str, reason: str) -> ApiError:
    """Return a 422 for a value that is well formed and not allowed."""
    return ApiError(
        422, "The platform's rules forbid this.", code="POLICY_VIOLATION", details={"json": {field: [reason]}}
    )


def envelope(
    status: int, code: str, message: str, details: Any = None, headers: dict[str, str] | None = None
) -> Response:
    """Return the answer of an error; its trace id is also in the ``X-Trace-Id`` header and the log."""
    body = {"error": {"code": code, "message": message, "details": details or {}, "trace_id": g.get("trace_id", "")}}
    return answer(body, status, headers)


class ErrorBody(ma.Schema):
    """What went wrong."""

    code = ma.fields.String(required=True, metadata={"example": "VALIDATION_ERROR"})
    message = ma.fields.String(required=True)
    details = ma.fields.Dict(
        required=True, metadata={"example": {"json": {"fqdn": ["must be a lower-case host name"]}}}
    )
    trace_id = ma.fields.String(required=True)


class ErrorSchema(ma.Schema):
    """The envelope of every error."""

    error = ma.fields.Nested(ErrorBody, required=True)


class EnvelopeApi(Api):
    """flask-smorest with our error envelope."""

    ERROR_SCHEMA = ErrorSchema

    def handle_http_exception(self, error: HTTPException) -> Any:
        """Answer what werkzeug, Flask and webargs raise."""
        if error.response is not None or error.code is None or error.code < 400:
            return error.get_response()
        data = getattr(error, "data", None) or {}
        message = data.get("message") or MESSAGES.get(error.code) or http.HTTPStatus(error.code).phrase + "."
        headers = dict(data.get("headers") or {})
        if error.code in (405, 429):
            headers.update((key, value) for key, value in error.get_headers() if key in ("Allow", "Retry-After"))
        return envelope(error.code, code_of(error.code), message, data.get("messages"), headers)


def register(app: Flask) -> None:
    """Answer the exceptions that are not HTTP ones."""

    @app.errorhandler(ApiError)
    def refused(error: ApiError) -> Response:
        return envelope(error.status, error.code, error.message, error.details, error.headers)

    @app.errorhandler(StaleDataError)
    def stale(_error: StaleDataError) -> Response:
        return envelope(409, "CONFLICT", "Somebody else changed this meanwhile; read it again.")

    @app.errorhandler(sa.exc.IntegrityError)
    def integrity(error: sa.exc.IntegrityError) -> Response:
        field = violated(error)
        if field:
            return envelope(409, "CONFLICT", "This already exists.", {"json": {field: ["is taken"]}})
        return envelope(409, "CONFLICT", "This is in use, or what it refers to is gone.")

    @app.errorhandler(sa.exc.DataError)
    def data(_error: sa.exc.DataError) -> Response:
        return envelope(422, "VALIDATION_ERROR", "The request holds a value that cannot be stored.")

    @app.errorhandler(sa.exc.OperationalError)
    def unavailable(error: sa.exc.OperationalError) -> Response:
        log.error("database_unavailable", error=str(error.orig).splitlines()[0] if error.orig else "")
        return envelope(503, "SERVICE_UNAVAILABLE", "The database does not answer.", headers={"Retry-After": "5"})

    @app.errorhandler(Exception)
    def unexpected(error: Exception) -> Response:
        # The trace goes to the log only: it may hold SQL, paths or another brand's names.
        log.exception("unexpected", exc_info=error)
        return envelope(500, "INTERNAL_ERROR", MESSAGES[500])


def violated(error: sa.exc.IntegrityError) -> str:
    """Return the last column of the unique constraint that refused a row, or an empty string."""
    name = getattr(getattr(error.orig, "diag", None), "constraint_name", None)
    if name is None:
        kind, _, columns = str(error.orig).partition(" constraint failed: ")
        return columns.split(",")[-1].rpartition(".")[2].strip() if kind == "UNIQUE" else ""
    for table in Base.metadata.tables.values():
        rules: list[Any] = [*table.constraints, *table.indexes]
        for rule in rules:
            if rule.name == name and (isinstance(rule, sa.UniqueConstraint) or getattr(rule, "unique", False)):
                return list(rule.columns)[-1].name
    return ""
