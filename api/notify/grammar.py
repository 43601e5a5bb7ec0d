"""What the fields of notifications may hold. Every function returns the canonical value or raises ValueError."""

from __future__ import annotations

import re

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar

from api.core.announce import TOPICS
from api.launch.grammar import one_of
from api.notify import render

LONGEST_BODY, MOST_RECIPIENTS, MOST_HEADERS, MOST_KINDS = 8192, 20, 20, 50
_LOCAL = re.compile(r"[A-Za-z0-9_+-]+(\.[A-Za-z0-9_+-]+)*")
_TOKEN = re.compile(r"[A-Za-z][A-Za-z0-9-]{0,63}")
_VALUE = re.compile(r"[\x21-\x7e]([\x20-\x7e]{0,998}[\x21-\x7e])?")
_KIND = re.compile(r"[a-z][a-z_]{0,31}")
#: What the connection is made of, what we sign by, and what everybody would see who may read the notification.
_OURS = {
    *("host", "connection", "content-length", "transfer-encoding", "te", "trailer", "upgrade", "expect", "keep-alive"),
    *("authorization", "cookie", "accept-encoding", "via", "forwarded"),
}
_PREFIXES = ("x-hostreeve-", "proxy-", "x-forwarded-")

_topics = one_of(TOPICS)


def topics(value: list[str]) -> list[str]:
    """Return what a notification is about."""
    if not value:
        raise ValueError(f"must be some of {', '.join(TOPICS)}")
    found: list[str] = _topics(value)
    return found


def kinds(value: list[str]) -> list[str]:
    """Return names that may be kinds; which there are is known later."""
    if len(value) > MOST_KINDS or not all(_KIND.fullmatch(name) for name in value):
        raise ValueError(f"must be at most {MOST_KINDS} names of kinds")
    return sorted(set(value))


def mailbox(value: str) -> str:
    """Return an e-mail address, without a name around it."""
    local, at, domain = value.rpartition("@")
    if not at or len(local) > 64 or not _LOCAL.fullmatch(local):
        raise ValueError("must be e-mail addresses such as ops@example.net")
    try:
        return f"{local}@{grammar.fqdn(domain.lower())}"
    except ValueError:
        raise ValueError("must be e-mail addresses such as ops@example.net") from None


def recipients(value: list[str]) -> list[str]:
    """Return different e-mail addresses."""
    found = list(dict.fromkeys(mailbox(text) for text in value))
    if len(found) > MOST_RECIPIENTS:
        raise ValueError(f"must be at most {MOST_RECIPIENTS} e-mail addresses")
    return found


def headers(value: dict[str, str]) -> dict[str, str]:
    """Return headers of a request that are neither secret nor ours."""
    if len(value) > MOST_HEADERS:
        raise ValueError(f"must be at most {MOST_HEADERS} headers")
    if len({name.lower() for name in value}) < len(value):
        raise ValueError("hold a header twice")
    for name, text in value.items():
        if not _TOKEN.fullmatch(name) or not _VALUE.fullmatch(text):
            raise ValueError("must be names and values of visible ASCII characters")
        if name.lower() in _OURS or name.lower().startswith(_PREFIXES):
            raise ValueError(f"{name} is not for users to set" + (
                "; there is a field authorization" if name.lower() == "authorization" else ""))  # fmt: skip
    return value


def header_value(value: str) -> str:
    """Return the value of a header."""
    if not _VALUE.fullmatch(value):
        raise ValueError("must be 1 to 1000 visible ASCII characters, such as Bearer and a token")
    return value


def secret(value: str) -> str:
    """Return a secret that is worth something."""
    if not 16 <= len(value) <= 256 or not value.isascii() or not value.isprintable():
        raise ValueError("must be 16 to 256 printable ASCII characters")
    return value


def body(value: str) -> str:
    """Return a template."""
    if len(value) > LONGEST_BODY:
        raise ValueError(f"must be at most {LONGEST_BODY} characters")
    render.check(value)
    return value
