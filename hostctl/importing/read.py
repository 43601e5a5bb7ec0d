"""Reading an export: JSON of any shape in, values of the wanted type out, or an error that names the field."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import click

from hostctl.errors import Exit, Failure

#: bytes of an export, and how deep values may lie in each other
LARGEST, DEEPEST = 64 * 1024 * 1024, 60


class Malformed(Exception):
    """A field is not what the format says; the text names it."""


class Node:
    """An object of the export and where it stands: ``job_templates[3].related``."""

    def __init__(self, value: Any, path: str) -> None:
        if not isinstance(value, dict):
            raise Malformed(f"{path}: must be an object")
        self.value: dict[str, Any] = value
        self.path = path

    def at(self, name: str) -> str:
        """Return the path of a field."""
        return f"{self.path}.{name}" if self.path else name

    def text(self, name: str, default: str = "") -> str:
        """Return a text; absent and null are the default."""
        found = self.value.get(name)
        if found is None:
            return default
        if not isinstance(found, str):
            raise Malformed(f"{self.at(name)}: must be a text")
        return found

    def flag(self, name: str) -> bool:
        """Return true or false; absent and null are false."""
        found = self.value.get(name)
        if found is not None and not isinstance(found, bool):
            raise Malformed(f"{self.at(name)}: must be true or false")
        return bool(found)

    def number(self, name: str) -> int:
        """Return a whole number; absent and null are 0."""
        found = self.value.get(name)
        if found is not None and (isinstance(found, bool) or not isinstance(found, int)):
            raise Malformed(f"{self.at(name)}: must be a whole number")
        return found or 0

    def node(self, name: str) -> Node | None:
        """Return an object, or None if it is absent or null."""
        found = self.value.get(name)
        return None if found is None else Node(found, self.at(name))

    def items(self, name: str) -> list[Any]:
        """Return a list; absent and null are empty."""
        found = self.value.get(name)
        if found is not None and not isinstance(found, list):
            raise Malformed(f"{self.at(name)}: must be a list")
        return found or []

    def nodes(self, name: str) -> Iterator[Node]:
        """Yield the objects of a list."""
        for number, item in enumerate(self.items(name)):
            yield Node(item, f"{self.at(name)}[{number}]")

    def texts(self, name: str) -> list[str]:
        """Return a list of texts."""
        found = self.items(name)
        if not all(isinstance(item, str) for item in found):
            raise Malformed(f"{self.at(name)}: must be a list of texts")
        return found


def export(path: str) -> Node:
    """Read a file of JSON, or stdin for ``-``; Failure says why it is none."""
    try:
        with click.open_file(path, "rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise Failure(f"{path} cannot be read: {error}", Exit.USAGE) from None
    if len(data) > LARGEST:
        raise Failure(f"{path} is too large: {LARGEST} bytes at most.", Exit.REFUSED)
    try:
        found = json.loads(data, parse_constant=_no_constant, object_pairs_hook=_once)
        _shallow(found)
        return Node(found, "")
    except RecursionError:
        raise Failure(f"{path}: values lie too deep in each other.", Exit.REFUSED) from None
    except Malformed:
        raise Failure(f"{path}: must hold an object, as the export does.", Exit.REFUSED) from None
    except ValueError as error:
        # Not the text around the place: it may be a secret.
        where = f"line {error.lineno}: {error.msg}" if isinstance(error, json.JSONDecodeError) else str(error)
        raise Failure(f"{path} is no JSON: {where}", Exit.REFUSED) from None


def _no_constant(name: str) -> Any:
    raise ValueError(f"{name} is no JSON value")


def _once(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        raise ValueError("a key stands twice in an object")
    return found


def _shallow(value: Any, depth: int = 0) -> None:
    if depth > DEEPEST:
        raise RecursionError
    inner = value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()
    for item in inner:
        _shallow(item, depth + 1)
