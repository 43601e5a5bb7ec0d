"""Routes of moves: asking for one, following it, trying it again, confirming it. All are the platform's."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import marshmallow as ma
import orjson
import sqlalchemy as sa
from flask import Response
from sqlalchemy.orm import Session

from api.auth.guard import actor, require
from api.core.kind import Kind, registry
from api.core.mutation import Outcome, mutate
from api.core.reads import found, listed
from api.core.routes import IDEMPOTENCY, errors, page_schema, result_schema
from api.core.service import find
from api.core.state import state
from api.core.wire import Blueprint, refuse_extras
from api.jobs import files
from api.jobs.models import Job
from api.moves import start
from api.moves.models import Move
from api.moves.schemas import MOVES, SHOWN, TABLE, MoveBody, MoveQuery, MoveSchema

moves = Blueprint("moves", __name__, url_prefix="/moves", description="Resources on their way to another shard.")
#: Bytes at the end of a run's events in which it says how far it is.
TAIL = 65536


def blueprint_for(kind: Kind) -> Blueprint:
    """Return the route by which rows of a kind are moved."""
    blp = Blueprint(
        f"{kind.plural}-moves", __name__, url_prefix=f"/{kind.plural}", description="Moves to other shards."
    )

    @blp.route("/<uuid:id>/move", methods=["POST"], endpoint="move")
    @require(f"{kind.name}:move", every_brand=True)
    @blp.arguments(MoveBody)
    @errors(blp, 400, 404, 409, 412, 413, 415, 422)
    @blp.response(202, result_schema(f"{kind.model.__name__}Move", MoveSchema))
    @blp.doc(operationId=f"move_{kind.name}", summary=f"Move a {kind.name} to another shard", parameters=[IDEMPOTENCY])
    def move(body: dict[str, Any], id: uuid.UUID) -> Response:
        """Copy it while it is in service, and switch once both copies are equal."""

        def work(session: Session) -> Outcome:
            row = find(session, kind, id, actor())
            made, job = start.start(session, kind, row, body, actor().name)
            after = {"name": made.name, "source_id": str(made.source_id), "target_id": str(made.target_id)}
            return _outcome(made, job, {}, after)

        return mutate("move", work)

    return blp


def blueprints() -> list[Blueprint]:
    """Return the blueprints of moves."""
    return [moves, *(blueprint_for(kind) for kind in registry if kind.move is not None)]


@moves.route("", endpoint="list")
@require("move:read", every_brand=True)
@moves.arguments(MoveQuery, location="query", unknown=ma.RAISE)
@errors(moves, 400, 422)
@moves.response(200, page_schema("Move", MoveSchema))
@moves.doc(operationId="list_moves", summary="List moves")
def list_(query: dict[str, Any]) -> Response:
    """Return a page of moves."""
    return listed(query, sa.select(*SHOWN), MOVES, TABLE.c)


@moves.route("/<uuid:id>", endpoint="get")
@require("move:read", every_brand=True)
@errors(moves, 404)
@moves.response(200, MoveSchema)
@moves.doc(operationId="get_move", summary="Read one move")
def get(id: uuid.UUID) -> Response:
    """Return a move, while it copies with how far it is now."""
    return found(sa.select(*SHOWN).where(TABLE.c.id == id), _with_progress)


def _with_progress(row: dict[str, Any]) -> dict[str, Any]:
    if row["state"] == "copying" and row["job_id"] is not None:
        row["progress"] = progress_of(row["job_id"]) or row["progress"]
    return row


@moves.route("/<uuid:id>/confirm", methods=["POST"], endpoint="confirm")
@require("move:confirm", every_brand=True)
@errors(moves, 404, 409, 422)
@moves.response(202, result_schema("MoveConfirmation", MoveSchema))
@moves.doc(operationId="confirm_move", summary="Confirm a move", parameters=[IDEMPOTENCY])
def confirm(id: uuid.UUID) -> Response:
    """Drop the copy that stayed behind, with a last dump."""
    return mutate("confirm", _work(id, start.confirm))


@moves.route("/<uuid:id>/retry", methods=["POST"], endpoint="retry")
@require("move:retry", every_brand=True)
@errors(moves, 404, 409, 422)
@moves.response(202, result_schema("MoveRetry", MoveSchema))
@moves.doc(operationId="retry_move", summary="Try a move again", parameters=[IDEMPOTENCY])
def retry(id: uuid.UUID) -> Response:
    """Try a move again that failed or was canceled; what it has copied already is not copied again."""
    return mutate("retry", _work(id, start.retry))


def _work(id_: uuid.UUID, do: Callable[[Session, Move, str], Job | None]) -> Callable[[Session], Outcome]:
    refuse_extras()

    def work(session: Session) -> Outcome:
        move = start.locked(session, id_)
        before = {"state": move.state}
        job = do(session, move, actor().name)
        return _outcome(move, job, before, {"state": move.state, "name": move.name})

    return work


def _outcome(move: Move, job: Job | None, before: dict[str, Any], after: dict[str, Any]) -> Outcome:
    view = {column.key: getattr(move, column.key) for column in SHOWN}
    jobs = [] if job is None else [job]
    return Outcome("move", move.id, view, jobs=jobs, brand_id=move.brand_id, before=before, after=after)


def progress_of(job_id: uuid.UUID) -> dict[str, Any]:
    """Return what a run said last of how far it is."""
    found: dict[str, Any] = {}
    for line in files.tail(state().settings.data_dir, job_id, TAIL):
        if b'"progress"' in line:
            try:
                said = orjson.loads(line).get("progress")
            except orjson.JSONDecodeError:
                continue
            found = said if isinstance(said, dict) else found
    return found
