"""What the fields of launches may hold. Every function returns the canonical value or raises ValueError."""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterable
from typing import Any

PLAYBOOK = re.compile(r"(?:[A-Za-z0-9_][A-Za-z0-9_.-]*/){0,8}[A-Za-z0-9_][A-Za-z0-9_.-]*\.ya?ml")
#: Ansible's host patterns without regular expressions (~) and files (@).
LIMIT = re.compile(r"[A-Za-z0-9_!&*][A-Za-z0-9_!&*?\[\]:.,-]*")
TAG = re.compile(r"[A-Za-z0-9_][A-Za-z0-9_.:-]{0,63}")
VARIABLE = re.compile(r"[a-z][a-z0-9_]{0,99}")
#: What Ansible computes itself; a variable of such a name would be lost, or break the run.
COMPUTED = {
    *("ansible", "environment", "group_names", "groups", "hostvars", "inventory_dir", "inventory_file"),
    *("inventory_hostname", "inventory_hostname_short", "omit", "play_hosts", "playbook_dir", "role_name"),
    *("role_names", "role_path", "vars"),
}
OURS = ("ansible_", "hostreeve_")
LONGEST_NAME, LONGEST_TEXT, LONGEST_PLAYBOOK, LONGEST_LIMIT = 100, 2000, 200, 4000


def label(value: str) -> str:
    """Return a name for people."""
    if not 1 <= len(value) <= LONGEST_NAME or not value.isprintable() or value != value.strip():
        raise ValueError(f"must be 1 to {LONGEST_NAME} printable characters, without spaces around them")
    return value


def prose(value: str) -> str:
    """Return a text of some lines."""
    if len(value) > LONGEST_TEXT or not all(char.isprintable() or char == "\n" for char in value):
        raise ValueError(f"must be at most {LONGEST_TEXT} printable characters")
    return value


def playbook(value: str) -> str:
    """Return the relative path of a playbook."""
    if len(value) > LONGEST_PLAYBOOK or not PLAYBOOK.fullmatch(value):
        raise ValueError("must be a relative path such as site.yml or web/deploy.yml")
    return value


def limit(value: str) -> str:
    """Return a host pattern, or nothing."""
    if value and (len(value) > LONGEST_LIMIT or not LIMIT.fullmatch(value)):
        raise ValueError("must be a pattern of hosts and groups such as web:&shard_web_a:!web3")
    return value


def tags(value: list[str]) -> list[str]:
    """Return tags of plays and tasks."""
    if len(value) > 50 or not all(TAG.fullmatch(tag) for tag in value):
        raise ValueError("must be at most 50 tags of letters, digits and _ . : -")
    return value


def variable(name: str) -> str:
    """Return the name of a variable that a user may set."""
    if not VARIABLE.fullmatch(name):
        raise ValueError(f"{name!r} cannot be the name of a variable: lower-case letters, digits and _")
    if name.startswith(OURS) or name in COMPUTED:
        raise ValueError(f"{name} is not for users to set")
    return name


def variables(value: dict[str, Any]) -> dict[str, Any]:
    """Return variables with any JSON values."""
    if len(value) > 500:
        raise ValueError("must be at most 500 variables")
    for name in value:
        variable(name)
    no_marks(value)
    return value


def no_marks(value: Any) -> None:
    """Refuse keys by which ansible-core's JSON says what a value is, such as one that may be evaluated."""
    if isinstance(value, dict):
        if marks := [key for key in value if key.startswith("__ansible")]:
            raise ValueError(f"must not hold the key {marks[0]}")
        value = list(value.values())
    if isinstance(value, list):
        for inner in value:
            no_marks(inner)


def arguments(value: dict[str, Any]) -> dict[str, Any]:
    """Return a module's arguments; those that begin with _ are between Ansible and its modules."""
    if len(value) > 100 or not all(VARIABLE.fullmatch(name) for name in value):
        raise ValueError("must be at most 100 names of lower-case letters, digits and _")
    no_marks(value)
    return value


def ids(value: list[str]) -> list[str]:
    """Return different UUIDs in their usual form."""
    found = []
    for text in value:
        try:
            found.append(str(uuid.UUID(text)) if len(text) == 36 else "")
        except ValueError:
            found.append("")
    if not all(found) or len(set(found)) < len(found) or len(found) > 20:
        raise ValueError("must be at most 20 different ids")
    return found


def one_of(allowed: Iterable[str]) -> Any:
    """Return a check for a list of different words."""
    words = tuple(allowed)

    def check(value: list[str]) -> list[str]:
        if not set(value) <= set(words) or len(set(value)) < len(value):
            raise ValueError(f"must be some of {', '.join(words)}")
        return sorted(value, key=words.index)

    return check
