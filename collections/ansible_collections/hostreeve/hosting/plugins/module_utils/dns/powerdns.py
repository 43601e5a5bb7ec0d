# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The PowerDNS of this host: what it serves is read from its SQLite database, changes go through its HTTP API.

One query reads a thousand zones in the time of a few HTTP calls; the API is what keeps PowerDNS's caches, NSEC chain
and signatures right, so nothing is ever written to the database itself.
"""

from __future__ import annotations

import http.client
import json
import os
import re
import select
import socket
import sqlite3
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.dns.zones import Live, Rrset

DatabaseError = sqlite3.Error

ACCOUNT = "hostreeve"  # the account of the zones that are ours
PRIORITIES = ("MX", "SRV")  # PowerDNS keeps their first number in a column of its own
ENDS_IN_NAME = ("CNAME", "MX", "NAPTR", "NS", "PTR", "SRV")  # and drops the dot after such a name
SIGNING = ("CDNSKEY", "CDS", "DNSKEY", "NSEC", "NSEC3", "NSEC3PARAM", "RRSIG")


class ApiError(Exception):
    """An answer of the API other than success; ``status`` is the HTTP status, 0 where there was no answer."""

    def __init__(self, status, message):
        super().__init__(message)
        self.status = status


class Api:
    """PowerDNS's HTTP API on loopback; ``key_file`` holds the line ``api-key=…``."""

    def __init__(self, port, key_file):
        self._port = port
        with open(key_file) as handle:
            self._key = dict(line.strip().split("=", 1) for line in handle if "=" in line)["api-key"]

    def call(self, method, path, body=None):
        """Send a request below the server's root; return the decoded JSON, or None where there is none."""
        connection = http.client.HTTPConnection("127.0.0.1", self._port, timeout=30)
        try:
            headers = {"X-API-Key": self._key, "Content-Type": "application/json"}
            data = None if body is None else json.dumps(body)
            connection.request(method, "/api/v1/servers/localhost" + path, data, headers)
            response = connection.getresponse()
            text = response.read().decode("utf-8", "replace")
        except (OSError, http.client.HTTPException) as error:
            raise ApiError(0, f"PowerDNS does not answer on its API: {error}") from None
        finally:
            connection.close()
        if response.status >= 300:
            try:
                text = json.loads(text)["error"]
            except (ValueError, KeyError, TypeError):
                text = f"PowerDNS answered {response.status} {text.strip()[:200]}"
            raise ApiError(response.status, text)
        return json.loads(text) if text else None

    def zone(self, method, name, action="", body=None):
        """Send a request about a zone; ``name`` has no trailing dot."""
        return self.call(method, f"/zones/{name}.{action}", body)


