"""What the lists ask for, and what of it is refused."""

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.wanted import Wanted
from ansible_collections.hostreeve.hosting.plugins.module_utils.whole_list import Report

TENANT = {"name": "t_abcdefghij", "uid": 200001}
WEBROOT = {"name": "web_abcdefghij", "tenant": "t_abcdefghij"}
FQDN = {"fqdn": "www.example.com", "webroot": "web_abcdefghij"}


def ask(**lists):
    report = Report()
    return Wanted(lists, report), report.result()["resources"]


def test_defaults():
    wanted, failed = ask(tenants=[TENANT], webroots=[WEBROOT], fqdns=[FQDN])
    assert not failed
    tenant, webroot = wanted.tenants["t_abcdefghij"], wanted.webroots["web_abcdefghij"]
    fqdn = wanted.fqdns["www.example.com"]
    assert (tenant.id, tenant.state, tenant.limits) == ("t_abcdefghij", "present", {})
    assert (webroot.runtime, webroot.public_folder, webroot.env) == ("static", "public", {})
    assert (fqdn.id, fqdn.directives) == ("www.example.com", "")
    assert wanted.children(tenant) == [webroot]
    assert wanted.children(webroot) == [fqdn]


def test_nothing_is_a_field_that_was_left_out():
    wanted, failed = ask(webroots=[{**WEBROOT, "env": None, "runtime": None, "id": None}])
    assert not failed
    assert wanted.webroots["web_abcdefghij"].env == {}


def test_an_absent_item_needs_its_name_only():
    wanted, failed = ask(
        tenants=[{"name": "t_abcdefghij", "state": "absent"}],
        webroots=[{"name": "web_abcdefghij", "state": "absent", "tenant": "nonsense"}],
        fqdns=[{"fqdn": "www.example.com", "state": "absent"}],
    )
    assert not failed
    assert wanted.tenants["t_abcdefghij"].state == "absent"


# Each of these characters has a meaning to a shell, a path, nginx, an ini file or a line of /etc/passwd.
SPECIAL = [
    "\n",
    "\r",
    "\0",
    "\t",
    " ",
    "'",
    '"',
    "\\",
    "`",
    "$",
    ";",
    "|",
    "&",
    "{",
    "}",
    "%",
    "<",
    ">",
    ":",
    "/",
    "..",
    "é",
]


@pytest.mark.parametrize("char", SPECIAL)
@pytest.mark.parametrize(
    ("kind", "item", "field"),
    [
        ("tenants", TENANT, "name"),
        ("tenants", TENANT, "state"),
        ("webroots", WEBROOT, "name"),
        ("webroots", WEBROOT, "tenant"),
        ("webroots", WEBROOT, "runtime"),
        ("fqdns", FQDN, "fqdn"),
        ("fqdns", FQDN, "webroot"),
    ],
)
def test_special_characters_are_refused_in_every_field_that_names_something(kind, item, field, char):
    value = str(item.get(field, "static" if field == "runtime" else "present"))
    for hostile in (value + char, char + value, value[:-1] + char):
        wanted, failed = ask(**{kind: [{**item, "id": "x", field: hostile}]})
        assert failed["x"]["failed"]
        assert failed["x"]["msg"].startswith(field + ": ")
        assert not getattr(wanted, kind)


