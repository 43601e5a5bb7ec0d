"""Which kinds count for which: a platform-managed record for its FQDN."""

from __future__ import annotations

from functools import cache
from typing import Any

from api.core.kind import Kind, registry


@cache
def _whole_of(name: str) -> str | None:
    kind = registry[name]
    if kind.part_of is None:
        return None
    column = kind.model.__table__.c[kind.part_of]
    return str(next(iter(column.foreign_keys)).column.table.name)


def whole_of(kind: Kind) -> Kind | None:
    """Return the kind of which ``kind`` may be a part."""
    name = _whole_of(kind.name)
    return None if name is None else registry[name]


def parts_of(kind: Kind) -> list[tuple[Kind, Any]]:
    """Return the kinds whose rows count for a row of ``kind``, with the column that names it."""
    return [(part, getattr(part.model, str(part.part_of))) for part in registry if _whole_of(part.name) == kind.name]
