"""Secrets of a run: written into its private directory, which is in memory and ends with it; never into a command line.

What a run says is searched for them, so that a careless task leaves ``***`` in the events and in the output.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import orjson

from api.launch.documents import literal
from api.launch.kinds.credential import environment

REDACTED = "***"
#: Shorter texts would be found everywhere.
SHORTEST = 4


@dataclass
class Given:
    """What credentials become: options and variables of a run, and the texts that it must not say."""

    options: list[str] = field(default_factory=list)
    environment: dict[str, str] = field(default_factory=dict)
    ssh_key: Path | None = None
    hidden: list[str] = field(default_factory=list)


def hand_over(directory: Path, credentials: Iterable[Any], secrets: dict[str, str], variables: dict[str, Any]) -> Given:
    """Write what a run is given below its private directory.

    ``variables`` go before all others that the playbook has; ``secrets`` are those of them that nobody may read.
    """
    given = Given(hidden=list(secrets.values()))
    if variables:
        text = orjson.dumps(literal(variables)).decode()
        given.options.append(f"--extra-vars=@{_file(directory, 'variables.json', text)}")
    for row in credentials:
        given.hidden.append(row.secret)
        if row.type == "environment":
            values = environment(row.secret)
            given.environment |= values
            given.hidden += values.values()
            continue
        text = row.secret.strip("\r\n") + "\n"
        path = _file(directory, f"{row.type}-{row.id}", text)
        if row.type == "ssh_key":
            given.ssh_key = path
            given.hidden += [line for line in text.splitlines() if not line.startswith("-----")]
            if row.username:
                given.environment["ANSIBLE_REMOTE_USER"] = row.username
        elif row.type == "become_password":
            given.options.append(f"--become-password-file={path}")
        else:
            given.options.append(f"--vault-id={row.vault_id or 'default'}@{path}")
    return given


def _file(directory: Path, name: str, text: str) -> Path:
    path = directory / name
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w", encoding="utf-8") as file:
        file.write(text)
    return path


class Mask:
    """Replaces secrets in whatever a run says."""

    def __init__(self, hidden: Iterable[str]) -> None:
        texts = {part for text in hidden for part in (text, text.strip(), *text.splitlines())}
        # As they stand in JSON, too: results are shown so.
        texts |= {json.dumps(text)[1:-1] for text in texts} | {
            json.dumps(text, ensure_ascii=False)[1:-1] for text in texts
        }
        # The longest first: one secret may be the beginning of another.
        self._texts = sorted((text for text in texts if len(text) >= SHORTEST), key=len, reverse=True)

    def __call__(self, value: Any) -> Any:
        """Return a JSON value without the secrets."""
        if not self._texts:
            return value
        if isinstance(value, str):
            for text in self._texts:
                if text in value:
                    value = value.replace(text, REDACTED)
            return value
        if isinstance(value, dict):
            return {self(key): self(inner) for key, inner in value.items()}
        return [self(inner) for inner in value] if isinstance(value, list | tuple) else value
