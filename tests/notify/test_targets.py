"""Where messages go: never inside, whatever a name says, when, or after which redirect."""

from __future__ import annotations

import datetime
import ipaddress
import socket
import ssl
import threading
import time

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from api.notify import http
from api.notify.http import Client, Declined, Unreachable
from api.notify.targets import Policy, Refused, address_of, check_address, parse, policy_of

LOCAL = policy_of("127.0.0.0/8")
INSIDE = [
    *("127.0.0.1", "127.9.9.9", "0.0.0.0", "10.0.0.1", "172.16.0.1", "172.31.255.255", "192.168.1.1", "169.254.1.1"),
    *("169.254.169.254", "100.64.0.1", "100.100.100.200", "192.0.0.192", "198.18.0.1", "224.0.0.1", "240.0.0.1"),
    *(
        "255.255.255.255",
        "192.0.2.1",
        "192.88.99.1",
        "::",
        "::1",
        "fe80::1",
        "fe80::1%eth0",
        "fc00::1",
        "fd00:ec2::254",
    ),
    *("ff02::1", "::ffff:127.0.0.1", "::ffff:a00:1", "::127.0.0.1", "64:ff9b::a00:1", "64:ff9b:1::1", "2002:7f00:1::1"),
    *("2001::1", "2001:db8::1", "fec0::1", "100::1", "3fff::1", "5f00::1"),
]


@pytest.mark.parametrize("text", INSIDE)
def test_inside(text):
    with pytest.raises(Refused):
        check_address(address_of(text), Policy())


@pytest.mark.parametrize("text", ["1.1.1.1", "8.8.8.8", "172.32.0.1", "100.128.0.1", "2606:4700::1111", "2a00:1450::1"])
def test_outside(text):
    check_address(address_of(text), Policy())
    with pytest.raises(Refused, match="https"):
        check_address(address_of(text), Policy(), plain=True)


def test_what_the_operator_allows():
    policy = policy_of("10.1.0.0/16, fd00::/8,169.254.0.0/16")
    check_address(address_of("10.1.2.3"), policy, plain=True)
    check_address(address_of("::ffff:10.1.2.3"), policy)
    check_address(address_of("fd12::1"), policy)
    for text in ("10.2.0.1", "127.0.0.1", "169.254.169.254", "fd00:ec2::254"):
        with pytest.raises(Refused):
            check_address(address_of(text), policy)
    for wrong in ("10.1.0.1/16", "x", "10.0.0.0/33"):
        with pytest.raises(ValueError, match="HOSTREEVE_NOTIFY_ALLOW"):
            policy_of(wrong)


def test_http_only_where_a_network_is_allowed():
    with pytest.raises(Refused, match="https"):
        parse("http://a.example/", Policy())
    assert parse("http://a.example/", LOCAL)


def client(addresses, policy=LOCAL, **kwargs):
    """A client whose names resolve to what the function, or the list, gives."""
    found = addresses if callable(addresses) else lambda host, port: addresses
    return Client(policy, found, **kwargs)


@pytest.mark.parametrize("text", INSIDE)
def test_a_name_that_leads_inside(text, receiver):
    with pytest.raises(Refused):
        client([text], Policy()).post("https://hook.example/", {}, b"")


def test_a_name_that_also_leads_inside(receiver):
    """One bad address among good ones is enough, in either order."""
    for addresses in (["127.0.0.1", "10.0.0.1"], ["10.0.0.1", "127.0.0.1"]):
        with pytest.raises(Refused, match=r"10\.0\.0\.1"):
            client(addresses).post(f"http://hook.example:{receiver.port}/", {}, b"")
    assert receiver.got == []


@pytest.mark.parametrize("host", ["0x7f.1", "2130706433", "017700000001", "127.1", "localhost", "0"])
def test_other_spellings_of_an_address(host):
    """Whether the grammar or the system's resolver sees through it: it is refused."""
    with pytest.raises(Refused):
        Client(Policy()).post(f"https://{host}/", {}, b"")


