"""E-mail, through the server of ``HOSTREEVE_SMTP_URL``."""

from __future__ import annotations

import smtplib
import ssl
from dataclasses import dataclass, field
from email.message import EmailMessage
from urllib.parse import unquote, urlsplit

from api.notify.http import Declined, Unreachable

#: Seconds that a step of the conversation may take.
STEP = 10.0
SCHEMES = ("smtp", "smtp+starttls", "smtps")


@dataclass(frozen=True)
class Server:
    """Where e-mail goes."""

    scheme: str
    host: str
    port: int
    user: str = ""
    password: str = field(default="", repr=False)
    tls: ssl.SSLContext = field(default_factory=ssl.create_default_context, repr=False, compare=False)


def server_of(url: str) -> Server | None:
    """Return the server that a URL names, None for an empty one. ValueError never repeats the password."""
    if not url:
        return None
    parts = urlsplit(url)
    try:
        port = parts.port
    except ValueError:
        port = -1
    if parts.scheme not in SCHEMES or not parts.hostname or port == -1 or parts.path not in ("", "/"):
        raise ValueError(f"HOSTREEVE_SMTP_URL must begin with one of {', '.join(s + '://' for s in SCHEMES)}")
    usual = {"smtp": 25, "smtp+starttls": 587, "smtps": 465}[parts.scheme]
    user, password = unquote(parts.username or ""), unquote(parts.password or "")
    if user and parts.scheme == "smtp":
        raise ValueError("HOSTREEVE_SMTP_URL: a password needs smtps:// or smtp+starttls://")
    return Server(parts.scheme, parts.hostname, port or usual, user, password)


def send(server: Server, mail: EmailMessage) -> str:
    """Hand a message over; return what the log says of it. Declined: it took nothing; Unreachable."""
    try:
        with _connect(server) as session:
            if server.user:
                session.login(server.user, server.password)
            refused = session.send_message(mail)
    except smtplib.SMTPRecipientsRefused as error:
        raise Declined(f"refused: {', '.join(sorted(error.recipients))}") from None
    except smtplib.SMTPResponseException as error:
        said = error.smtp_error.decode("ascii", "replace") if isinstance(error.smtp_error, bytes) else error.smtp_error
        raise Declined(f"SMTP {error.smtp_code} {said}"[:300]) from None
    except smtplib.SMTPNotSupportedError as error:
        raise Declined(str(error)[:300]) from None
    except (smtplib.SMTPException, OSError) as error:
        raise Unreachable((str(error) or type(error).__name__)[:300]) from None
    return f"accepted; refused: {', '.join(sorted(refused))}" if refused else "accepted"


def _connect(server: Server) -> smtplib.SMTP:
    if server.scheme == "smtps":
        return smtplib.SMTP_SSL(server.host, server.port, timeout=STEP, context=server.tls)
    session = smtplib.SMTP(server.host, server.port, timeout=STEP)
    try:
        if server.scheme == "smtp+starttls":
            session.starttls(context=server.tls)
    except Exception:
        session.close()
        raise
    return session
