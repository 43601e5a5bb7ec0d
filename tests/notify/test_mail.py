"""E-mail, to real servers: as it should be, with TLS and a password, and what goes wrong."""

from __future__ import annotations

import datetime
import email
import email.policy
import socket
import ssl
import threading
import uuid
from dataclasses import replace

import pytest
from aiosmtpd.controller import Controller
from aiosmtpd.smtp import AuthResult, Session
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.core.announce import announce
from api.notify import mail
from api.notify.http import Declined, Unreachable
from api.notify.mail import server_of
from api.notify.message import mail_of
from api.notify.sender import Sender


class Inbox:
    """Keeps what comes; refuses recipients whose name begins with ``no``."""

    def __init__(self):
        self.mails = []
        self.answer = "250 OK"

    async def handle_RCPT(self, server, session, envelope, address, options):
        if address.startswith("no"):
            return "550 no such user"
        envelope.rcpt_tos.append(address)
        return "250 OK"

    async def handle_DATA(self, server, session: Session, envelope):
        found = email.message_from_bytes(envelope.content, policy=email.policy.default)
        self.mails.append((envelope.mail_from, envelope.rcpt_tos, found, session.ssl is not None, session.auth_data))
        return self.answer


@pytest.fixture
def inbox():
    return Inbox()


@pytest.fixture
def smtp(inbox):
    server = Controller(inbox, hostname="127.0.0.1", port=free_port())
    server.start()
    yield f"smtp://127.0.0.1:{server.port}"
    server.stop()


def free_port():
    with socket.create_server(("127.0.0.1", 0)) as probe:
        return probe.getsockname()[1]


def mail_sender(stage, url):
    settings = replace(stage.settings, smtp_url=url, mail_from="Acme Ops <ops@acme.example>")
    return Sender(settings, stage.engine.maker)


def subscribe(stage, **fields):
    body = {"name": "Mail", "type": "email", "recipients": ["a@b.example"], "topics": ["resource_active"], **fields}
    return stage.rest.make("notifications", **body)


def test_mail(stage, smtp, inbox):
    subscribe(stage, recipients=["a@b.example", "C@D.example"], kinds=["region"])
    stage.rest.make("regions", name="us-1")
    stage.send(mail_sender(stage, smtp))
    sender, recipients, found, _, _ = inbox.mails[0]
    notice = stage.notices()[0]
    assert notice.state == "sent" and notice.answer == "accepted" and notice.target == "mail"
    assert sender == "ops@acme.example" and recipients == ["a@b.example", "C@d.example"]
    assert found["From"] == "Acme Ops <ops@acme.example>" and found["To"] == "a@b.example, C@d.example"
    assert found["Subject"] == "[Acme Ops] resource_active: region us-1"
    assert found["Message-ID"] == f"<{notice.id}@acme.example>" and found["Auto-Submitted"] == "auto-generated"
    text = found.get_content().replace("\r\n", "\n")
    assert "name: us-1\n" in text and "status: active\n" in text and "null" not in text


def test_a_template_makes_the_text(stage, smtp, inbox):
    subscribe(stage, kinds=["region"], body="{{ kind }} {{ name }} ist {{ status }}: größer\n")
    stage.rest.make("regions", name="us-1")
    stage.send(mail_sender(stage, smtp))
    assert inbox.mails[0][2].get_content().strip() == "region us-1 ist active: größer"


@pytest.mark.parametrize(
    "name", ["x\r\nBcc: evil@e.example", "x\nSubject: y", "x\x00y", "\u2028x\r\n\r\nbody", "ü" * 500]
)
def test_headers_cannot_be_injected(stage, smtp, inbox, name):
    """Names of things others announce are data, in the subject and in the text."""
    subscribe(stage, topics=["approval_needed"])
    with stage.engine.transaction() as session:
        facts = {"name": name, "message": f"{name}\n.\n", "more": {name: ["\0", "\ud800"]}}
        announce(session, "approval_needed", "plan", uuid.uuid4(), facts)
    stage.send(mail_sender(stage, smtp))
    (_, recipients, found, _, _) = inbox.mails[0]
    assert recipients == ["a@b.example"] and found["Bcc"] is None and len(found.get_all("Subject")) == 1
    assert "\n" not in found["Subject"] and len(found["Subject"]) <= 200
    assert "topic: approval_needed" in found.get_content()


@pytest.mark.parametrize(
    "recipients",
    [["a@b.example\nBcc: c@d.example"], ["A <a@b.example>"], ["a@b.example, c@d.example"], ["a b@c.example"], []],
)
def test_recipients_are_addresses(stage, recipients):
    body = {"name": "Mail", "type": "email", "recipients": recipients, "topics": ["job_failed"]}
    refused = stage.rest.post("/notifications", body)
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["recipients"]