def test_rebinding(receiver):
    """The name is asked once, and what was checked is what is connected to."""
    answers = iter([["127.0.0.1"], ["10.0.0.1"], ["10.0.0.1"]])
    asked = []

    def changing(host, port):
        asked.append(host)
        return next(answers)

    said = client(changing).post(f"http://hook.example:{receiver.port}/a?b=1", {"X-A": "1"}, b"body")
    assert said == "HTTP 204" and asked == ["hook.example"]
    got = receiver.got[0]
    assert (got.path, got.body, got.headers["Host"]) == ("/a?b=1", b"body", f"hook.example:{receiver.port}")


def test_rebinding_between_hops(receiver):
    """A redirect to the same name asks again, and checks again."""
    answers = iter([["127.0.0.1"], ["169.254.169.254"]])
    receiver.answer = lambda got: (307, {"Location": "/again"}, b"")
    with pytest.raises(Refused):
        client(lambda host, port: next(answers)).post(f"http://hook.example:{receiver.port}/", {}, b"")
    assert len(receiver.got) == 1


@pytest.mark.parametrize(
    "location",
    [
        *("http://169.254.169.254/latest/meta-data/", "http://10.0.0.1/", "https://[::1]/", "file:///etc/passwd"),
        *("gopher://127.0.0.1:70/_x", "//10.0.0.1/", "http://user@127.0.0.1/", "http://inside.example/", "https:///"),
        *("http://[64:ff9b::a9fe:a9fe]/", "javascript:1", "http://127.0.0.1:99999/"),
    ],
)
def test_redirects_inside(receiver, location):
    receiver.answer = lambda got: (307, {"Location": location}, b"")
    resolver = {"hook.example": ["127.0.0.1"], "inside.example": ["10.0.0.1"]}
    with pytest.raises(Refused):
        client(lambda host, port: resolver[host]).post(f"http://hook.example:{receiver.port}/", {}, b"")
    assert len(receiver.got) == 1


def test_redirects_keep_the_post_and_not_the_secrets(receivers):
    first, second = receivers(), receivers()
    first.answer = lambda got: (308, {"Location": f"{second.url}/there"}, b"")
    headers = {"Authorization": "Bearer x", "X-Hostreeve-Topic": "test"}
    assert Client(LOCAL).post(first.url, headers, b"body", ["Authorization"]) == "HTTP 204"
    assert first.got[0].headers["Authorization"] == "Bearer x"
    got = second.got[0]
    assert got.path == "/there" and got.body == b"body" and got.headers["X-Hostreeve-Topic"] == "test"
    assert "Authorization" not in got.headers
    assert got.headers["Host"] == f"127.0.0.1:{second.port}"


@pytest.mark.parametrize("status", [301, 302, 303, 304, 200 + 100, 400, 404, 500, 503])
def test_other_answers(receiver, status):
    receiver.answer = lambda got: (status, {"Location": "/there"}, b"")
    with pytest.raises(Declined, match=f"HTTP {status}"):
        Client(LOCAL).post(receiver.url, {}, b"")
    assert len(receiver.got) == 1


def test_endless_redirects(receiver):
    receiver.answer = lambda got: (307, {"Location": got.path + "x"}, b"")
    with pytest.raises(Declined, match="redirects"):
        Client(LOCAL).post(receiver.url, {}, b"")
    assert len(receiver.got) == 4


def test_proxies_of_the_environment_are_not_used(receiver, monkeypatch):
    for name in ("http_proxy", "https_proxy", "all_proxy", "HTTP_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:9")
    assert Client(LOCAL).post(receiver.url, {}, b"") == "HTTP 204"


def serve(talk):
    """A server that speaks as it likes: ``talk(connection)``; return its port."""
    listener = socket.create_server(("127.0.0.1", 0))

    def loop():
        while True:
            try:
                connection, _ = listener.accept()
            except OSError:
                return
            threading.Thread(target=answer, args=(connection,), daemon=True).start()

    def answer(connection):
        with connection:
            try:
                connection.recv(65536)
                talk(connection)
            except OSError:
                pass

    threading.Thread(target=loop, daemon=True).start()
    return listener.getsockname()[1], listener


