# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a DNS record may hold: one grammar for the API and for the module on the name server.

A record's fields go in as a user typed them and come out in one canonical form, or RecordError names the field and
the reason. Each type is a row of positive field grammars. The canonical text is what PowerDNS itself writes for the
record, so desired and served records compare as strings; the tests hold it against a second parser, dnspython.
Standard library only: check mode must work on a host that has nothing else yet.
"""

from __future__ import annotations

import re
import socket
from collections.abc import Callable, Iterable
from typing import NamedTuple

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar

TTL_MIN, TTL_MAX, TTL_DEFAULT = 30, 604_800, 3600
CONTENT_MAX = 4096  # bytes of a TXT's text, characters of any other content

#: A label that may hold underscores, as service names and DKIM selectors do.
SERVICE_LABEL = re.compile(r"[a-z0-9_]([a-z0-9_-]{0,61}[a-z0-9_])?")
#: A word, or a quoted string in which only " and \ are escaped: no \DDD, no generic \# form, no comment.
TOKEN = re.compile(r'"(?:[^"\\]|\\["\\])*"|[^ "\\;()]+')
TOKENS = re.compile(rf" *(?:{TOKEN.pattern})(?: +(?:{TOKEN.pattern}))* *")
HEX = re.compile(r"(?:[0-9a-f]{2})+")
MAILBOX = re.compile(r"[a-z0-9]+([._+-][a-z0-9]+)*")


class RecordError(ValueError):
    """A field that breaks its grammar: ``field`` is its name, ``reason`` is fit for a user."""

    def __init__(self, field, reason):
        super().__init__(f"{field}: {reason}")
        self.field = field
        self.reason = reason


class Record(NamedTuple):
    """A record in canonical form: relative lower-case owner (``@`` is the apex), seconds, presentation form."""

    name: str
    type: str
    content: str
    ttl: int


def _number(bits):
    def parse(word):
        if not re.fullmatch(r"[0-9]{1,5}", word) or int(word) >= 1 << bits:
            raise ValueError(f"{word} must be a whole number from 0 to {(1 << bits) - 1}")
        return str(int(word))

    return parse


def _address(family, example):
    def parse(word):
        try:
            # The C library's own spelling, which PowerDNS uses too; it takes neither a zone id nor leading zeros.
            canonical = socket.inet_ntop(family, socket.inet_pton(family, word))
            if ":" in canonical and "." in canonical:  # an IPv4 address in IPv6 clothes: PowerDNS refuses it
                raise ValueError
            return canonical
        except (OSError, ValueError):
            raise ValueError(f"must be an address such as {example}") from None

    return parse


def _name(label=grammar.LABEL, root=False):
    def parse(word):
        if root and word == ".":
            return "."
        name = word.lower().removesuffix(".")
        labels = name.split(".")
        # One label alone is a name that was meant to be relative.
        if len(labels) < 2 or len(name) > 253 or not all(map(label.fullmatch, labels)) or labels[-1].isdigit():
            raise ValueError("must end in an absolute host name such as mail.example.com")
        return name + "."

    return parse


def _hexadecimal(word):
    if not HEX.fullmatch(word.lower()):
        raise ValueError("must end in pairs of hexadecimal digits")
    return word.lower()


def _digest(lengths, algorithm, word):
    """Refuse a digest whose length is not its algorithm's: {number of the algorithm: bytes}."""
    if algorithm in lengths and len(word) != 2 * lengths[algorithm]:
        raise ValueError(f"the digest of algorithm {algorithm} has {2 * lengths[algorithm]} hexadecimal digits")


def _quoted(pattern=r".*", what="a string"):
    def parse(word):
        value = re.sub(r"\\(.)", r"\1", word[1:-1]) if word.startswith('"') else word
        if len(value) > 255 or not value.isascii() or not re.fullmatch(pattern, value):
            raise ValueError(f"{word} must be {what} of plain ASCII, 255 characters at most")
        return _quote(value.encode("ascii"))

    return parse


