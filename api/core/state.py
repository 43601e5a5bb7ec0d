"""What an application holds: settings, database, queue; and the reading session of a request."""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from flask import current_app
from redis import Redis
from sqlalchemy.orm import Session

from api.core.db import Maker
from api.core.settings import Settings

EXTENSION = "hostreeve"


@dataclass(frozen=True)
class State:
    """The parts of an application that requests use."""

    settings: Settings
    engine: sa.Engine
    maker: Maker
    #: an engine without transactions
    reader: sa.Engine
    redis: Redis
    #: tells the queue about a job; never raises
    publish: Callable[[uuid.UUID], None]


def state() -> State:
    """Return the state of the current application."""
    found: State = current_app.extensions[EXTENSION]
    return found


@contextmanager
def reading() -> Iterator[Session]:
    """A session for reading only: each statement sees the newest data, and no transaction is opened or closed."""
    with Session(state().reader) as session:
        yield session
