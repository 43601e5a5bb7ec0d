"""What exactly would be run: the playbooks, and the collection whose roles and modules they use.

By content, not by what git calls it: a file that was changed and not committed is another revision.
"""

from __future__ import annotations

from hashlib import sha256
from pathlib import Path

from api.core.settings import ROOT
from api.plan.prediction import digest

COLLECTION = ROOT / "collections" / "ansible_collections" / "hostreeve" / "hosting"
#: Whatever else decides about a run of the platform's own code.
SHARED = (COLLECTION / "roles", COLLECTION / "plugins", ROOT / "ansible.cfg", ROOT / "requirements.yml")


def revision_of(playbooks: Path, commit: str = "") -> str:
    """Return the SHA-256 of what a run with these playbooks consists of; a ``commit`` stands for its files."""
    return digest([commit or _content(playbooks), *map(_content, SHARED)])


def _content(path: Path) -> str:
    total = sha256()
    files = [path] if path.is_file() else sorted(file for file in path.rglob("*") if file.is_file())
    for file in files:
        parts = file.relative_to(path).parts
        if ".git" not in parts and "__pycache__" not in parts:
            data = file.read_bytes()
            total.update(f"{'/'.join(parts)}\0{len(data)}\0".encode() + data)
    return total.hexdigest()
