"""Bad input: 4xx in the envelope, naming the field; nothing written, nothing queued."""

from __future__ import annotations

import io
import json

import pytest
import sqlalchemy as sa

from api.core.audit import Audit
from api.core.fields import Text
from api.core.kind import registry
from api.core.schema import create_schema
from api.jobs.models import Delivery, Job
from tests.api.samples import SAMPLES, deletion


def counts(world):
    with world.session() as session:
        tables = [Audit, Job, Delivery, *(kind.model for kind in registry)]
        return [session.scalar(sa.select(sa.func.count()).select_from(table)) for table in tables]


@pytest.fixture
def untouched(world):
    """Nothing is written while the test runs."""
    before = counts(world)
    yield world
    assert counts(world) == before


LONG = "a" * 250 + ".example"
FQDNS = [LONG, "a;id", "$(id)", "a.example\n", "a\nb.example", "a\0.example", "a b.example", "a.example/x", "",
         "{{ lookup('pipe','id') }}", "WWW.acme.example", "a.example.",
         "BÜCHER.example", "xn--zz.example", "a_b.example",
         "-a.example", "a..example", "a.123", "٣.example", "a。example\n", "\N{ZERO WIDTH JOINER}.example"]  # fmt: skip


@pytest.mark.parametrize("name", FQDNS)
def test_fqdn(untouched, name):
    refused = untouched.admin.post("/fqdns", {"fqdn": name, "webroot_id": untouched["acme-webroot"]})
    assert refused.status_code == 422, refused.text
    assert list(refused.json["error"]["details"]["json"]) == ["fqdn"]
    assert refused.json["error"]["code"] == "VALIDATION_ERROR"


@pytest.mark.parametrize(
    ("name", "stored"),
    [("bücher.acme.example", "xn--bcher-kva.acme.example"), ("xn--bcher-kva.acme.example",) * 2,
     ("日本語.acme.example", "xn--wgv71a119e.acme.example"), ("a" * 63 + ".acme.example",) * 2],
)  # fmt: skip
def test_idn_becomes_its_a_label(world, name, stored):
    assert world.admin.make("fqdns", fqdn=name, webroot_id=world["acme-webroot"])["fqdn"] == stored
    twice = world.admin.post("/fqdns", {"fqdn": stored, "webroot_id": world["acme-webroot"]})
    assert twice.status_code == 409 and twice.json["error"]["details"]["json"] == {"fqdn": ["is taken"]}


def test_templates_are_text(world):
    """What looks like a template is stored as it came where text is allowed; elsewhere it is refused (above)."""
    evil = "{{ lookup('pipe','id') }}"
    tenant = world.admin.make("tenants", brand_id=world["acme"], label=evil)
    webroot = world.admin.make("webroots", tenant_id=world["acme-tenant"], env={"EVIL": evil})
    record = world.admin.make("records", zone_id=world["acme-zone"], name="t", type="TXT", content=evil)
    assert tenant["label"] == webroot["env"]["EVIL"] == record["content"] == evil


RECORDS = [
    ("A", "x", "not an address"), ("A", "x", "1.2.3"), ("A", "x", "192.0.2.1\n"), ("A", "x", "192.0.2.1 ; comment"),
    ("AAAA", "x", "192.0.2.1"), ("CNAME", "x", "a b"), ("CNAME", "x", "-a.example"), ("MX", "x", "mail.acme.example"),
    ("MX", "x", "70000 mail.acme.example"), ("MX", "x", "10 $(id)"), ("SRV", "_a._tcp", "1 2 host.example"),
    ("CAA", "x", "0 issue"), ("NS", "x", "192.0.2.1"), ("PTR", "x", ""), ("TXT", "x", "a\nb"), ("TXT", "x", ""),
    ("TXT", "x", "x" * 5000), ("A", "x", "$INCLUDE /etc/passwd"), ("A", "x", "\\# 4 7f000001"),
]  # fmt: skip


@pytest.mark.parametrize(("type_", "name", "content"), RECORDS)
def test_record_content(untouched, type_, name, content):
    body = {"zone_id": untouched["acme-zone"], "name": name, "type": type_, "content": content}
    refused = untouched.admin.post("/records", body)
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["content"], refused.text


NAMES = ["$GENERATE", "a\n", "a b", "acme.example", "www.acme.example", "a..b", "A", "*.*", "@x", "_x", "a" * 64]


@pytest.mark.parametrize("name", NAMES)
def test_record_name(untouched, name):
    body = {"zone_id": untouched["acme-zone"], "name": name, "type": "A", "content": "192.0.2.5"}
    refused = untouched.admin.post("/records", body)
    assert refused.status_code == 422 and list(refused.json["error"]["details"]["json"]) == ["name"], refused.text


def test_underscore_where_the_type_allows_it(world):
    zone = world["acme-zone"]
    world.admin.make("records", zone_id=zone, name="_dmarc", type="TXT", content="v=DMARC1; p=none")
    world.admin.make("records", zone_id=zone, name="_sip._tcp", type="SRV", content="10 5 5060 sip.acme.example")


BODIES = {
    "broken": (b'{"name": ', 400),
    "twice": (b'{"name": "a", "name": "b"}', 400),
    "nan": (b'{"name": NaN}', 400),
    "bytes": (b'{"name": "\xff"}', 400),
    "digits": (b'{"name": ' + b"9" * 5000 + b"}", 400),
    "deep": (b"[" * 100_000, 400),
    "list": (b"[]", 422),
    "null": (b"null", 422),
    "text": (b'"a"', 422),
    "nothing": (b"", 422),
    "large": (b'{"name": "' + b"a" * 10_000_000 + b'"}', 413),
}