class Database:
    """Read-only view of PowerDNS's database; a host that has none yet reads as empty."""

    def __init__(self, path):
        self._connection = None
        if os.path.exists(path):
            self._connection = sqlite3.connect(f"file:{path}?mode=ro", uri=True, timeout=10, isolation_level=None)

    def _rows(self, query, *arguments):
        return self._connection.execute(query, arguments).fetchall() if self._connection else []

    def ours(self):
        """Return the names of the zones that carry our account."""
        return [name for (name,) in self._rows("SELECT name FROM domains WHERE account = ?", ACCOUNT)]

    def tsig_key(self, name):
        """Return (algorithm, secret) of a TSIG key, or None."""
        rows = self._rows("SELECT algorithm, secret FROM tsigkeys WHERE name = ?", name)
        return rows[0] if rows else None

    def serials(self, names):
        """Return ``{zone: serial}`` of those zones that have an SOA."""
        rows = self._rows(
            "SELECT d.name, r.content FROM json_each(?) j JOIN domains d ON d.name = j.value"
            " JOIN records r ON r.domain_id = d.id AND r.type = 'SOA' AND r.name = d.name",
            json.dumps(list(names)),
        )
        return {name: int(content.split()[2]) for name, content in rows}

    def zones(self, names):
        """Return ``{name: Live}`` of those zones that exist, whoever they belong to."""
        wanted = json.dumps(list(names))
        zones, tsig, presigned = {}, {}, set()
        for name, kind, value in self._rows(
            "SELECT d.name, m.kind, m.content FROM json_each(?) j JOIN domains d ON d.name = j.value"
            " JOIN domainmetadata m ON m.domain_id = d.id",
            wanted,
        ):
            if kind in ("TSIG-ALLOW-AXFR", "AXFR-MASTER-TSIG"):
                tsig.setdefault(name, set()).add((kind, value.rstrip(".")))
            elif kind == "PRESIGNED" and value == "1":
                presigned.add(name)
        for name, account, kind, primaries, keys in self._rows(
            "SELECT d.name, d.account, d.type, d.master,"
            " EXISTS (SELECT 1 FROM cryptokeys k WHERE k.domain_id = d.id AND k.active)"
            " FROM json_each(?) j JOIN domains d ON d.name = j.value",
            wanted,
        ):
            settings = (kind, tuple(sorted(re.split(r"[,\s]+", primaries or ""))), frozenset(tsig.get(name, ())))
            zones[name] = Live(name, account or "", settings, keys=bool(keys), presigned=name in presigned)
        self._read_records(wanted, zones)
        return zones

    def _read_records(self, wanted, zones):
        found = {}
        for zone, name, kind, ttl, priority, content in self._rows(
            "SELECT d.name, r.name, r.type, r.ttl, r.prio, r.content FROM json_each(?) j"
            " JOIN domains d ON d.name = j.value JOIN records r ON r.domain_id = d.id"
            " WHERE r.type IS NOT NULL AND NOT r.disabled AND r.type NOT IN (SELECT value FROM json_each(?))",
            wanted,
            json.dumps(SIGNING),
        ):
            if kind == "SOA":
                mname, rname, serial, *timers = content.split()
                zones[zone].serial = int(serial)
                zones[zone].soa = (mname, rname, *map(int, timers), ttl)
                continue
            owner = "@" if name == zone else name[: -len(zone) - 1]
            key = (zone, owner, kind)
            lowest, contents = found.get(key, (ttl, set()))
            contents.add(presentation(kind, priority, content))
            found[key] = (min(ttl, lowest), contents)
        for (zone, owner, kind), (ttl, contents) in found.items():
            zones[zone].rrsets[owner, kind] = Rrset(ttl, frozenset(contents))


def presentation(kind, priority, content):
    """A row of the records table in presentation form, as records.content() writes it."""
    if kind in PRIORITIES:
        content = f"{priority} {content}"
    if kind in ENDS_IN_NAME and not content.endswith("."):
        content += "."
    return content


def soa_serials(server, names, timeout):
    """Ask a name server for the SOA of many zones at once over UDP; return ``{zone: serial, or None where refused}``.

    A zone that is missing from the answer got none within ``timeout`` seconds. Raises OSError,
    and ImportError on a host without dnspython.
    """
    import dns.exception
    import dns.message
    import dns.rdatatype

    serials, open_ = {}, set()
    family = socket.AF_INET6 if ":" in server else socket.AF_INET
    deadline = time.monotonic() + timeout
    with socket.socket(family, socket.SOCK_DGRAM) as channel:
        channel.connect((server, 53))
        channel.setblocking(False)
        waiting = list(names)
        while len(serials) < len(names) and time.monotonic() < deadline:
            # A window that fits every socket buffer; what was lost is asked again.
            if not waiting and not open_:
                waiting = [name for name in names if name not in serials]
            while waiting and len(open_) < 64:
                name = waiting.pop()
                query = dns.message.make_query(name, dns.rdatatype.SOA, use_edns=False)
                open_.add((query.id, name))
                channel.send(query.to_wire())
            if not select.select([channel], [], [], 0.4)[0]:
                open_.clear()
                continue
            try:
                answer = dns.message.from_wire(channel.recv(65535), one_rr_per_rrset=True)
                asked = answer.question[0].name.to_text(omit_final_dot=True).lower()
            except (dns.exception.DNSException, IndexError):
                continue
            if (answer.id, asked) in open_:
                open_.discard((answer.id, asked))
                found = [rr[0].serial for rr in answer.answer if rr.rdtype == dns.rdatatype.SOA]
                serials[asked] = found[0] if found and not answer.rcode() else None
    return serials
