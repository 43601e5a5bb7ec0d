"""Zones as they should be against zones as they are: validation, hold-backs, conflicts, differences, the report."""

from __future__ import annotations

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import powerdns, zones
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns.zones import APEX_NS, Rrset
from hypothesis import given
from hypothesis import strategies as st

SETTINGS = ("MASTER", ("",), frozenset({("TSIG-ALLOW-AXFR", "hostreeve")}))
SOA = ("ns1.example.net", "hostmaster.example.net", 10800, 3600, 604800, 300, 3600)
NS = Rrset(3600, frozenset({"ns1.example.net.", "ns2.example.net."}))


def zone(*records, **fields):
    item = {
        "id": "z",
        "name": "example.com",
        "hostmaster": "hostmaster@example.net",
        "nameservers": ["ns1.example.net", "ns2.example.net"],
        "records": list(records),
    }
    return {**item, **fields}


def rec(id_, name, kind, content, **fields):
    return {"id": id_, "name": name, "type": kind, "content": content, "ttl": 300, **fields}


def rrset(*contents, ttl=300):
    return Rrset(ttl, frozenset(contents))


def live(**rrsets):
    """A zone of ours on the host; keywords are owner__type."""
    have = {tuple(key.split("__")): value for key, value in rrsets.items()}
    return zones.Live("example.com", "hostreeve", SETTINGS, SOA, 7, rrsets={APEX_NS: NS, **have})


def run(item, have=None):
    """Plan one zone and report it; return (rrsets, Change, result)."""
    report = whole_list.Report()
    (wanted,) = zones.read([item], report)
    rrsets = zones.settle(wanted, have.rrsets if have else {}, 3600, report)
    change = zones.compare(wanted, rrsets, have, SOA, SETTINGS)
    zones.tell(wanted, rrsets, change, have, report)
    return rrsets, change, report.result(diff=True)


def refused(*items):
    """Return {id: message} of what reading the list refuses, and the names of the zones that are left."""
    report = whole_list.Report()
    left = [wanted.name for wanted in zones.read(list(items), report)]
    return {id_: entry["msg"] for id_, entry in report.result()["resources"].items()}, left


def test_a_new_zone_and_all_its_records_are_changes():
    _rrsets, change, result = run(zone(rec("a", "www", "A", "192.0.2.1"), rec("b", "www", "A", "192.0.2.2")))
    assert change.create
    assert {id_: entry["msg"] for id_, entry in result["resources"].items()} == {
        "z": "created",
        "a": "created",
        "b": "created",
    }
    assert result["changed"] and result["unchanged"] == 0
    assert "".join(entry["after"] for entry in result["diff"]).count("192.0.2.") == 2


def test_the_same_zone_is_unchanged():
    _rrsets, change, result = run(zone(rec("a", "www", "A", "192.0.2.1")), live(www__A=rrset("192.0.2.1")))
    assert not change
    assert (result["changed"], result["resources"], result["unchanged"], result["diff"]) == (False, {}, 2, [])


def test_one_record_of_an_rrset_changes():
    item = zone(rec("a", "www", "A", "192.0.2.1"), rec("b", "www", "A", "192.0.2.3"))
    _rrsets, change, result = run(item, live(www__A=rrset("192.0.2.1", "192.0.2.2")))
    assert change.replace == {("www", "A"): rrset("192.0.2.1", "192.0.2.3")}
    assert list(result["resources"]) == ["b"] and result["unchanged"] == 2
    (diff,) = result["diff"]
    assert "192.0.2.2" in diff["before"] and "192.0.2.3" in diff["after"]


def test_a_record_that_left_the_list_is_a_change_of_the_zone():
    _rrsets, change, result = run(zone(), live(www__A=rrset("192.0.2.1")))
    assert change.remove == {("www", "A")}
    assert result["resources"]["z"]["msg"] == "records removed: www A"


def test_a_record_that_is_listed_as_absent_is_told_by_its_id():
    item = zone(rec("a", "www", "A", "192.0.2.1"), rec("b", "www", "A", "192.0.2.2", state="absent"))
    _rrsets, _change, result = run(item, live(www__A=rrset("192.0.2.1", "192.0.2.2")))
    assert result["resources"]["b"] == {"changed": True, "failed": False, "msg": "removed"}
    _rrsets, change, result = run(item, live(www__A=rrset("192.0.2.1")))
    assert not change and not result["changed"]


def test_an_rrset_has_the_lowest_ttl_of_its_records():
    item = zone(rec("a", "www", "A", "192.0.2.1", ttl=600), rec("b", "www", "A", "192.0.2.2", ttl=60))
    rrsets, _change, _result = run(item)
    assert rrsets["www", "A"].ttl == 60
    assert not run(item, live(www__A=rrset("192.0.2.1", "192.0.2.2", ttl=60)))[1]


