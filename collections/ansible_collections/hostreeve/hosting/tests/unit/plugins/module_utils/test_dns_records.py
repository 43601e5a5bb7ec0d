"""The record grammar: what each type takes, what it refuses, and that dnspython reads every canonical text the same."""

from __future__ import annotations

import string

import dns.rdata
import dns.rdataclass
import dns.rdatatype
import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import records
from hypothesis import given
from hypothesis import strategies as st

SHA256 = "ab" * 32

ACCEPTED = [
    ("A", "192.0.2.1", "192.0.2.1"),
    ("A", " 192.0.2.1 ", "192.0.2.1"),
    ("AAAA", "2001:DB8:0:0::1", "2001:db8::1"),
    ("CAA", "0 issue ca.example.net", '0 issue "ca.example.net"'),
    ("CAA", '128 IssueWild "ca.example.net; account=1"', '128 issuewild "ca.example.net; account=1"'),
    ("CAA", '0 iodef "mailto:a\\"b@example.net"', '0 iodef "mailto:a\\"b@example.net"'),
    ("CNAME", "WWW.example.com", "www.example.com."),
    ("CNAME", "s1._domainkey.mail.example.net.", "s1._domainkey.mail.example.net."),
    ("MX", "10  mail.example.com", "10 mail.example.com."),
    ("MX", "0 .", "0 ."),
    ("NAPTR", '100 10 "s" "SIP+D2U" "" _sip._udp.example.com', '100 10 "s" "SIP+D2U" "" _sip._udp.example.com.'),
    ("NS", "ns1.example.net", "ns1.example.net."),
    ("PTR", "www.example.com", "www.example.com."),
    ("SRV", "010 5 5060 sip.example.com", "10 5 5060 sip.example.com."),
    ("SRV", "0 0 0 .", "0 0 0 ."),
    ("SSHFP", "4 2 " + SHA256.upper(), "4 2 " + SHA256),
    ("TLSA", "3 1 1 " + SHA256, "3 1 1 " + SHA256),
    ("TLSA", "3 0 0 " + "cd" * 400, "3 0 0 " + "cd" * 400),
    ("TXT", "v=spf1 mx -all", '"v=spf1 mx -all"'),
    ("TXT", 'say "hi"; back\\slash', '"say \\"hi\\"; back\\\\slash"'),
    ("TXT", "{{ lookup('pipe','id') }}", "\"{{ lookup('pipe','id') }}\""),
    ("TXT", "$INCLUDE /etc/passwd", '"$INCLUDE /etc/passwd"'),
    ("TXT", "\\# 4 01020304", '"\\\\# 4 01020304"'),
    ("TXT", "grün", '"gr\\195\\188n"'),
    ("TXT", "a" * 300, f'"{"a" * 255}" "{"a" * 45}"'),
]


@pytest.mark.parametrize(("kind", "value", "canonical"), ACCEPTED)
def test_accepted(kind, value, canonical):
    assert records.content(kind, value) == canonical
    if kind != "TXT":
        assert records.content(kind, canonical) == canonical


REFUSED = [
    ("A", "192.0.2.01"),
    ("A", "192.0.2"),
    ("A", "1.2.3.4;id"),
    ("A", "0x7f000001"),
    ("A", "192.0.2.1 192.0.2.2"),
    ("A", "2001:db8::1"),
    ("AAAA", "fe80::1%eth0"),
    ("AAAA", "::ffff:192.0.2.1"),
    ("AAAA", "192.0.2.1"),
    ("CAA", "0 issue"),
    ("CAA", "256 issue ca.example.net"),
    ("CAA", "0 is-sue ca.example.net"),
    ("CAA", '0 issue "ca.example.net'),
    ("CAA", '0 issue ca.example.net"'),
    ("CAA", "0 issue ca.example.net; account=1"),
    ("CAA", '0 issue "' + "a" * 256 + '"'),
    ("CAA", '0 issue "grün"'),
    ("CNAME", "www"),
    ("CNAME", "www..example.com"),
    ("CNAME", "-www.example.com"),
    ("CNAME", "www.example.com.."),
    ("CNAME", "a" * 64 + ".example.com"),
    ("CNAME", ".".join(["a" * 60] * 5)),
    ("CNAME", "www.example.com other.example.com"),
    ("CNAME", "$(id).example.com"),
    ("CNAME", "münchen.example.com"),
    ("MX", "mail.example.com"),
    ("MX", "65536 mail.example.com"),
    ("MX", "-1 mail.example.com"),
    ("MX", "10 _mail.example.com"),
    ("MX", "10 192.0.2.1"),
    ("NAPTR", '100 10 "u" "E2U+sip" "!^.*$!sip:\\\\1@example.com!" .'),
    ("NS", "."),
    ("NS", "ns_1.example.net"),
    ("SRV", "10 5 sip.example.com"),
    ("SRV", "10 5 99999 sip.example.com"),
    ("SSHFP", "4 2 abc"),
    ("SSHFP", "4 2 " + "ab" * 20),
    ("SSHFP", "4 2 " + "zz" * 32),
    ("TLSA", "3 1 1 " + "ab" * 31),
    ("TLSA", "3 1 1 " + "ab" * 16 + " " + "ab" * 16),
    ("TXT", ""),
    ("TXT", "a" * 4097),
    ("TXT", "ü" * 2049),
    ("TXT", "lone \ud800 surrogate"),
    ("TXT", None),
    ("TXT", 5),
    ("TXT", ["v=spf1"]),
]


