"""The survey of a template, asked in the terminal. Questions go to stderr, so that stdout holds results only."""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import Any

import click

from hostctl.errors import Exit, Failure
from hostctl.output import clean

Question = dict[str, Any]


def answers(survey: list[Question], given: dict[str, Any], asking: bool | None = None) -> dict[str, Any]:
    """Return the answers: those that were given, and in a terminal those that a person types.

    Without a terminal the server takes the defaults, or names what it misses. What is wrong is the server's to say too,
    but for what cannot be written as the type that is asked for.
    """
    asking = sys.stdin.isatty() and sys.stderr.isatty() if asking is None else asking
    found = dict(given)
    for question in survey:
        name = question["variable"]
        if name not in found and asking and (value := _ask(question)) is not None:
            found[name] = value
    return found


def typed(survey: list[Question], pairs: tuple[str, ...]) -> dict[str, Any]:
    """Return the answers of options ``VARIABLE=VALUE``; Failure for a secret: no command line holds one."""
    asked = {question["variable"]: question for question in survey}
    found = {}
    for pair in pairs:
        name, sign, text = pair.partition("=")
        if not sign:
            raise click.UsageError("--answer takes VARIABLE=VALUE")
        question = asked.get(name, {"type": "text"})
        if question["type"] == "password":
            raise Failure(
                f"{name} is a secret, which does not stand on a command line: use --answers-file, or a terminal.",
                Exit.USAGE,
            )
        try:
            found[name] = READ[question["type"]](text)
        except ValueError:
            raise Failure(f"{name}: {text} is no {question['type']}.", Exit.USAGE) from None
    return found


def _ask(question: Question) -> Any:
    """Ask until something fits the type; None where nothing was typed and nothing has to be."""
    text = f"{clean(question['question'])}{_hint(question)}"
    if question["description"]:
        click.echo(clean(question["description"]), err=True)
    if question["type"] == "textarea":
        return _lines(text, question)
    default = question["default"]
    shown = ",".join(default) if isinstance(default, list) else default
    while True:
        # An empty default lets the prompt be answered by nothing.
        typed_ = click.prompt(
            text,
            default="" if shown is None else shown,
            show_default=shown is not None,
            hide_input=question["type"] == "password",
            type=str,
            err=True,
        )
        if typed_ == "" and question["required"]:
            click.echo("This must be answered.", err=True)
        elif typed_ == "":
            return None
        else:
            try:
                return READ[question["type"]](typed_)
            except ValueError:
                click.echo(f"This is no {question['type']}.", err=True)


def _lines(text: str, question: Question) -> str | None:
    click.echo(f"{text} (end with a line that holds only a dot):", err=True)
    found = []
    for line in sys.stdin:
        if line.rstrip("\r\n") == ".":
            break
        found.append(line.rstrip("\r\n"))
    return "\n".join(found) if found else question["default"]


def _hint(question: Question) -> str:
    parts = []
    if question["choices"]:
        parts.append("/".join(clean(choice) for choice in question["choices"]))
    if question["type"] == "multiple_choice":
        parts.append("several with commas")
    low, high = question["min"], question["max"]
    if low is not None or high is not None:
        parts.append(f"{'' if low is None else low}..{'' if high is None else high}")
    if not question["required"]:
        parts.append("optional")
    return f" ({'; '.join(parts)})" if parts else ""


def _several(text: str) -> list[str]:
    return [part.strip() for part in text.split(",") if part.strip()]


READ: dict[str, Callable[[str], Any]] = {
    **dict.fromkeys(("text", "textarea", "password", "choice"), str),
    "integer": int,
    "float": float,
    "multiple_choice": _several,
}
