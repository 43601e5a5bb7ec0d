"""Scopes: ``kind:action``. Each is declared where it is required, so the list cannot fall behind the routes."""

from __future__ import annotations

from collections.abc import Iterable
from fnmatch import fnmatchcase

_declared: set[str] = set()


def declare(scope: str) -> str:
    """Add a scope to those that keys may hold."""
    _declared.add(scope)
    return scope


def every() -> list[str]:
    """Return all declared scopes, sorted."""
    return sorted(_declared)


def expand(wanted: Iterable[str]) -> list[str]:
    """Return the scopes that ``*``, ``kind:*``, ``*:action`` and plain scopes stand for.

    ValueError names a pattern that stands for none.
    Wildcards are expanded when a key is issued: a scope that is added later belongs to no older key.
    """
    found: set[str] = set()
    for pattern in wanted:
        matches = [
            scope
            for scope in _declared
            if scope == pattern or ("*" in pattern and fnmatchcase(scope, "*:*" if pattern == "*" else pattern))
        ]
        if not matches or any(char in pattern for char in "?["):
            raise ValueError(f"{pattern} is not a scope")
        found.update(matches)
    return sorted(found)