def _tag(word):
    if not re.fullmatch(r"[a-z0-9]{1,15}", word.lower()):
        raise ValueError("the tag must be a word such as issue, issuewild or iodef")
    return word.lower()


def _no_regexp(word):
    # A wrong regular expression makes the whole zone unreadable for other name servers (BIND drops the transfer).
    if word != '""':
        raise ValueError('the regular expression must be ""; name a replacement instead')
    return word


def _quote(data):
    """One character-string of a TXT in presentation form: bytes outside printable ASCII become \\DDD."""
    out = "".join("\\" + chr(b) if b in b'"\\' else chr(b) if 32 <= b < 127 else f"\\{b:03d}" for b in data)
    return f'"{out}"'


_host, _any_name, _u8, _u16 = _name(), _name(SERVICE_LABEL), _number(8), _number(16)

#: The fields of each type's content and an example for the reason of a refusal; TXT is one raw text and not in here.
FIELDS: dict[str, tuple[tuple[Callable[[str], str], ...], str]] = {
    "A": ((_address(socket.AF_INET, "192.0.2.1"),), "192.0.2.1"),
    "AAAA": ((_address(socket.AF_INET6, "2001:db8::1"),), "2001:db8::1"),
    "CAA": ((_u8, _tag, _quoted()), '0 issue "ca.example.net"'),
    "CNAME": ((_any_name,), "www.example.com"),
    "MX": ((_u16, _name(root=True)), "10 mail.example.com"),
    "NAPTR": (
        (_u16, _u16, _quoted(r"[A-Za-z0-9]*", "flags"), _quoted(r"[A-Za-z0-9+:._-]*", "a service"), _no_regexp,
         _name(SERVICE_LABEL, root=True)),
        '100 10 "s" "SIP+D2U" "" _sip._udp.example.com',
    ),
    "NS": ((_host,), "ns1.example.net"),
    "PTR": ((_any_name,), "www.example.com"),
    "SRV": ((_u16, _u16, _u16, _name(root=True)), "10 5 5060 sip.example.com"),
    "SSHFP": ((_u8, _u8, _hexadecimal), "4 2 and 64 hexadecimal digits"),
    "TLSA": ((_u8, _u8, _u8, _hexadecimal), "3 1 1 and 64 hexadecimal digits"),
}  # fmt: skip

#: Bytes of a digest by the number before it: SHA-1 and SHA-256 of SSHFP; SHA-256 and SHA-512 of TLSA.
DIGESTS = {"SSHFP": {"1": 20, "2": 32}, "TLSA": {"1": 32, "2": 64}}

TYPES = tuple(sorted([*FIELDS, "TXT"]))
#: Types whose owner is a host, so that its labels hold no underscore.
HOST_OWNERS = frozenset({"A", "AAAA", "CAA", "MX", "SSHFP"})


def type_(value):
    """A record type that customers may use, in capitals."""
    if not isinstance(value, str) or value not in TYPES:
        raise RecordError("type", "must be one of " + ", ".join(TYPES))
    return value


def owner(value, kind="TXT"):
    """A record's name relative to its zone; ``@`` is the apex, a leftmost ``*`` a wildcard."""
    if value == "@":
        return value
    message = "must be lower-case and relative to the zone, such as www or *.dev; @ is the zone itself"
    if not isinstance(value, str) or not value:
        raise RecordError("name", message)
    if len(value) > 253:
        raise RecordError("name", "must be 253 characters or less")
    labels = value.split(".")
    if labels[0] == "*":
        if kind == "NS":
            raise RecordError("name", "an NS record cannot be a wildcard")
        labels = labels[1:]
    label = grammar.LABEL if kind in HOST_OWNERS else SERVICE_LABEL
    if not all(label.fullmatch(part) for part in labels):
        if kind in HOST_OWNERS and all(SERVICE_LABEL.fullmatch(part) for part in labels):
            message = f"holds an underscore, which the name of a {kind} record cannot"
        raise RecordError("name", message)
    return value


