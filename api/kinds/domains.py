"""Who owns a name: zones and FQDNs of different brands never overlap."""

from __future__ import annotations

import uuid
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session, mapped_column

from api.core.db import Name
from api.core.kind import registry


def suffixes(name: str) -> list[str]:
    """Return the names that may be a zone around a name, the longest (itself) first; two labels at least."""
    labels = name.split(".")
    return [".".join(labels[start:]) for start in range(len(labels) - 1)]


def lock(session: Session, name: str) -> None:
    """Let nobody else decide about the same domain meanwhile.

    Names that can contain each other share their last two labels. SQLite has one writer at a time anyway.
    """
    if session.get_bind().dialect.name == "postgresql":
        session.execute(sa.select(sa.func.pg_advisory_xact_lock(sa.func.hashtext(suffixes(name)[-1]))))


def zone_of(session: Session, name: str) -> Any | None:
    """Return the innermost zone of any brand that holds a name, one that is being deleted included."""
    zone = registry["zone"].model
    found = session.scalars(sa.select(zone).where(zone.name.in_(suffixes(name)))).all()
    return max(found, key=lambda row: len(row.name), default=None)


def reverse(name: str) -> str:
    """Return ``com.example.www`` for ``www.example.com``: names inside a name then lie together in an index."""
    return ".".join(reversed(name.split(".")))


def reversed_of(field: str) -> Any:
    """Return the column that holds another one reversed; only queries see it."""
    return mapped_column(
        Name,
        default=lambda context: reverse(context.get_current_parameters()[field]),
        index=True,
        info={"hidden": True},
    )


def below(column: Any, name: str) -> Any:
    """Return the condition for names inside a name; the column holds them reversed."""
    # "/" follows "." in ASCII, so the range is everything that begins with the name and a dot.
    return sa.and_(column > reverse(name) + ".", column < reverse(name) + "/")


def is_foreign(session: Session, name: str, brand_id: uuid.UUID) -> bool:
    """Tell whether a zone of this name would meet a zone or an FQDN of another brand."""
    zone, fqdn = registry["zone"].model, registry["fqdn"].model
    around = sa.select(zone.id).where(zone.name.in_(suffixes(name)), zone.brand_id != brand_id)
    inside = sa.select(zone.id).where(below(zone.reversed, name), zone.brand_id != brand_id)
    names = sa.select(fqdn.id).where(sa.or_(fqdn.fqdn == name, below(fqdn.reversed, name)), fqdn.brand_id != brand_id)
    return any(session.scalar(query.limit(1)) is not None for query in (around, inside, names))
