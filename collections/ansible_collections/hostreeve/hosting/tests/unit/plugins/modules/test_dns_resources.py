"""The parts of the module that need no PowerDNS: what it reads from the database, how it isolates a refused rrset.

Everything else runs against real name servers in extensions/molecule/dns.
"""

from __future__ import annotations

import sqlite3
from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import powerdns, zones
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns.zones import Rrset
from ansible_collections.hostreeve.hosting.plugins.modules import dns_resources

TIMERS = {"ttl": 3600, "refresh": 10800, "retry": 3600, "expire": 604800, "minimum": 300}
TABLES = """
CREATE TABLE domains (id INTEGER PRIMARY KEY, name, master, type, account);
CREATE TABLE records (domain_id, name, type, content, ttl, prio, disabled DEFAULT 0);
CREATE TABLE domainmetadata (domain_id, kind, content);
CREATE TABLE cryptokeys (domain_id, active);
CREATE TABLE tsigkeys (name, algorithm, secret);
INSERT INTO domains VALUES
 (1, 'example.com', '', 'MASTER', 'hostreeve'), (2, 'copy.test', '192.0.2.1', 'SLAVE', 'hostreeve'),
 (3, 'stranger.test', NULL, 'NATIVE', NULL);
INSERT INTO records (domain_id, name, type, content, ttl, prio) VALUES
 (1, 'example.com', 'SOA', 'ns1.example.net hostmaster.example.net 17 10800 3600 604800 300', 3600, 0),
 (1, 'example.com', 'MX', 'mail.example.net', 300, 10),
 (1, 'www.example.com', 'A', '192.0.2.1', 60, 0), (1, 'www.example.com', 'A', '192.0.2.2', 60, 0),
 (1, 'a.b.example.com', 'TXT', '"x."', 60, 0), (1, 'b.example.com', NULL, NULL, NULL, NULL),
 (2, 'copy.test', 'SOA', 'ns1.example.net hostmaster.example.net 4294967295 1 2 3 4', 60, 0),
 (2, 'copy.test', 'RRSIG', 'SOA 13 2', 60, 0), (2, 'copy.test', 'DNSKEY', '257 3 13', 60, 0);
INSERT INTO domainmetadata VALUES
 (1, 'TSIG-ALLOW-AXFR', 'hostreeve.'), (1, 'SOA-EDIT-API', ''),
 (2, 'AXFR-MASTER-TSIG', 'hostreeve.'), (2, 'PRESIGNED', '1');
INSERT INTO cryptokeys VALUES (1, 1);
INSERT INTO tsigkeys VALUES ('hostreeve', 'hmac-sha256', 'c2VjcmV0');
"""


@pytest.fixture
def database(tmp_path):
    with sqlite3.connect(tmp_path / "pdns.sqlite3") as connection:
        connection.executescript(TABLES)
    connection.close()
    return powerdns.Database(str(tmp_path / "pdns.sqlite3"))


def test_zones_as_they_are(database):
    found = database.zones(["example.com", "copy.test", "stranger.test", "none.test"])
    assert set(found) == {"example.com", "copy.test", "stranger.test"}
    zone = found["example.com"]
    assert zone.settings == ("MASTER", ("",), frozenset({("TSIG-ALLOW-AXFR", "hostreeve")}))
    assert zone.soa == ("ns1.example.net", "hostmaster.example.net", 10800, 3600, 604800, 300, 3600)
    assert zone.serial == 17 and zone.signed and not zone.presigned
    assert zone.rrsets == {
        ("@", "MX"): Rrset(300, frozenset({"10 mail.example.net."})),
        ("www", "A"): Rrset(60, frozenset({"192.0.2.1", "192.0.2.2"})),
        ("a.b", "TXT"): Rrset(60, frozenset({'"x."'})),
    }
    copy = found["copy.test"]
    assert copy.settings[:2] == ("SLAVE", ("192.0.2.1",)) and copy.signed and not copy.rrsets
    assert found["stranger.test"].account == ""


def test_the_rest_of_the_database(database):
    assert sorted(database.ours()) == ["copy.test", "example.com"]
    assert database.serials(["example.com", "copy.test", "none.test"]) == {"example.com": 17, "copy.test": 4294967295}
    assert database.tsig_key("hostreeve") == ("hmac-sha256", "c2VjcmV0") and database.tsig_key("other") is None


def test_a_host_without_a_database(tmp_path):
    database = powerdns.Database(str(tmp_path / "none"))
    assert (database.ours(), database.zones(["example.com"]), database.tsig_key("hostreeve")) == ([], {}, None)
    assert not (tmp_path / "none").exists()


class Picky:
    """An API that refuses a request with any of some names in it, as PowerDNS refuses a bad record."""

    def __init__(self, *bad):
        self.bad, self.zones = set(bad), []

    def take(self, rrsets):
        if any(entry["name"] in self.bad for entry in rrsets):
            raise powerdns.ApiError(422, "refused")
        self.zones.append({entry["name"] + entry["type"]: entry for entry in rrsets})

    def zone(self, _method, _name, _action="", body=None):
        self.take(body["rrsets"])

    def call(self, _method, path, body=None):
        if not path.startswith("/cache/flush"):
            self.take(body["rrsets"])


def primary(api):
    params = {"mode": "primary", "primary": None, "tsig_name": "hostreeve", "soa": TIMERS, "secondaries": []}
    return dns_resources.Primary(SimpleNamespace(params=params, check_mode=False), api, None, whole_list.Report())


def wanted(count):
    item = {
        "id": "z",
        "name": "example.com",
        "hostmaster": "hostmaster@example.net",
        "nameservers": ["ns1.example.net", "ns2.example.net"],
        "records": [{"id": f"r{n}", "name": f"h{n}", "type": "A", "content": "192.0.2.1"} for n in range(count)],
    }
    return zones.read([item], whole_list.Report())[0]


def serials(api):
    return [int(taken["example.com.SOA"]["records"][0]["content"].split()[2]) for taken in api.zones]


@pytest.mark.parametrize("bad", [[], [3], [0, 8], list(range(9))])
@pytest.mark.parametrize("live", [None, zones.Live("example.com", "hostreeve", (), serial=1 << 31)])
def test_a_refused_rrset_is_found_and_the_others_are_written(bad, live):
    api = Picky(*(f"h{n}.example.com." for n in bad))
    server, zone = primary(api), wanted(9)
    server.settings = live.settings if live else server.settings
    server.present(zone, live)
    written = {name for taken in api.zones for name in taken}
    assert {f"h{n}.example.com.A" for n in range(9) if n not in bad} == {name for name in written if name[0] == "h"}
    assert "example.com.NS" in written
    told = server.report.result()["resources"]
    assert {id_ for id_, entry in told.items() if entry["failed"]} == {f"r{n}" for n in bad}
    assert serials(api) == sorted(set(serials(api))) and serials(api)[0] > (live.serial if live else 0)


def test_name_servers_that_are_refused_fail_the_zone():
    server = primary(Picky("example.com."))
    server.converge([wanted(2)], {})
    told = server.report.result()["resources"]
    assert set(told) == {"z", "r0", "r1"} and all(entry["failed"] for entry in told.values())
