"""Credential: a secret that a run is given and nobody is shown."""

from __future__ import annotations

import re
from typing import Any

import sqlalchemy as sa
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from sqlalchemy.orm import Mapped, Session, mapped_column

from api.core.crypto import Secret
from api.core.db import Base, Name, Resource
from api.core.errors import ApiError, invalid
from api.core.kind import Kind, registry
from api.launch.grammar import label, prose

TYPES = ("ssh_key", "become_password", "vault_password", "environment")
LONGEST = 65_536
ENTRY = re.compile(r"([A-Z][A-Z0-9_]{0,63})=(.*)")
#: What would change how a run works, or which programs it starts.
RUNS = re.compile(
    r"(ANSIBLE|AWX|RUNNER|HOSTREEVE|LD|DYLD|SSH|GIT|LC|BASH|MAX_EVENT|NODE|JAVA|OPENSSL)_.*|(PYTHON|PERL|RUBY).*"
)
RESERVED = {
    *("PATH", "HOME", "SHELL", "ENV", "IFS", "LANG", "TZ", "TERM", "USER", "LOGNAME", "PS4", "TMPDIR", "PWD"),
    *("EDITOR", "PAGER"),
}


def secret(value: str) -> str:
    """Return a text of some size."""
    if not 1 <= len(value) <= LONGEST:
        raise ValueError(f"must be 1 to {LONGEST} characters")
    return value


def environment(text: str) -> dict[str, str]:
    """Return the variables of lines ``NAME=value``; ValueError names the line, never the value."""
    found = {}
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip():
            continue
        match = ENTRY.fullmatch(line)
        if match is None:
            raise ValueError(f"line {number} must be NAME=value")
        if match[1] in RESERVED or RUNS.fullmatch(match[1]):
            raise ValueError(f"line {number}: {match[1]} is not for users to set")
        found[match[1]] = match[2]
    return found


def private_key(text: str) -> None:
    """Refuse (ValueError) what is no private key, or one with a passphrase: nobody could type it."""
    data = text.strip().encode() + b"\n"
    load: Any = serialization.load_pem_private_key
    if b"OPENSSH PRIVATE KEY" in data.split(b"\n", 1)[0]:
        load = serialization.load_ssh_private_key
    try:
        load(data, None)
    except TypeError:
        raise ValueError("must be a key without a passphrase; it is encrypted here") from None
    except (ValueError, UnsupportedAlgorithm):
        raise ValueError("must be a private key without a passphrase, in PEM or OpenSSH form") from None


class Credential(Resource, Base):
    """A secret for runs: an SSH key, the password of become or of a vault, environment variables."""

    __tablename__ = "credential"

    name: Mapped[str] = mapped_column(Name, unique=True, info={"check": label, "example": "Deploy key"})
    description: Mapped[str] = mapped_column(sa.Text, default="", info={"check": prose})
    type: Mapped[str] = mapped_column(sa.String(16), info={"choices": TYPES, "once": True})
    #: of an ssh_key: the user of hosts whose inventory names none
    username: Mapped[str | None] = mapped_column(sa.String(32), info={"check": grammar.slug})
    #: of a vault_password, where there are several
    vault_id: Mapped[str | None] = mapped_column(sa.String(32), info={"check": grammar.slug, "example": "prod"})
    secret: Mapped[str] = mapped_column(
        Secret,
        info={
            "secret": True,
            "check": secret,
            "description": "the key, the password, or one NAME=value per line",
        },
    )


def validate(session: Session, row: Any) -> None:
    """Check the secret by its type."""
    for name, type_ in (("username", "ssh_key"), ("vault_id", "vault_password")):
        if getattr(row, name) is not None and row.type != type_:
            raise invalid(name, f"is for the type {type_}")
    try:
        if row.type == "ssh_key":
            private_key(row.secret)
        elif row.type == "environment":
            environment(row.secret)
        elif "\n" in row.secret.strip("\n"):
            raise ValueError("must be one line")
    except ValueError as error:
        raise invalid("secret", str(error)) from None


def before_delete(session: Session, row: Any) -> None:
    """Keep what templates name."""
    model = registry["template"].model
    if any(str(row.id) in used for used in session.scalars(sa.select(model.credentials))):
        raise ApiError(409, "This credential is in use; take it out of the templates first.",
                       details={"has": ["templates"]})  # fmt: skip


KIND = registry.add(
    Kind(
        Credential,
        plural="credentials",
        platform=True,
        filters=("type",),
        validate=validate,
        before_delete=before_delete,
    )
)
