"""Bytes in and out: strict JSON in, fast JSON out."""

from __future__ import annotations

import json
from typing import Any

import marshmallow as ma
import orjson
from flask import Request, Response, request
from flask_smorest import Blueprint as SmorestBlueprint
from webargs.flaskparser import FlaskParser, abort


def encode(body: Any) -> bytes:
    """Return JSON; UUIDs and aware datetimes are written in their standard forms."""
    return orjson.dumps(body, option=orjson.OPT_UTC_Z | orjson.OPT_NON_STR_KEYS)


def answer(body: Any, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """Return a JSON response; bytes are sent as they are."""
    data = body if isinstance(body, bytes) else encode(body)
    return Response(data, status, headers, mimetype="application/json")


def _no_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a key stands twice")
    return found


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def body_of(req: Request) -> bytes:
    """Return a request's body; 413 if it is larger than allowed."""
    data = req.get_data(cache=True)
    # werkzeug cuts a body of unknown length at the limit, in silence.
    if req.content_length is None and req.max_content_length is not None and len(data) >= req.max_content_length:
        abort(413)
    return data


class StrictParser(FlaskParser):
    """Refuses what JSON libraries let through: another content type, duplicate keys, NaN, endless digits and depth."""

    def _raw_load_json(self, req: Request) -> Any:
        data = body_of(req)
        if not data:
            return ma.missing
        if not req.is_json:
            abort(415)
        try:
            return json.loads(data, object_pairs_hook=_no_duplicates, parse_constant=_no_constant)
        except (ValueError, RecursionError) as error:
            reason = str(error) if isinstance(error, json.JSONDecodeError) else "is not valid JSON"
            abort(400, messages={"json": {"_schema": [reason]}})


def refuse_parameters(*known: str) -> None:
    """Refuse all but the known parameters of the query: nothing that a caller sent is dropped in silence."""
    if unknown := request.args.keys() - set(known):
        abort(422, messages={"query": {name: ["Unknown field."] for name in unknown}})


def refuse_extras(*known: str) -> None:
    """Refuse a body, and all but the known parameters."""
    refuse_parameters(*known)
    if request.method not in ("GET", "HEAD"):
        body = Blueprint.ARGUMENTS_PARSER._raw_load_json(request)
        if body is not ma.missing and body != {}:
            fields = body if isinstance(body, dict) else ["_schema"]
            abort(422, messages={"json": {name: ["Unknown field."] for name in fields}})


class Blueprint(SmorestBlueprint):
    """Blueprint of this API: flask-smorest with the strict parser."""

    ARGUMENTS_PARSER = StrictParser()
