"""What a process of the worker needs to reach the database and the queue."""

from __future__ import annotations

import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import sqlalchemy as sa
from sqlalchemy.orm import Session

import api.kinds  # noqa: F401 - fills the registry
from api.auth import models as _models  # noqa: F401 - tables that statuses and audits refer to
from api.core import crypto
from api.core.db import Maker, engine_for, maker_for, unit_of_work
from api.core.settings import Settings
from api.jobs.queue import DEFAULT, Publisher
from api.jobs.waiting import waiting_for
from api.notify.mail import server_of
from api.notify.targets import policy_of


@dataclass(frozen=True)
class Context:
    """Settings, database and queue; connections are made when they are first used, so a fork before that is safe."""

    settings: Settings
    engine: sa.Engine
    maker: Maker
    publish: Publisher
    #: the queue that this worker listens on
    queue: str = DEFAULT

    @contextmanager
    def transaction(self) -> Iterator[Session]:
        """One transaction; jobs that it made are published after the commit."""
        with unit_of_work(self.maker, self.publish) as session:
            yield session


def wake(context: Context, hosts: Iterable[str], shard_id: uuid.UUID | None = None) -> None:
    """Tell the queue at once what waits for hosts that are free now, and for a shard."""
    try:
        with context.maker() as session:
            waiting = waiting_for(session, hosts, shard_id)
    except sa.exc.SQLAlchemyError:
        return
    for job_id in waiting:
        context.publish(job_id)


#: A socket's path has 107 characters; ansible-core and ssh append up to 30 to the directory of their sockets.
LONGEST_RUN_DIR = 70


def context_for(settings: Settings, queue: str = DEFAULT) -> Context:
    """Return a context; nothing is connected yet. ValueError if a setting cannot work."""
    if len(str(settings.run_dir.resolve())) > LONGEST_RUN_DIR:
        raise ValueError(f"HOSTREEVE_RUN_DIR must have at most {LONGEST_RUN_DIR} characters: sockets lie below it")
    policy_of(settings.notify_allow)
    server_of(settings.smtp_url)
    crypto.use(settings.secret_key)
    engine = engine_for(settings.database_url)
    maker = maker_for(engine)
    sa.orm.configure_mappers()
    return Context(settings, engine, maker, Publisher(settings, maker), queue)