def drip(connection):
    """Never idle for long, never done."""
    connection.sendall(b"HTTP/1.1 200 OK\r\n")
    while True:
        connection.sendall(b"X: y\r\n")
        time.sleep(0.1)


def test_slow_answers_end(monkeypatch):
    monkeypatch.setattr(http, "WHOLE", 1.5)
    port, listener = serve(drip)
    began = time.monotonic()
    with listener, pytest.raises(Unreachable, match="in time"):
        Client(LOCAL).post(f"http://127.0.0.1:{port}/", {}, b"")
    assert time.monotonic() - began < 4


def test_silence_ends(monkeypatch):
    monkeypatch.setattr(http, "STEP", 0.5)
    port, listener = serve(lambda connection: time.sleep(20))
    with listener, pytest.raises(Unreachable, match="in time"):
        Client(LOCAL).post(f"http://127.0.0.1:{port}/", {}, b"")


def test_endless_bodies_are_not_read():
    sent = []

    def pour(connection):
        connection.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            connection.sendall(b"x" * 65536)
            sent.append(65536)

    port, listener = serve(pour)
    with listener:
        assert Client(LOCAL).post(f"http://127.0.0.1:{port}/", {}, b"") == "HTTP 200"
    assert sum(sent) < 32 * 1024 * 1024


@pytest.mark.parametrize(
    "said", [b"", b"SSH-2.0-x\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: x\r\n\r\n", b"\0" * 200_000]
)
def test_what_is_not_http(said):
    port, listener = serve(lambda connection: connection.sendall(said))
    with listener, pytest.raises((Unreachable, Declined)):
        Client(LOCAL).post(f"http://127.0.0.1:{port}/", {}, b"")


def test_nobody_there():
    with socket.create_server(("127.0.0.1", 0)) as gone:
        port = gone.getsockname()[1]
    with pytest.raises(Unreachable):
        Client(LOCAL).post(f"http://127.0.0.1:{port}/", {}, b"")
    with pytest.raises(Unreachable, match="does not resolve"):
        Client(LOCAL).post("https://nothing.invalid/", {}, b"")


@pytest.fixture
def certified(receiver, tmp_path):
    """The receiver with TLS, and a certificate for hook.example alone; gives what trusts it."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "hook.example")])
    start = datetime.datetime.now(datetime.UTC) - datetime.timedelta(hours=1)
    certificate = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(1)
        .not_valid_before(start)
        .not_valid_after(start + datetime.timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("hook.example")]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    pem = certificate.public_bytes(serialization.Encoding.PEM)
    (tmp_path / "all.pem").write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
        + pem
    )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(tmp_path / "all.pem")
    names = []
    context.sni_callback = lambda connection, asked, _: names.append(asked)
    receiver.server.socket = context.wrap_socket(receiver.server.socket, server_side=True)
    return ssl.create_default_context(cadata=pem.decode()), names


def test_tls_keeps_the_name(receiver, certified):
    """The connection goes to the address that was checked; SNI, Host and the certificate are the name's."""
    trusting, names = certified
    post = client(["127.0.0.1"], tls=trusting).post
    assert post(f"https://hook.example:{receiver.port}/", {}, b"body") == "HTTP 204"
    assert names == ["hook.example"] and receiver.got[0].headers["Host"] == f"hook.example:{receiver.port}"
    with pytest.raises(Unreachable, match="certificate"):
        post(f"https://other.example:{receiver.port}/", {}, b"")
    with pytest.raises(Unreachable, match="certificate"):
        client(["127.0.0.1"]).post(f"https://hook.example:{receiver.port}/", {}, b"")
    assert len(receiver.got) == 1


def test_no_way_from_https_to_http(receiver, receivers, certified):
    plain = receivers()
    receiver.answer = lambda got: (307, {"Location": plain.url}, b"")
    with pytest.raises(Refused, match="https"):
        client(["127.0.0.1"], tls=certified[0]).post(f"https://hook.example:{receiver.port}/", {}, b"")
    assert plain.got == []


def test_the_system_resolves():
    assert all(ipaddress.ip_address(text).is_loopback for text in http.resolve("localhost", 80))