def ttl(value):
    """Seconds as an int from 30 to 604,800 (a week)."""
    if isinstance(value, bool) or not isinstance(value, int) or not TTL_MIN <= value <= TTL_MAX:
        raise RecordError("ttl", f"must be a whole number of seconds from {TTL_MIN} to {TTL_MAX}")
    return value


def _txt(value):
    data = value.encode("utf-8")
    if not data:
        raise ValueError("must not be empty")
    if len(data) > CONTENT_MAX:
        raise ValueError(f"must be {CONTENT_MAX} bytes or less")
    return " ".join(_quote(data[start : start + 255]) for start in range(0, len(data), 255))


def _fields(kind, value):
    parsers, example = FIELDS[kind]
    words = TOKEN.findall(value) if TOKENS.fullmatch(value) else []
    if len(words) != len(parsers):
        raise ValueError(f"must look like {example}")
    words = [parse(word) for parse, word in zip(parsers, words, strict=True)]
    if kind in DIGESTS:
        _digest(DIGESTS[kind], *words[-2:])
    return " ".join(words)


def content(kind, value):
    """A record's content as canonical presentation text; for TXT the value is the raw text."""
    kind = type_(kind)
    try:
        value = grammar.text(value, CONTENT_MAX)
        canonical = _txt(value) if kind == "TXT" else _fields(kind, value)
    except ValueError as error:
        raise RecordError("content", str(error)) from None
    return canonical


def record(name, kind, value, seconds=TTL_DEFAULT):
    """The Record of four fields as typed; raises RecordError for the first field that breaks its grammar."""
    kind = type_(kind)
    name = owner(name, kind)
    if name == "@" and kind == "NS":
        raise RecordError("type", "the zone's own NS records come from its name servers")
    return Record(name, kind, content(kind, value), ttl(seconds))


def absolute(name, zone):
    """A relative owner as a full name without the trailing dot; raises RecordError where it does not fit the zone."""
    if name == "@":
        return zone
    if name == zone or name.endswith("." + zone):
        raise RecordError("name", f"is relative to the zone: leave out {zone}")
    full = f"{name}.{zone}"
    if len(full) > 253:
        raise RecordError("name", "is longer than 253 characters together with the zone")
    return full


def conflict(name, kind, existing: Iterable[tuple[str, str]]):
    """Why a record cannot stand beside the zone's ``existing`` (name, type) pairs, or None.

    A CNAME stands alone (RFC 1034, 3.6.2) and never at the apex, where SOA and NS are.
    """
    if kind == "CNAME" and name == "@":
        return "a CNAME cannot stand at the zone's apex"
    types = {other for owner_, other in existing if owner_ == name}
    if kind == "CNAME" and types:
        return f"a CNAME stands alone, and {name} has {', '.join(sorted(types))}"
    if "CNAME" in types:
        return f"{name} has a CNAME, which stands alone"
    return None


def hostmaster(value):
    """A zone's contact address as the SOA writes it: ``host.master@example.net`` is ``host\\.master.example.net.``."""
    local, at, domain = value.partition("@") if isinstance(value, str) else ("", "", "")
    try:
        if not at or len(local) > 63 or not MAILBOX.fullmatch(local):
            raise ValueError
        return local.replace(".", "\\.") + f".{grammar.fqdn(domain)}."
    except ValueError:
        raise RecordError("hostmaster", "must be a lower-case mail address such as hostmaster@example.net") from None


def nameservers(value):
    """A zone's name servers: two to eight different host names, returned with the trailing dot, in order."""
    try:
        if not isinstance(value, list) or not 2 <= len(value) <= 8 or len(set(value)) != len(value):
            raise ValueError
        return [grammar.fqdn(name) + "." for name in value]
    except (TypeError, ValueError):
        raise RecordError("nameservers", "must be two to eight different host names such as ns1.example.net") from None
