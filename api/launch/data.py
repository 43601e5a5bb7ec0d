"""What a playbook tells with ``set_stats``: values for later launches, which are data and nothing else."""

from __future__ import annotations

from typing import Any

import marshmallow as ma
import orjson

from api.core.fields import plain
from api.launch.grammar import no_marks, variable

#: Bytes, as JSON.
MOST_TOLD = 65_536


def told(value: Any) -> tuple[dict[str, Any] | None, list[str]]:
    """Return (what is kept, names that no variable may have); None: it is too much, or no plain JSON."""
    if not isinstance(value, dict):
        return None, []
    kept, refused = {}, []
    for name, inner in value.items():
        try:
            no_marks(inner)
            kept[variable(name)] = inner
        except (ValueError, RecursionError):
            refused.append(f"{name:.64}")
    try:
        plain(kept)
        fits = len(orjson.dumps(kept)) <= MOST_TOLD
    except (TypeError, ValueError, ma.ValidationError, RecursionError):
        fits = False
    return (kept if fits else None), refused[:20]
