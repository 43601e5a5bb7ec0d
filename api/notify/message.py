"""What a receiver gets: the body, made of the facts or by a template, its signature, and the e-mail."""

from __future__ import annotations

import hashlib
import hmac
import json
import subprocess
import sys
from email.headerregistry import Address
from email.message import EmailMessage
from email.utils import format_datetime, parseaddr
from pathlib import Path
from typing import Any

from api.core.db import now
from api.core.wire import encode
from api.notify import render

#: Seconds that a template may take, its process included.
PATIENCE = 10.0
LONGEST_SUBJECT = 200


class Unfit(Exception):
    """The message cannot be made; sending it again would not help."""


def text_of(template: str, values: dict[str, Any]) -> str:
    """Return what a template makes of values, in a process that has nothing. Unfit names why it cannot."""
    command = [sys.executable, "-I", str(Path(render.__file__))]
    job = json.dumps({"template": template, "values": values}).encode()
    try:
        done = subprocess.run(command, input=job, capture_output=True, env={}, timeout=PATIENCE, check=False, cwd="/")
    except subprocess.TimeoutExpired:
        raise Unfit("body: takes too long") from None
    if done.returncode == 1:
        reason = done.stderr.decode("utf-8", "replace").strip().splitlines() or ["cannot be rendered"]
        raise Unfit(f"body: {reason[-1][:300]}")
    if done.returncode:
        raise Unfit("body: takes too long, or too much memory")
    return done.stdout.decode("utf-8", "replace")


def signature(secret: str, timestamp: str, body: bytes) -> str:
    """Return the value of ``X-Hostreeve-Signature``."""
    digest = hmac.new(secret.encode(), timestamp.encode() + b"." + body, hashlib.sha256).hexdigest()
    return f"sha256={digest}"


def request_of(
    notice: Any, secret: str, template: str | None = None, headers: dict[str, str] | None = None
) -> tuple[dict[str, str], bytes]:
    """Return headers and body of a webhook or call-back."""
    body = text_of(template, notice.payload).encode() if template is not None else encode(notice.payload)
    timestamp = str(int(now().timestamp()))
    ours = {
        "User-Agent": "Hostreeve",
        "Accept": "*/*",
        "X-Hostreeve-Delivery": str(notice.id),
        "X-Hostreeve-Topic": notice.topic,
        "X-Hostreeve-Timestamp": timestamp,
        "X-Hostreeve-Signature": signature(secret, timestamp, body),
    }
    # Names of headers know no case: what the user set takes the place of a default.
    given = {name.lower(): (name, value) for name, value in {"Content-Type": "application/json", **ours}.items()}
    given |= {name.lower(): (name, value) for name, value in (headers or {}).items()}
    return dict(given.values()), body


def mail_of(notice: Any, sender: str, recipients: list[str], template: str | None = None) -> EmailMessage:
    """Return the e-mail of a notice."""
    payload = notice.payload
    mail = EmailMessage()
    name, address = parseaddr(sender)
    domain = address.rpartition("@")[2] or "localhost"
    mail["From"] = Address(name, addr_spec=address)
    mail["To"] = ", ".join(recipients)
    mail["Subject"] = _line(f"[{name or 'Hostreeve'}] {notice.topic}: {payload.get('kind')} {payload.get('name', '')}")
    mail["Date"] = format_datetime(now())
    mail["Message-ID"] = f"<{notice.id}@{domain}>"
    # No out-of-office reply, and no loop.
    mail["Auto-Submitted"] = "auto-generated"
    mail["X-Hostreeve-Delivery"] = str(notice.id)
    mail["X-Hostreeve-Topic"] = notice.topic
    lines = "".join(f"{key}: {_shown(value)}\n" for key, value in payload.items() if value not in (None, "", [], {}))
    mail.set_content(text_of(template, payload) if template is not None else lines)
    return mail


def _line(text: str) -> str:
    """Return a text that fits into a header."""
    return "".join(char if char.isprintable() else " " for char in text).strip()[:LONGEST_SUBJECT]


def _shown(value: Any) -> str:
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    return "".join(char if char.isprintable() else " " for char in text)