@pytest.mark.parametrize(("kind", "value"), REFUSED)
def test_refused(kind, value):
    with pytest.raises(records.RecordError) as caught:
        records.content(kind, value)
    assert caught.value.field == "content"
    assert str(caught.value).startswith("content: ")


HOSTILE = ["\n", "\r", "\0", "\t", "\x0b", "\x0c", "\x1b", "\x7f", "\x85"]


@pytest.mark.parametrize("control", HOSTILE)
@pytest.mark.parametrize(("kind", "value", "_canonical"), ACCEPTED)
def test_a_control_character_is_refused_anywhere(kind, value, _canonical, control):
    middle = len(value) // 2
    for hostile in (control + value, value[:middle] + control + value[middle:], value + control):
        with pytest.raises(records.RecordError):
            records.content(kind, hostile)


@pytest.mark.parametrize("directive", ["$INCLUDE /etc/passwd", "$GENERATE 1-9 a A 192.0.2.$", "$ORIGIN x.", "$TTL 1"])
@pytest.mark.parametrize("kind", [kind for kind in records.TYPES if kind != "TXT"])
def test_directives_comments_and_the_generic_form_are_refused(kind, directive):
    sample = next(value for type_, value, _canonical in ACCEPTED if type_ == kind)
    for hostile in (directive, f"{sample} {directive}", f"{sample} ; note", f"( {sample} )", "\\# 4 01020304"):
        with pytest.raises(records.RecordError):
            records.content(kind, hostile)


@pytest.mark.parametrize(
    "kind", ["SOA", "LOC", "RP", "HINFO", "DNSKEY", "RRSIG", "ANY", "a", "TYPE1", "A\n", "", None, 1, ["A"]]
)
def test_other_types_are_refused(kind):
    with pytest.raises(records.RecordError, match=r"^type: must be one of A, "):
        records.record("www", kind, "192.0.2.1")


@pytest.mark.parametrize(
    "name", ["@", "www", "a.b.c", "*", "*.dev", "_dmarc", "s1._domainkey", "_sip._tcp", "a_b", "0", "x" * 63]
)
def test_owner(name):
    assert records.owner(name) == name


@pytest.mark.parametrize(
    "name",
    [
        "",
        ".",
        "www.",
        ".www",
        "a..b",
        "Www",
        "*a",
        "a.*",
        "**",
        "-a",
        "a-",
        "a b",
        "a;id",
        "$(id)",
        "$INCLUDE",
        "a\n",
        "\\065",
        "@.www",
        "x" * 64,
        ".".join(["a" * 50] * 6),
        "bücher",
        None,
        5,
        [],
        {},
    ],
)
def test_owner_refused(name):
    with pytest.raises(records.RecordError, match=r"^name: "):
        records.owner(name)


@pytest.mark.parametrize("kind", sorted(records.HOST_OWNERS))
def test_a_host_record_has_no_underscore_in_its_name(kind):
    with pytest.raises(records.RecordError, match="underscore"):
        records.owner("_a", kind)


@pytest.mark.parametrize("kind", sorted(set(records.TYPES) - records.HOST_OWNERS))
def test_a_service_record_may_have_one(kind):
    assert records.owner("_a._b", kind) == "_a._b"


def test_ns():
    with pytest.raises(records.RecordError, match="come from its name servers"):
        records.record("@", "NS", "ns1.example.net")
    with pytest.raises(records.RecordError, match="wildcard"):
        records.record("*.sub", "NS", "ns1.example.net")
    assert records.record("sub", "NS", "ns1.example.net").content == "ns1.example.net."


@pytest.mark.parametrize("seconds", [30, 300, 604800])
def test_ttl(seconds):
    assert records.ttl(seconds) == seconds


@pytest.mark.parametrize("seconds", [29, 0, -1, 604801, True, 300.0, "300", None, [300]])
def test_ttl_refused(seconds):
    with pytest.raises(records.RecordError, match=r"^ttl: "):
        records.ttl(seconds)


def test_absolute():
    assert records.absolute("@", "example.com") == "example.com"
    assert records.absolute("*.a", "example.com") == "*.a.example.com"
    for name in ("example.com", "www.example.com", "x." + "a" * 60 + ("." + "a" * 60) * 3):
        with pytest.raises(records.RecordError, match=r"^name: "):
            records.absolute(name, "example.com")