def test_ttl_defaults():
    assert run(zone(rec("a", "www", "A", "192.0.2.1", ttl=None)))[0]["www", "A"].ttl == 3600


def test_a_refused_record_fails_alone_and_its_rrset_keeps_its_version():
    item = zone(
        rec("bad", "www", "A", "1.2.3.4;id"),
        rec("kept", "www", "A", "192.0.2.1"),
        rec("new", "www", "A", "192.0.2.9"),
        rec("other", "ftp", "A", "192.0.2.5"),
    )
    rrsets, change, result = run(item, live(www__A=rrset("192.0.2.1", "192.0.2.2")))
    assert rrsets["www", "A"] == rrset("192.0.2.1", "192.0.2.2")
    assert change.replace == {("ftp", "A"): rrset("192.0.2.5")}
    failed = {id_ for id_, entry in result["resources"].items() if entry["failed"]}
    assert failed == {"bad", "new"} and "held back" in result["resources"]["new"]["msg"]
    assert result["resources"]["other"]["changed"] and result["unchanged"] == 2


def test_a_refused_record_of_a_new_name_makes_nothing():
    rrsets, _change, result = run(zone(rec("bad", "www", "A", "x"), rec("good", "www", "A", "192.0.2.1")))
    assert set(rrsets) == {APEX_NS}
    assert result["resources"]["good"]["failed"] and result["resources"]["z"]["changed"]


def test_a_cname_yields_to_what_is_there_and_the_other_way_round():
    item = zone(rec("c", "www", "CNAME", "other.example.net"), rec("a", "www", "A", "192.0.2.1"))
    for have, loser in ((live(www__A=rrset("192.0.2.9")), "c"), (live(www__CNAME=rrset("x.example.net.")), "a")):
        rrsets, _change, result = run(item, have)
        failed = [id_ for id_, entry in result["resources"].items() if entry["failed"]]
        assert failed == [loser] and len([key for key in rrsets if key[0] == "www"]) == 1


def test_a_cname_at_the_apex_is_refused():
    _rrsets, _change, result = run(zone(rec("c", "@", "CNAME", "other.example.net")), live())
    assert "apex" in result["resources"]["c"]["msg"]


def test_a_cname_cannot_take_the_place_of_an_rrset_that_is_held_back():
    item = zone(rec("bad", "www", "A", "x"), rec("c", "www", "CNAME", "other.example.net"))
    _rrsets, change, result = run(item, live(www__A=rrset("192.0.2.9")))
    assert not change and result["resources"]["c"]["failed"]


def test_a_cname_takes_the_place_of_a_record_that_left():
    _rrsets, change, result = run(zone(rec("c", "www", "CNAME", "a.example.net")), live(www__A=rrset("192.0.2.9")))
    assert change.remove == {("www", "A")} and change.replace == {("www", "CNAME"): rrset("a.example.net.")}
    assert result["resources"]["z"]["msg"] == "records removed: www A"


def test_repeated_records():
    bad, _left = refused(
        zone(
            rec("a", "www", "A", "192.0.2.1"),
            rec("b", "www", "A", "192.0.2.1", ttl=60),
            rec("c", "ftp", "CNAME", "a.example.net"),
            rec("d", "ftp", "CNAME", "b.example.net"),
        )
    )
    assert set(bad) == {"b", "d"} and bad["b"].endswith(": a") and bad["d"].endswith(": c")


def test_the_apex_ns_records_come_from_the_zone_and_are_never_held_back():
    item = zone(rec("n", "@", "NS", "evil.example.net"), nameservers=["ns3.example.net", "ns4.example.net"])
    rrsets, change, result = run(item, live())
    assert rrsets[APEX_NS] == rrset("ns3.example.net.", "ns4.example.net.", ttl=3600)
    assert result["resources"]["n"]["failed"]
    assert result["resources"]["z"]["msg"] == "hostmaster, name servers or timers changed"
    assert set(change.replace) == {APEX_NS}


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"name": "Example.com"}, "name: "),
        ({"name": "a" * 250 + ".com"}, "name: "),
        ({"name": "example.com\n"}, "name: "),
        ({"name": "com"}, "name: "),
        ({"name": None}, "name: "),
        ({"hostmaster": "x"}, "hostmaster: "),
        ({"nameservers": []}, "nameservers: "),
        ({"dnssec": "yes"}, "dnssec: "),
        ({"state": "gone"}, "state: "),
        ({"records": {"a": 1}}, "records: "),
        ({"soa": "x"}, "soa: is not a field"),
    ],
)
def test_a_refused_zone_fails_with_its_records(fields, message):
    listed = {} if "records" in fields else {"records": [rec("a", "www", "A", "192.0.2.1")]}
    bad, left = refused(zone(**listed, **fields), zone(id="other", name="other.example"))
    assert bad["z"].startswith(message) and left == ["other.example"]
    assert set(bad) == {"z", "a"} if listed else {"z"}


