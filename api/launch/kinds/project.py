"""Project: where playbooks come from that are not the platform's own."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.db import Base, Name, Resource
from api.core.errors import invalid, policy
from api.core.kind import Kind, registry
from api.core.state import state
from api.launch.grammar import label, prose

DIRECTORY = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}")
#: No password: that belongs into no row that can be read. No port tricks, no option, no helper (ext::).
URL = re.compile(
    r"(?:https://|ssh://(?:[a-z_][a-z0-9_-]{0,31}@)?)[a-z0-9](?:[a-z0-9.-]{0,251}[a-z0-9])?(?::[0-9]{1,5})?"
    r"(?:/[A-Za-z0-9_~][A-Za-z0-9_.~+-]*)+/?"
    r"|file://(?:/[A-Za-z0-9_][A-Za-z0-9_.+-]*)+/?"
)
REF = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.+/-]{0,198}")


def directory(value: str) -> str:
    """Return the name of a directory below HOSTREEVE_PROJECTS."""
    if not DIRECTORY.fullmatch(value):
        raise ValueError("must be the name of one directory")
    return value


def url(value: str) -> str:
    """Return the address of a git repository."""
    if len(value) > 500 or not URL.fullmatch(value) or ".." in value:
        raise ValueError("must be an https, ssh or file address of a repository, without a password")
    return value


def ref(value: str) -> str:
    """Return the name of a branch or tag, or a commit."""
    if not REF.fullmatch(value) or ".." in value or value.endswith(("/", ".lock", ".")) or "//" in value:
        raise ValueError("must be a branch, a tag or a commit")
    return value


class Project(Resource, Base):
    """A directory or git repository with playbooks."""

    __tablename__ = "project"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": label, "example": "Deployments"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": prose})
    source: Mapped[str] = mapped_column(sa.String(16), info={"choices": ("directory", "git"), "once": True})
    #: of the source directory: a directory below HOSTREEVE_PROJECTS on the workers
    directory: Mapped[str | None] = mapped_column(sa.String(64), info={"check": directory})
    #: of the source git: which repository, and what of it; a commit is the firmest
    url: Mapped[str | None] = mapped_column(sa.String(500), info={"check": url})
    ref: Mapped[str | None] = mapped_column(sa.String(200), info={"check": ref, "example": "v1.4.2"})


def validate(session: Session, row: Any) -> None:
    """Ask for what the source needs, and for a repository that the operator allows."""
    needed = ("directory",) if row.source == "directory" else ("url", "ref")
    for name in ("directory", "url", "ref"):
        if (getattr(row, name) is not None) is not (name in needed):
            raise invalid(name, f"is {'needed' if name in needed else 'not'} for the source {row.source}")
    if row.source == "git" and not allowed(row.url, state().settings.git_urls):
        raise policy("url", "is not among the repositories that HOSTREEVE_GIT_URLS allows")


def allowed(address: str, beginnings: str) -> bool:
    """Tell whether an address begins with one of some (comma separated); the worker asks again."""
    return any(address.startswith(text.strip()) for text in beginnings.split(",") if text.strip())


KIND = registry.add(Kind(Project, plural="projects", platform=True, filters=("source",), validate=validate))