def test_a_server_that_says_no(stage, smtp, inbox):
    subscribe(stage, kinds=["region"], recipients=["no@b.example"], name="one")
    both = subscribe(stage, kinds=["region"], recipients=["no@b.example", "a@b.example"], name="two")
    stage.rest.make("regions", name="us-1")
    sender = mail_sender(stage, smtp)
    stage.send(sender)
    found = {str(row.notification_id): row for row in stage.notices()}
    partly = found.pop(both["id"])
    assert partly.state == "sent" and partly.answer == "accepted; refused: no@b.example"
    (refused,) = found.values()
    assert refused.state == "failed" and refused.answer == "refused: no@b.example"
    inbox.answer = "451 try again later"
    stage.rest.post(f"/notices/{partly.id}/redeliver")
    stage.send(sender)
    assert stage.notice(partly.id).answer == "SMTP 451 try again later"


def test_no_server(stage):
    subscribe(stage, kinds=["region"])
    stage.rest.make("regions", name="us-1")
    stage.send()
    assert stage.notices()[0].answer == "HOSTREEVE_SMTP_URL is not set"
    stage.later()
    stage.send(mail_sender(stage, f"smtp://127.0.0.1:{free_port()}"))
    assert stage.notices()[0].state == "failed" and "refused" in stage.notices()[0].answer


@pytest.fixture
def certificate(tmp_path):
    """A certificate for localhost; gives (what a server loads, what trusts it)."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "localhost")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(key, hashes.SHA256())
        .public_bytes(serialization.Encoding.PEM)
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    (tmp_path / "all.pem").write_bytes(private + made)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "all.pem")
    return context, ssl.create_default_context(cadata=made.decode())


def notice():
    class Notice:
        id, topic = uuid.uuid4(), "test"
        payload = {"topic": "test", "kind": "notification", "name": "x"}  # noqa: RUF012

    return mail_of(Notice, "ops@acme.example", ["a@b.example"])


def greet(tls, port):
    with (
        socket.create_connection(("127.0.0.1", port)) as plain,
        tls.wrap_socket(plain, server_hostname="localhost") as safe,
    ):
        safe.recv(1024)


@pytest.mark.parametrize("scheme", ["smtp+starttls", "smtps"])
def test_tls_and_a_password(inbox, certificate, scheme):
    theirs, ours = certificate
    asked = []

    def authenticate(server, session, envelope, mechanism, data):
        asked.append((data.login, data.password))
        return AuthResult(success=data.password == b"p@ss:w/rd", handled=False)

    options = (
        {"tls_context": theirs, "require_starttls": True} if scheme == "smtp+starttls" else {"ssl_context": theirs}
    )
    server = Controller(
        inbox,
        hostname="127.0.0.1",
        port=free_port(),
        authenticator=authenticate,
        auth_required=True,
        auth_require_tls=scheme == "smtp+starttls",
        **options,
    )
    if scheme == "smtps":
        # Its own way to see that it is up does not know the certificate's name.
        server._trigger_server = lambda: greet(ours, server.port)
    server.start()
    try:
        url = f"{scheme}://user:p%40ss%3Aw%2Frd@localhost:{server.port}"
        assert mail.send(replace(server_of(url), tls=ours), notice()) == "accepted"
        assert (inbox.mails[0][3] or scheme == "smtps") and asked[-1] == (b"user", b"p@ss:w/rd")
        with pytest.raises(Declined, match="535"):
            mail.send(replace(server_of(url.replace("p%40ss", "wrong")), tls=ours), notice())
        # Nobody is given the password who cannot show a certificate that is trusted.
        count = len(asked)
        with pytest.raises(Unreachable, match="certificate"):
            mail.send(server_of(url), notice())
        assert len(asked) == count
    finally:
        server.stop()


def test_a_server_without_starttls(smtp, inbox):
    with pytest.raises(Declined, match="STARTTLS"):
        mail.send(server_of(smtp.replace("smtp://", "smtp+starttls://")), notice())
    assert inbox.mails == []


def test_a_server_that_is_none():
    listener = socket.create_server(("127.0.0.1", 0))

    def babble():
        while True:
            try:
                with listener.accept()[0] as connection:
                    connection.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")
            except OSError:
                return

    threading.Thread(target=babble, daemon=True).start()
    with listener, pytest.raises((Unreachable, Declined)):
        mail.send(server_of(f"smtp://127.0.0.1:{listener.getsockname()[1]}"), notice())


@pytest.mark.parametrize(
    "url",
    [
        "x",
        "http://a.example",
        "smtp://",
        "smtp://a.example:99999",
        "smtp://user:secret@a.example",
        "smtps://a.example/x",
    ],
)
def test_urls_that_are_refused(url):
    with pytest.raises(ValueError, match="HOSTREEVE_SMTP_URL") as caught:
        server_of(url)
    assert "secret" not in str(caught.value)
