"""API keys: issue, find, revoke.

A key is ``hr_<prefix>_<secret>``. It is found by its prefix and compared in constant time by the hash of the whole.
What was found stays in the process for ``CACHE_SECONDS``, so a revocation reaches every process within that time.
"""

from __future__ import annotations

import hashlib
import hmac
import re
import secrets
import threading
import time
import uuid
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

import sqlalchemy as sa
import structlog
from sqlalchemy.orm import Session

from api.auth.models import ApiKey
from api.auth.scopes import expand
from api.core.db import Maker, now
from api.core.names import random_name

log = structlog.get_logger()

CACHE_SECONDS = 5.0
CACHE_MOST = 10_000
USED_EVERY = timedelta(minutes=5)
KEY = re.compile(r"hr_([a-z0-9]{10})_[A-Za-z0-9_-]{43}")


@dataclass(frozen=True)
class Actor:
    """Who asks: a key, what it may do, and for which brands (None: all of them)."""

    id: uuid.UUID
    name: str
    scopes: frozenset[str]
    brands: frozenset[uuid.UUID] | None
    expires_at: datetime | None = None

    def may_see(self, brand_id: uuid.UUID | None) -> bool:
        """Tell whether a row of a brand exists for this actor."""
        return self.brands is None or brand_id in self.brands


def issue(
    session: Session,
    name: str,
    scopes: Iterable[str],
    brands: Iterable[str],
    *,
    expires_at: datetime | None = None,
    created_by: uuid.UUID | None = None,
) -> tuple[ApiKey, str]:
    """Add a key; return its row and the key itself, which is nowhere else. ValueError names an unknown scope."""
    prefix = random_name("")
    token = f"hr_{prefix}_{secrets.token_urlsafe(32)}"
    row = ApiKey(
        name=name,
        prefix=prefix,
        hash=_hash(token),
        scopes=expand(scopes),
        brands=sorted(set(brands)),
        expires_at=expires_at,
        created_by=created_by,
    )
    session.add(row)
    session.flush()
    return row, token


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


class Keyring:
    """Finds the actor of a key, with a cache of a few seconds."""

    def __init__(self, maker: Maker, reader: sa.Engine) -> None:
        self._maker = maker
        self._reader = reader
        self._cache: dict[str, tuple[float, Actor]] = {}
        self._lock = threading.Lock()

    def find(self, token: str) -> Actor | None:
        """Return the actor of a valid key, or None."""
        match = KEY.fullmatch(token)
        if match is None:
            return None
        digest = _hash(token)
        cached = self._cache.get(digest)
        if cached is not None and time.monotonic() - cached[0] < CACHE_SECONDS:
            return cached[1] if _alive(cached[1].expires_at) else None
        actor = self._load(match[1], digest)
        with self._lock:
            self._cache.pop(digest, None)
            if actor is not None:
                if len(self._cache) >= CACHE_MOST:
                    self._cache.clear()
                self._cache[digest] = (time.monotonic(), actor)
        return actor

    def forget(self) -> None:
        """Drop what is cached: a revocation in this process holds at once."""
        with self._lock:
            self._cache.clear()

    def _load(self, prefix: str, digest: str) -> Actor | None:
        with Session(self._reader) as session:
            row = session.scalar(sa.select(ApiKey).where(ApiKey.prefix == prefix))
        if row is None or not hmac.compare_digest(row.hash, digest):
            return None
        if row.revoked_at is not None or not _alive(row.expires_at):
            return None
        if row.last_used_at is None or now() - row.last_used_at > USED_EVERY:
            self._touch(row.id)
        return Actor(
            row.id,
            row.name,
            frozenset(row.scopes),
            None if row.brands == ["*"] else frozenset(map(uuid.UUID, row.brands)),
            row.expires_at,
        )

    def _touch(self, key_id: uuid.UUID) -> None:
        try:
            with self._maker.begin() as session:
                session.execute(sa.update(ApiKey).where(ApiKey.id == key_id).values(last_used_at=now()))
        except sa.exc.DBAPIError as error:
            # Knowing when a key was used is not worth refusing a request.
            log.warning("last_used_not_written", error=type(error).__name__)


def _alive(expires_at: datetime | None) -> bool:
    return expires_at is None or now() < expires_at
