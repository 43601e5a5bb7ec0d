"""Table of the API keys."""

from __future__ import annotations

import uuid
from datetime import datetime

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, mapped_column

from api.core.db import Base, Id, now


class ApiKey(Base):
    """A key of a portal or a person. Only the hash of its secret is stored: the key itself is shown once."""

    __tablename__ = "api_key"

    id: Mapped[Id]
    name: Mapped[str] = mapped_column(sa.String(64))
    #: the public half, by which a key is found and recognised
    prefix: Mapped[str] = mapped_column(sa.String(16), unique=True)
    #: SHA-256 in hex; the secret has 256 random bits, so a slow hash would only slow down requests
    hash: Mapped[str] = mapped_column(sa.String(64))
    #: scopes as ``kind:action``, without wildcards
    scopes: Mapped[list[str]]
    #: ids of brands, or ``*`` alone
    brands: Mapped[list[str]]
    created_by: Mapped[uuid.UUID | None]
    created_at: Mapped[datetime] = mapped_column(default=now)
    expires_at: Mapped[datetime | None]
    revoked_at: Mapped[datetime | None]
    #: coarse: written at most every five minutes
    last_used_at: Mapped[datetime | None]

    __table_args__ = (sa.Index(None, "created_at", "id"),)