@pytest.mark.parametrize(
    ("name", "kind", "existing", "reason"),
    [
        ("www", "A", [("www", "A"), ("www", "TXT")], None),
        ("www", "CNAME", [("@", "A"), ("ftp", "CNAME")], None),
        ("@", "CNAME", [], "apex"),
        ("www", "CNAME", [("www", "TXT"), ("www", "A")], "www has A, TXT"),
        ("www", "CNAME", [("www", "CNAME")], "www has CNAME"),
        ("www", "TXT", [("www", "CNAME")], "www has a CNAME"),
    ],
)
def test_conflict(name, kind, existing, reason):
    found = records.conflict(name, kind, existing)
    assert found is None if reason is None else reason in found


def test_hostmaster():
    assert records.hostmaster("hostmaster@example.net") == "hostmaster.example.net."
    assert records.hostmaster("host.master@example.net") == "host\\.master.example.net."
    for value in (
        "hostmaster",
        "@example.net",
        "a@b",
        "a@@example.net",
        "a b@example.net",
        "A@example.net",
        "a\n@example.net",
        "a.@example.net",
        "a" * 64 + "@example.net",
        None,
        1,
    ):
        with pytest.raises(records.RecordError, match=r"^hostmaster: "):
            records.hostmaster(value)


def test_nameservers():
    assert records.nameservers(["ns1.example.net", "ns2.example.net"]) == ["ns1.example.net.", "ns2.example.net."]
    for value in (
        ["ns1.example.net"],
        ["ns1.example.net"] * 2,
        "ns1.example.net",
        [],
        None,
        ["a", "b"],
        [["x"], ["y"]],
        ["ns1.example.net", "ns2.example.net\n"],
        ["ns1.example.net", 5],
        [f"ns{n}.example.net" for n in range(9)],
    ):
        with pytest.raises(records.RecordError, match=r"^nameservers: "):
            records.nameservers(value)


# --- Properties -------------------------------------------------------------------------------------------------------

TEXT = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)
NEARLY = st.text(string.ascii_letters + string.digits + ' .:-_"\\;$@()#*\t\nü', max_size=60)
KINDS = st.sampled_from(records.TYPES)


def parsed(kind, canonical):
    return dns.rdata.from_text(dns.rdataclass.IN, dns.rdatatype.from_text(kind), canonical, relativize=False)


@given(KINDS, st.one_of(NEARLY, TEXT, st.none(), st.integers(), st.binary(max_size=5)))
def test_any_content_is_refused_or_read_alike_by_another_parser(kind, value):
    try:
        canonical = records.content(kind, value)
    except records.RecordError as error:
        assert error.field == "content"
        return
    assert canonical.isascii() and canonical.isprintable()
    assert parsed(kind, canonical)


@given(TEXT)
def test_a_text_comes_back_byte_for_byte(value):
    try:
        canonical = records.content("TXT", value)
    except records.RecordError:
        return
    strings = parsed("TXT", canonical).strings
    assert b"".join(strings) == value.encode() and all(len(part) <= 255 for part in strings)


number = st.integers(0, 65535).map(str)
label = st.from_regex(r"[a-z0-9]([a-z0-9-]{0,20}[a-z0-9])?", fullmatch=True)
host = st.lists(label, min_size=1, max_size=5).map(lambda labels: ".".join([*labels, "example"]))
small = st.integers(0, 255).map(str)
digits = st.binary(min_size=1, max_size=300).map(bytes.hex)
quotable = st.text(string.ascii_letters + string.digits + ' !#%;"\\', max_size=60)
quoted = quotable.map(lambda text: '"' + text.replace("\\", "\\\\").replace('"', '\\"') + '"')
VALID = st.one_of(
    st.tuples(st.just("A"), st.ip_addresses(v=4).map(str)),
    st.tuples(st.just("CNAME"), host),
    st.tuples(st.just("MX"), st.builds("{} {}".format, number, host)),
    st.tuples(st.just("SRV"), st.builds("{} {} {} {}".format, number, number, number, host)),
    st.tuples(st.just("CAA"), st.builds("{} issue {}".format, small, quoted)),
    st.tuples(st.just("TLSA"), st.builds("{} {} 0 {}".format, small, small, digits)),
    st.tuples(st.just("NAPTR"), st.builds('{} {} "s" "SIP+D2U" "" {}'.format, number, number, host)),
)


@given(VALID)
def test_what_is_right_is_accepted_and_means_the_same(pair):
    kind, value = pair
    canonical = records.content(kind, value)
    assert records.content(kind, canonical) == canonical
    assert parsed(kind, canonical) == parsed(kind, value + "." if kind in ("CNAME", "MX", "SRV", "NAPTR") else value)


@given(st.one_of(NEARLY, TEXT), KINDS)
def test_any_owner_is_refused_or_safe(name, kind):
    try:
        assert records.owner(name, kind) == name
    except records.RecordError as error:
        assert error.field == "name"
        return
    assert set(name) <= set(string.ascii_lowercase + string.digits + "-_.*@")
    dns.name.from_text(f"{name}.example.com." if name != "@" else "example.com.")