@pytest.mark.parametrize("name", BODIES)
@pytest.mark.parametrize("method", ["POST", "PATCH"])
def test_bodies(untouched, method, name):
    data, status = BODIES[name]
    path = "/regions" if method == "POST" else f"/regions/{untouched['region']}"
    headers = {**untouched.admin.headers, "Content-Type": "application/json"}
    refused = untouched.admin.client.open(path, method=method, data=data, headers=headers)
    if method == "PATCH" and name == "nothing":
        assert refused.status_code == 202 and refused.json["jobs"] == []
        return_unchanged(untouched)
        return
    assert refused.status_code == status, refused.text
    error = refused.json["error"]
    assert error.keys() == {"code", "message", "details", "trace_id"}
    assert refused.headers["X-Trace-Id"] == error["trace_id"] != ""
    if status != 413:
        assert error["details"]["json"]


def test_a_large_body_in_chunks(untouched):
    """Without a Content-Length; the part below the limit would be valid by itself."""
    data = b'{"name": "chunk"}' + b" " * 3_000_000
    answer = untouched.admin.client.post(
        "/regions",
        headers={**untouched.admin.headers, "Content-Type": "application/json", "Transfer-Encoding": "chunked"},
        environ_overrides={"wsgi.input": io.BytesIO(data), "wsgi.input_terminated": True, "CONTENT_LENGTH": ""},
    )
    assert answer.status_code == 413, answer.text


def return_unchanged(world):
    """Take the audit row of an empty change away again, which is no bad input."""
    with world.session() as session, session.begin():
        if session.get_bind().dialect.name == "postgresql":
            session.execute(sa.text("set local session_replication_role = replica"))
        else:
            session.execute(sa.text("drop trigger audit_append_only_delete"))
        session.execute(sa.text("delete from audit where action = 'update'"))


def test_content_type(untouched):
    for kind in ("text/plain", "application/x-www-form-urlencoded", "application/jsonx", ""):
        refused = untouched.admin.client.post(
            "/regions", data=b'{"name": "x"}', headers={**untouched.admin.headers, "Content-Type": kind}
        )
        assert refused.status_code == 415 and refused.json["error"]["code"] == "UNSUPPORTED_MEDIA_TYPE"


def test_extras_are_refused(untouched):
    rest, zone = untouched.admin, untouched["acme-zone"]
    for method, path, body in [
        ("DELETE", f"/zones/{zone}", {"force": True}),
        ("DELETE", f"/zones/{zone}?force=1", None),
        ("POST", f"/zones/{zone}/retry", {"all": 1}),
        ("POST", f"/tenants/{untouched['acme-tenant']}/suspend?now=1", None),
        ("GET", f"/zones/{zone}?fields=name", None),
    ]:
        refused = rest.call(method, path, body)
        assert refused.status_code == 422 and "Unknown field." in refused.text, (method, path, refused.text)


def test_paths(untouched):
    rest = untouched.admin
    for path in ("/zones/1", "/zones/../brands", "/zones/%00", "/nope", "/zones/" + "a" * 5000, "/Zones", "//zones"):
        assert rest.get(path).status_code == 404, path
    for method, path in [("PUT", "/zones"), ("TRACE", "/zones"), ("OPTIONS", "/zones"), ("FOO", "/zones")]:
        refused = rest.call(method, path)
        assert refused.status_code == 405 and refused.json["error"]["code"] == "METHOD_NOT_ALLOWED"
        assert {"GET", "HEAD", "POST"} == set(refused.headers["Allow"].replace(" ", "").split(","))


def test_headers(untouched):
    for key in ("", "a b", "é", "x" * 129):
        refused = untouched.admin.post("/regions", {"name": "r"}, Idempotency_Key=key)
        assert refused.status_code == 422 and refused.json["error"]["details"]["headers"]["Idempotency-Key"]
    refused = untouched.admin.patch(f"/brands/{untouched['acme']}", {}, If_Match="nonsense")
    assert refused.status_code == 412


def test_errors_tell_nothing(world, monkeypatch):
    """An error of ours shows a trace id; neither the exception, nor SQL, nor a path."""
    from api.core import service

    def fail(*_args):
        raise RuntimeError("select secret from /etc/shadow")

    monkeypatch.setattr(service, "create", fail)
    answer = world.admin.post("/regions", {"name": "r"})
    assert answer.status_code == 500 and answer.json["error"]["code"] == "INTERNAL_ERROR"
    assert "shadow" not in answer.text and "Traceback" not in answer.text and answer.json["error"]["trace_id"]


def test_every_field_survives_a_corpus(world):
    """Each string field with each awkward character: refused by name, or stored and returned as it was."""
    characters = "\n\r\0\t'\"\\`$;|&{}%<>()[]*?#!~^,: \x7f\x85\u2028\ud800é😀"
    for name, sample in SAMPLES.items():
        kind = registry[name]
        strings = [field for field, value in create_schema(kind)().fields.items() if isinstance(value, Text)]
        for field in strings:
            for character in characters:
                value = f"a{character}b"
                answer = world.admin.post(f"/{kind.plural}", {**sample.body(world, 6), **{field: value}})
                if answer.status_code == 202:
                    row = answer.json["resource"]
                    assert row.get(field, value) == value, (name, field, character)
                    assert world.admin.delete(deletion(kind, row)).status_code == 202
                else:
                    assert answer.status_code in (404, 409, 422), (name, field, character, answer.text)
                    assert json.dumps(field) in answer.text
