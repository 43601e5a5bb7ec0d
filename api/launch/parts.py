"""What templates and launches share: the fields that a launch may set, credentials, and the platform's playbooks."""

from __future__ import annotations

import uuid
from collections import Counter
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Session

from api.core.errors import invalid, not_found
from api.core.kind import registry
from api.launch.grammar import PLAYBOOK

#: Fields of a template that its ``ask`` may open.
ASKABLE = (
    "inventory_id",
    "credentials",
    "variables",
    "limit",
    "tags",
    "skip_tags",
    "check",
    "diff",
    "verbosity",
    "forks",
    "timeout",
    "queue",
)
BOUNDS = {"verbosity": (0, 4), "forks": (0, 500), "timeout": (0, 86_400)}
#: A part of the others, not a playbook of its own.
PARTIAL = ("lease.yml",)


def playbooks_of(directory: Path) -> list[str]:
    """Return the platform's own playbooks."""
    return sorted(
        path.name
        for path in directory.glob("*.y*ml")
        if PLAYBOOK.fullmatch(path.name) and path.name not in PARTIAL and path.is_file()
    )


def credentials_of(session: Session, ids: list[str]) -> list[Any]:
    """Return the credentials of a run, kept from deletion. ApiError: one is absent, or two cannot go together."""
    model = registry["credential"].model
    found = {
        str(row.id): row
        for row in session.scalars(
            sa.select(model)
            .where(model.id.in_([uuid.UUID(text) for text in ids]), model.delete_requested.is_(False))
            .with_for_update(read=True, key_share=True)
        )
    }
    if missing := [text for text in ids if text not in found]:
        raise not_found("credentials", f"There is no credential {missing[0]}.")
    rows = [found[text] for text in ids]
    # Several vaults have several passwords, and several sets of variables add up; of the rest a run uses one.
    count = Counter((row.type, row.vault_id) for row in rows if row.type != "environment")
    if twice := [type_ for (type_, _), number in count.items() if number > 1]:
        raise invalid("credentials", f"hold more than one {twice[0]}")
    return rows
