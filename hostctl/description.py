"""The server's ``/openapi.json``, kept in the user's cache and revalidated by its ETag."""

from __future__ import annotations

import hashlib
import json
import os
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import Any

import platformdirs

from hostctl.client import Client
from hostctl.errors import Exit, Failure

PATH = "/openapi.json"


def load(client: Client, *, revalidate: bool = True) -> dict[str, Any]:
    """Return the document; without ``revalidate`` a kept one is good enough, whatever its age."""
    path = cache_path(client.url)
    kept = _read(path)
    if kept and not revalidate:
        return dict(kept["document"])
    headers = {"If-None-Match": kept["etag"]} if kept and kept["etag"] else {}
    # It is public: whoever answers here need not learn the key.
    answer = client.request("GET", PATH, headers=headers, public=True)
    if answer.status_code == 304 and kept:
        return dict(kept["document"])
    document = client.parsed(answer)
    if not isinstance(document, dict) or not isinstance(document.get("paths"), dict):
        raise Failure(f"{client.url}{PATH} is not the description of an API.", Exit.UNREACHABLE)
    # A full or read-only home costs only the next command its speed.
    with suppress(OSError):
        _write(path, {"url": client.url, "etag": answer.headers.get("ETag", ""), "document": document})
    return document


def cache_path(url: str) -> Path:
    """Return where the description of a server is kept."""
    return platformdirs.user_cache_path("hostctl") / f"{hashlib.sha256(url.encode()).hexdigest()[:32]}.json"


def _read(path: Path) -> dict[str, Any] | None:
    try:
        kept = json.loads(path.read_bytes())
        if isinstance(kept["etag"], str) and isinstance(kept["document"]["paths"], dict):
            return dict(kept)
    except (OSError, ValueError, KeyError, TypeError):
        pass
    return None


def _write(path: Path, kept: dict[str, Any]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    file = tempfile.NamedTemporaryFile("w", dir=path.parent, delete=False)  # noqa: SIM115 - closed and renamed below
    try:
        with file:
            json.dump(kept, file)
        os.replace(file.name, path)
    except BaseException:
        os.unlink(file.name)
        raise