@pytest.mark.parametrize(
    ("kind", "item", "reason"),
    [
        ("tenants", {**TENANT, "uid": "200001"}, "uid"),
        ("tenants", {**TENANT, "uid": True}, "uid"),
        ("tenants", {**TENANT, "uid": 0}, "uid"),
        ("tenants", {**TENANT, "uid": 199_999}, "uid"),
        ("tenants", {"name": "t_abcdefghij"}, "uid: is missing"),
        ("tenants", {**TENANT, "limits": {"tasks": "9"}}, "limits"),
        ("tenants", {**TENANT, "limits": {"slice": 1}}, "limits"),
        ("tenants", {**TENANT, "limits": {"memory_mb": 10**12}}, "limits"),
        ("tenants", {**TENANT, "shell": "/bin/sh"}, "unknown field: shell"),
        ("tenants", {**TENANT, "state": ["present"]}, "state"),
        ("webroots", {**WEBROOT, "public_folder": "../x"}, "public_folder"),
        ("webroots", {**WEBROOT, "public_folder": "/etc"}, "public_folder"),
        ("webroots", {**WEBROOT, "public_folder": "a/./b"}, "public_folder"),
        ("webroots", {**WEBROOT, "public_folder": ".git"}, "public_folder"),
        ("webroots", {**WEBROOT, "env": {"open_basedir": "/"}}, "env"),
        ("webroots", {**WEBROOT, "env": {" A": "/"}}, "env"),
        ("webroots", {**WEBROOT, "env": {"A": "x\n[pool2]"}}, "env"),
        ("webroots", {**WEBROOT, "env": {"A": "$HOME"}}, "env"),
        ("webroots", {**WEBROOT, "env": {"A": "x$pool"}}, "env"),
        ("webroots", {**WEBROOT, "env": {"A": 1}}, "env"),
        ("webroots", {**WEBROOT, "env": ["A"]}, "env"),
        ("fqdns", {**FQDN, "fqdn": "UPPER.example.com"}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": "-x.example.com"}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": "a..example.com"}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": "a.example.com."}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": "*.example.com"}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": "localhost"}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": "a" * 64 + ".com"}, "fqdn"),
        ("fqdns", {**FQDN, "fqdn": ".".join(["a" * 49] * 6) + ".com"}, "fqdn"),
        ("fqdns", {**FQDN, "directives": ["x"]}, "directives"),
    ],
)
def test_what_does_not_fit_fails_alone_and_says_why(kind, item, reason):
    good = {"tenants": TENANT, "webroots": WEBROOT, "fqdns": FQDN}[kind]
    wanted, failed = ask(**{kind: [{**item, "id": "x"}, {**good, "id": "good"}]})
    assert failed["x"]["msg"].startswith(reason)
    assert list(failed) == ["x"]
    assert [one.id for one in getattr(wanted, kind).values()] == ["good"]


@pytest.mark.parametrize("row", [None, 1, "text", ["a"], {}, {"name": 7}, {"id": {}}])
def test_what_is_no_item_is_called_by_its_place(row):
    _, failed = ask(tenants=[row])
    assert failed["tenants[0]"]["failed"]


def test_an_id_that_stands_twice_is_nobodys():
    wanted, failed = ask(tenants=[{**TENANT, "id": "x"}, {"name": "t_bbbbbbbbbb", "uid": 200002, "id": "x"}])
    assert not wanted.tenants
    assert "twice" in failed["x"]["msg"] or "2 times" in failed["x"]["msg"]


def test_a_name_or_uid_that_stands_twice_belongs_to_the_first():
    wanted, failed = ask(tenants=[{**TENANT, "id": "a"}, {**TENANT, "id": "b", "uid": 200002}])
    assert (list(failed), wanted.tenants["t_abcdefghij"].uid) == (["b"], 200001)
    wanted, failed = ask(tenants=[{**TENANT, "id": "a"}, {"name": "t_bbbbbbbbbb", "uid": 200001, "id": "b"}])
    assert (list(failed), list(wanted.tenants)) == (["b"], ["t_abcdefghij"])
    assert "t_abcdefghij" in wanted.refused["tenants"]["t_bbbbbbbbbb"]


def test_names_of_refused_items_are_still_named():
    wanted, _ = ask(tenants=[{**TENANT, "uid": 1}], fqdns=[{"fqdn": "a.test", "webroot": "web_zzzzzzzzzz", "x": 1}])
    assert {"t_abcdefghij", "a.test", "web_zzzzzzzzzz"} <= wanted.named
