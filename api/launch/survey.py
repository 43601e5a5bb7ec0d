"""Surveys: the questions that a template asks at its launch, and the answers.

A question: ``{variable, question, description, type, required, min, max, default, choices}``. ``min`` and ``max`` bound
the characters of a text or password, the value of a number, and how many of several choices are taken.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable
from typing import Any

import marshmallow as ma

from api.core.fields import plain
from api.launch.grammar import prose, variable

TYPES = ("text", "textarea", "password", "integer", "float", "choice", "multiple_choice")
TEXTS = ("text", "textarea", "password")
CHOICES = ("choice", "multiple_choice")
#: Why an answer is refused that is not there.
MISSING = "must be answered"
MOST_QUESTIONS, MOST_CHOICES, LONGEST_ANSWER = 100, 200, 65_536
FIELDS = {"variable", "question", "description", "type", "required", "min", "max", "default", "choices"}


def questions(value: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Return the questions of a survey with all their fields; ValueError names what is wrong with which."""
    if len(value) > MOST_QUESTIONS:
        raise ValueError(f"must be at most {MOST_QUESTIONS} questions")
    found: list[dict[str, Any]] = []
    for number, given in enumerate(value, 1):
        try:
            found.append(_question(given))
        except ValueError as error:
            raise ValueError(f"question {number}: {error}") from None
    if len({question["variable"] for question in found}) < len(found):
        raise ValueError("a variable is asked for twice")
    return found


def _question(given: dict[str, Any]) -> dict[str, Any]:
    if unknown := given.keys() - FIELDS:
        raise ValueError(f"unknown field {min(unknown)}")
    question = {"description": "", "type": "text", "required": True, "min": None, "max": None, "default": None,
                "choices": [], **given}  # fmt: skip
    for name in ("variable", "question", "description", "type"):
        if not isinstance(question.get(name), str):
            raise ValueError(f"{name} must be a text")
    variable(question["variable"])
    if not prose(question["question"]).strip():
        raise ValueError("question must not be empty")
    prose(question["description"])
    if question["type"] not in TYPES:
        raise ValueError(f"type must be one of {', '.join(TYPES)}")
    if not isinstance(question["required"], bool):
        raise ValueError("required must be true or false")
    _check_bounds(question)
    _check_choices(question)
    if question["default"] is not None:
        if question["type"] == "password":
            raise ValueError("a password has no default; use a credential")
        question["default"] = answer(question, question["default"])
    return question


def _check_bounds(question: dict[str, Any]) -> None:
    allowed = (int, float) if question["type"] == "float" else (int,)
    for name in ("min", "max"):
        bound = question[name]
        if bound is not None and (isinstance(bound, bool) or not isinstance(bound, allowed)):
            raise ValueError(f"{name} must be a number")
        if bound is not None and question["type"] == "choice":
            raise ValueError(f"{name} is for other types")
    if None not in (question["min"], question["max"]) and question["min"] > question["max"]:
        raise ValueError("min must not be greater than max")


def _check_choices(question: dict[str, Any]) -> None:
    choices = question["choices"]
    if not isinstance(choices, list) or not all(isinstance(choice, str) for choice in choices):
        raise ValueError("choices must be a list of texts")
    if bool(choices) is not (question["type"] in CHOICES):
        raise ValueError("choices are for the types choice and multiple_choice, which need them")
    if len(set(choices)) < len(choices) or len(choices) > MOST_CHOICES:
        raise ValueError(f"choices must be at most {MOST_CHOICES} different texts")


def answer(question: dict[str, Any], value: Any) -> Any:
    """Return the canonical answer to a question; ValueError says why it is refused."""
    return _READ[question["type"]](question, value)


def _text(question: dict[str, Any], value: Any) -> str:
    if not isinstance(value, str):
        raise ValueError("must be a text")
    if len(value) > LONGEST_ANSWER:
        raise ValueError(f"must be at most {LONGEST_ANSWER} characters")
    if question["type"] == "text" and "\n" in value:
        raise ValueError("must be one line")
    _bound(question, len(value), " characters")
    return value


def _number(question: dict[str, Any], value: Any) -> int | float:
    integer = question["type"] == "integer"
    fits = isinstance(value, int) if integer else isinstance(value, int | float) and math.isfinite(value)
    if isinstance(value, bool) or not fits:
        raise ValueError("must be a whole number" if integer else "must be a number")
    _bound(question, value, "")
    return value if integer else float(value)


def _choice(question: dict[str, Any], value: Any) -> str:
    if not isinstance(value, str) or value not in question["choices"]:
        raise ValueError("must be one of the choices")
    return value


def _choices(question: dict[str, Any], value: Any) -> list[str]:
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ValueError("must be a list of texts")
    if not set(value) <= set(question["choices"]) or len(set(value)) < len(value):
        raise ValueError("must be different ones of the choices")
    _bound(question, len(value), " choices")
    return value


_READ: dict[str, Callable[[dict[str, Any], Any], Any]] = {
    **dict.fromkeys(TEXTS, _text),
    **dict.fromkeys(("integer", "float"), _number),
    "choice": _choice,
    "multiple_choice": _choices,
}


def _bound(question: dict[str, Any], size: float, unit: str) -> None:
    low, high = question["min"], question["max"]
    if low is not None and size < low:
        raise ValueError(f"must be at least {low}{unit}")
    if high is not None and size > high:
        raise ValueError(f"must be at most {high}{unit}")


def answers(survey: list[dict[str, Any]], given: dict[str, Any]) -> tuple[dict[str, Any], dict[str, str]]:
    """Return (open answers, secret answers) with the defaults of what was left out.

    ValueError: its argument is ``{variable: [reason]}``.
    """
    asked = {question["variable"]: question for question in survey}
    errors = {name: ["is not asked"] for name in given if name not in asked}
    found: dict[str, Any] = {}
    for name, question in asked.items():
        value = given.get(name)
        if value is None:
            value = question["default"]
        if value is None:
            if question["required"]:
                errors[name] = [MISSING]
            continue
        try:
            found[name] = answer(question, value)
        except ValueError as error:
            errors[name] = [str(error)]
    if errors:
        raise ValueError(errors)
    secret = {name: found.pop(name) for name in list(found) if asked[name]["type"] == "password"}
    return found, secret


def secret_answers(value: str) -> str:
    """Return an object of JSON as text."""
    try:
        found = json.loads(value) if len(value) <= LONGEST_ANSWER else None
        plain(found)
    except (ValueError, RecursionError, ma.ValidationError):
        found = None
    if not isinstance(found, dict):
        raise ValueError("must be an object as JSON text: variable → answer")
    return value
