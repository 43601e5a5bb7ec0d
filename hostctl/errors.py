"""How a command ends: exit codes that scripts can rely on, and the failure that carries one."""

from __future__ import annotations

from enum import IntEnum
from typing import Any

import click


class Exit(IntEnum):
    """Exit codes; ``docs/hostctl.md`` promises them."""

    OK = 0
    #: the job or the resource failed, or an item of an apply did
    FAILED = 1
    #: the command line or the settings are wrong; click's own code
    USAGE = 2
    NOT_FOUND = 3
    #: the server or the validation refused it; nothing was changed
    REFUSED = 4
    #: no key, a wrong one, or one that may not
    AUTH = 5
    #: the server does not answer, or answers with an error of its own
    UNREACHABLE = 6
    #: it did not end in time; it goes on without us
    TIMEOUT = 7
    #: an error of hostctl itself
    BUG = 70


class Failure(click.ClickException):
    """An end that the user reads about. ``lines`` follow the message; ``error`` is the API's, for ``--json``.

    Both may hold texts of the server as they came: what prints them makes them harmless.
    """

    def __init__(
        self, message: str, code: Exit, lines: list[str] | None = None, error: dict[str, Any] | None = None
    ) -> None:
        super().__init__(message)
        self.code = code
        self.lines = lines or []
        self.error = error or {}

    @property
    def status(self) -> int:
        """The process's exit status."""
        return int(self.code)