def test_a_zone_or_an_id_that_stands_twice():
    bad, left = refused(
        zone(rec("a", "www", "A", "192.0.2.1")),
        zone(id="y", records=[rec("b", "www", "A", "192.0.2.1")]),
        zone(id="z", name="third.example"),
        zone(rec("a", "www", "A", "192.0.2.1"), id="w", name="fourth.example"),
    )
    assert left == ["example.com", "fourth.example"]
    assert set(bad) == {"y", "b", "z", "a"}


def test_ids_default_to_what_they_name():
    item = zone({"name": "www", "type": "A", "content": "192.0.2.1"}, {"name": "www", "type": "A", "content": "x"})
    del item["id"]
    report = whole_list.Report()
    (wanted,) = zones.read([item], report)
    assert wanted.id == "example.com" and list(wanted.records) == ["example.com/www/A/192.0.2.1"]
    assert report.is_failed("example.com/www/A/x")


def test_the_records_of_an_absent_zone_go_with_it():
    report = whole_list.Report()
    (wanted,) = zones.read([zone(rec("a", "www", "A", "x"), state="absent")], report)
    zones.tell_removed(wanted, live(www__A=rrset("192.0.2.1")), report)
    assert {id_ for id_, entry in report.result()["resources"].items() if entry["changed"]} == {"z", "a"}
    report = whole_list.Report()
    zones.tell_removed(wanted, None, report)
    result = report.result()
    assert (result["changed"], result["resources"], result["unchanged"]) == (False, {}, 2)


def test_settings_and_signing():
    have = live()
    have.settings = ("SLAVE", ("192.0.2.9",), frozenset())
    _rrsets, change, result = run(zone(dnssec=True), have)
    assert change.settings and change.signing and not change.replace
    assert result["resources"]["z"]["msg"] == "kind, primary or transfer key changed; signed"
    have = live()
    have.keys = True
    assert run(zone(), have)[2]["resources"]["z"]["msg"] == "signatures removed"


@pytest.mark.parametrize(
    ("row", "text"),
    [
        (("MX", 10, "mail.example.com"), "10 mail.example.com."),
        (("MX", 0, "."), "0 ."),
        (("SRV", 1, "2 3 sip.example.com"), "1 2 3 sip.example.com."),
        (("SRV", 0, "0 0 ."), "0 0 0 ."),
        (("CNAME", 0, "www.example.com"), "www.example.com."),
        (("TXT", 0, '"a."'), '"a."'),
        (("A", 0, "192.0.2.1"), "192.0.2.1"),
    ],
)
def test_rows_of_the_database(row, text):
    assert powerdns.presentation(*row) == text


value = st.one_of(
    st.none(), st.booleans(), st.integers(), st.text(max_size=8), st.lists(st.text(max_size=3), max_size=2)
)
names = st.one_of(value, st.sampled_from(["@", "www", "*", "_a"]))
kinds = st.one_of(value, st.sampled_from(["A", "CNAME", "NS", "TXT"]))
contents = st.one_of(value, st.sampled_from(["192.0.2.1", "192.0.2.2", "a.example.net"]))
items = st.one_of(
    value,
    st.fixed_dictionaries({"name": names, "type": kinds, "content": contents}, optional={"id": value, "ttl": value}),
)


@given(st.lists(items, max_size=6), st.one_of(value, st.just("example.com")))
def test_no_list_crashes_and_every_record_is_accounted_for(listed, name):
    """Whatever is planted in the database: a plan, or a reason; and planning what was planned changes nothing."""
    report = whole_list.Report()
    for wanted in zones.read([zone(*listed, name=name), *listed], report):
        rrsets = zones.settle(wanted, {}, 3600, report)
        have = zones.Live(wanted.name, "hostreeve", SETTINGS, SOA, rrsets=rrsets)
        again = zones.settle(wanted, have.rrsets, 3600, whole_list.Report())
        assert not zones.compare(wanted, again, have, SOA, SETTINGS)
        zones.tell(wanted, rrsets, zones.compare(wanted, rrsets, None, SOA, SETTINGS), None, report)
        told = report.result()["resources"]
        assert all(id_ in told for id_ in [wanted.id, *wanted.every])
