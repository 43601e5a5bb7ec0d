"""Following a job: its events page by page or as a stream, and what ansible-playbook printed."""

from __future__ import annotations

import uuid
from typing import Any

import marshmallow as ma
import sqlalchemy as sa
from flask import Response, request

from api.auth.guard import require
from api.core.errors import ApiError, not_found
from api.core.routes import errors
from api.core.state import reading, state
from api.core.wire import answer
from api.jobs import files, output, stream
from api.jobs.routes import SCOPE, SHOWN, TABLE, dump, job_of, jobs
from api.jobs.schemas import EventQuery, EventsSchema, OutputQuery, StreamQuery
from api.jobs.steer import OVER

#: Digits of an offset.
LONGEST_ID = 15


@jobs.route("/<uuid:id>/events", endpoint="events")
@require(SCOPE, every_brand=True)
@jobs.arguments(EventQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 400, 404, 422)
@jobs.response(200, EventsSchema)
@jobs.doc(operationId="list_job_events", summary="Read a job's events from an offset on")
def events(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Return events; ask again with ``next_offset`` until ``ended``."""
    with reading() as session:
        # Before the file is read: what is written after this answer was asked for must not be missed.
        ended = job_of(session, id)["state"] in OVER
    items, offset, more = files.events(state().settings.data_dir, id, query["offset"], query["limit"])
    return answer({"items": items, "next_offset": offset, "ended": ended and not more})


@jobs.route("/<uuid:id>/events/stream", endpoint="stream")
@require(SCOPE, every_brand=True)
@jobs.arguments(StreamQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 404, 422, 503)
@jobs.response(200, {"type": "string"}, content_type="text/event-stream")
@jobs.doc(
    operationId="stream_job_events",
    summary="Follow a job's events (server-sent events)",
    parameters=[
        {
            "in": "header",
            "name": "Last-Event-ID",
            "schema": {"type": "integer"},
            "description": "id of the last event that was read; goes before `offset`",
        }
    ],
)
def follow(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Send events as they come; the last one is `end`, with the job."""
    last = request.headers.get("Last-Event-ID", "")
    # Anything else is somebody else's id: from the beginning, as if none was given.
    offset = int(last) if last.isdecimal() and last.isascii() and len(last) <= LONGEST_ID else query["offset"]
    maker, data_dir = state().maker, state().settings.data_dir

    def read_job() -> dict[str, Any] | None:
        with maker() as session:
            row = session.execute(sa.select(*SHOWN).where(TABLE.c.id == id)).mappings().first()
        return None if row is None else dump(row)

    if read_job() is None:
        raise not_found()
    if not stream.take_place():
        raise ApiError(503, "Too many streams are open; read page by page.", headers={"Retry-After": "5"})
    response = Response(
        stream.follow(data_dir, id, offset, read_job),
        content_type="text/event-stream",
        headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"},
    )
    response.call_on_close(stream.give_back)
    return response


@jobs.route("/<uuid:id>/output", endpoint="output")
@require(SCOPE, every_brand=True)
@jobs.arguments(OutputQuery, location="query", unknown=ma.RAISE)
@errors(jobs, 404, 422)
@jobs.response(200, {"type": "string"}, content_type="text/plain")
@jobs.doc(operationId="get_job_output", summary="Read what ansible-playbook printed")
def printed(query: dict[str, Any], id: uuid.UUID) -> Response:
    """Return the output so far, or some of its lines, as text, with colours, as a page or as JSON."""
    with reading() as session:
        job_of(session, id)
    form = query["format"]
    lines = output.chosen(files.output(state().settings.data_dir, id), query["start"], query["end"])
    headers = {"Content-Security-Policy": output.POLICY, "X-Content-Type-Options": "nosniff"}
    if query["download"]:
        ending = {"text": "txt"}.get(form, form)
        headers["Content-Disposition"] = f'attachment; filename="job-{id}.{ending}"'
    return Response(
        output.render(form, lines, str(id), query["start"]), mimetype=output.CONTENT_TYPES[form], headers=headers
    )
