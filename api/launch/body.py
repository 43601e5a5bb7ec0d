"""What a launch may be given, and what becomes of it with its template."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import marshmallow as ma
from ansible_collections.hostreeve.hosting.plugins.module_utils.grammar import slug

from api.core.errors import MESSAGES, ApiError
from api.core.fields import Bool, Int, Object, Text, Uuid
from api.jobs.queue import DEFAULT
from api.launch import grammar
from api.launch.parts import ASKABLE, BOUNDS
from api.launch.survey import answers

_CHECKS: dict[str, Callable[[Any], Any]] = {
    "credentials": grammar.ids,
    "variables": grammar.variables,
    "limit": grammar.limit,
    "tags": grammar.tags,
    "skip_tags": grammar.tags,
    "arguments": grammar.arguments,
    "queue": slug,
    "comment": grammar.prose,
}


class Checked(ma.Schema):
    """A body whose fields have grammars; unknown fields are refused."""

    class Meta:
        """Nothing that a caller sent is dropped in silence."""

        unknown = ma.RAISE

    @ma.post_load
    def _check(self, data: dict[str, Any], **_: Any) -> dict[str, Any]:
        errors = {}
        for name in data.keys() & _CHECKS.keys():
            try:
                data[name] = _CHECKS[name](data[name])
            except ValueError as error:
                errors[name] = [str(error)]
        if errors:
            raise ma.ValidationError(errors)
        return data


def _bounded(name: str) -> Int:
    return Int(validate=ma.validate.Range(*BOUNDS[name]))


class LaunchBody(Checked):
    """What a launch says beyond its template; each field but the answers only if the template asks for it."""

    answers = Object(metadata={"description": "to the survey: variable → answer"})
    variables = Object(metadata={"description": "more variables, and other values of the template's"})
    inventory_id = Uuid(allow_none=True, metadata={"x-refers-to": "inventories"})
    credentials = ma.fields.List(Text(), metadata={"description": "ids, in place of the template's"})
    limit = Text(metadata={"description": "a pattern of hosts and groups", "example": "web:!web3"})
    tags = ma.fields.List(Text())
    skip_tags = ma.fields.List(Text())
    check = Bool()
    diff = Bool()
    verbosity = _bounded("verbosity")
    forks = _bounded("forks")
    timeout = _bounded("timeout")
    queue = Text(metadata={"description": "of the workers that are to run it", "example": "eu"})


class WorkflowLaunchBody(Checked):
    """What a run of a workflow is given."""

    check = Bool(load_default=False, metadata={"description": "every launch in check mode"})
    variables = Object(load_default=dict, metadata={"description": "for every step that asks for them"})


class AdhocBody(Checked):
    """A module, its arguments, and where."""

    module = Text(required=True, metadata={"example": "ansible.builtin.ping"})
    arguments = Object(load_default=dict, metadata={"example": {"cmd": "uptime"}})
    inventory_id = Uuid(allow_none=True, load_default=None, metadata={"x-refers-to": "inventories"})
    limit = Text(required=True, metadata={"description": "a pattern of hosts and groups", "example": "web"})
    credentials = ma.fields.List(Text(), load_default=list)
    become = Bool(load_default=False)
    check = Bool(load_default=False)
    diff = Bool(load_default=False)
    verbosity = Int(load_default=0, validate=ma.validate.Range(*BOUNDS["verbosity"]))
    forks = Int(load_default=0, validate=ma.validate.Range(*BOUNDS["forks"]))
    timeout = Int(load_default=0, validate=ma.validate.Range(*BOUNDS["timeout"]))
    queue = Text(load_default=DEFAULT, metadata={"example": "eu"})


class DecisionBody(Checked):
    """What is said to an approval, or to its refusal."""

    comment = Text(load_default="", metadata={"description": "for those who read it later"})


class CopyBody(ma.Schema):
    """The name of the copy."""

    class Meta:
        """Nothing that a caller sent is dropped in silence."""

        unknown = ma.RAISE

    name = Text(required=True)


def merged(template: Any, body: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (fields of the launch, secret variables); ApiError 422 names every field that is not allowed."""
    refused: dict[str, Any] = {
        name: ["may not be set at the launch of this template"]
        for name in body
        if name in ASKABLE and name not in template.ask
    }
    found: dict[str, Any] = {}
    secrets: dict[str, str] = {}
    try:
        found, secrets = answers(template.survey, body.get("answers", {}))
    except ValueError as error:
        refused["answers"] = error.args[0]
    if refused:
        raise ApiError(422, MESSAGES[422], details={"json": refused})
    fields = {name: body.get(name, getattr(template, name)) for name in ASKABLE}
    # What a launch says goes before what the template says; an answer goes before both.
    variables = {**template.variables, **body.get("variables", {}), **found}
    fields["variables"] = {name: value for name, value in variables.items() if name not in secrets}
    return fields, secrets


def refers(value: uuid.UUID | None) -> str | None:
    """Return an id as JSON."""
    return None if value is None else str(value)
