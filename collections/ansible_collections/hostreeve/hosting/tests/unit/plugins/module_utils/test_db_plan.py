"""Lists of databases and users: what is refused, and the statements that make the difference."""

from __future__ import annotations

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import plan, wanted
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import identifier, password_hash, pattern
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.live import MARK, READ_ONLY, Account, Live

DB = "db_aaaaaaaaaa"
SECRET = password_hash("a plain password")
ALL = frozenset({"Select_priv", "Show_view_priv", "Insert_priv"})
UTF8 = ("utf8mb4", "utf8mb4_unicode_ci", MARK)
TARGET = "db\\_aaaaaaaaaa"


def read(databases=(), users=()):
    """Return what lists ask for, and the reasons of what was refused."""
    report = whole_list.Report()
    asked = wanted.read(list(databases), list(users), report)
    return asked, {id_: entry["msg"] for id_, entry in report.result()["resources"].items()}


def user(**fields):
    """Return a wanted user."""
    asked, refused = read(users=[{"name": DB, "password": "a plain password", **fields}])
    assert not refused, refused
    return asked.users[fields.get("name", DB)]


def account(**fields):
    """Return an account as it is when nothing is to be done."""
    return Account(**{"plugin": "mysql_native_password", "secret": SECRET, "grants": {TARGET: ALL}, **fields})


def live(**accounts):
    """Return a server with one database."""
    return Live({DB: UTF8}, {DB: accounts.get("accounts", {})}, ALL)


def test_the_hash_is_mariadbs():
    assert password_hash("password") == "*2470C0C06DEE42FD1618BB99005ADCA2EC9D1E19"


def test_names_are_quoted_by_one_function():
    assert identifier(DB, grammar.database_name) == "`db_aaaaaaaaaa`"
    assert pattern(DB, grammar.database_name) == "`db\\_aaaaaaaaaa`"
    for name in ("a`b", "db_aaaaaaaaaa`", "db_%", "", "mysql", "db_aaaaaaaaaa\n", None, 1):
        with pytest.raises(ValueError):
            identifier(name, grammar.database_name)
    assert identifier("a`b", str) == "`a``b`" and pattern("a_%\\", str) == "`a\\_\\%\\\\`"


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"name": "mysql"}, "name: must be db_"),
        ({"name": "db_aaaaaaaaaa\n"}, "name: must be db_"),
        ({"name": "db_aaaaaaaaa`"}, "name: must be db_"),
        ({"name": DB, "charset": "utf8"}, "charset: must be one of"),
        ({"name": DB, "charset": ["utf8mb4"]}, "charset: must be one of"),
        ({"name": DB, "collation": "latin1_bin"}, "collation: must be one of"),
        ({"name": DB, "state": "gone"}, "state: must be present or absent"),
        ({"name": DB, "comment": "x"}, "unknown field: comment"),
        ({"name": DB, "id": 7}, "id: must be text"),
        ("text", "must be a mapping"),
    ],
)
def test_databases_that_are_refused(item, reason):
    asked, refused = read([item])
    assert not asked.databases and len(refused) == 1
    assert next(iter(refused.values())).startswith(reason)


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"name": "root", "database": DB}, "name: must be the name of its database"),
        ({"name": "db_bbbbbbbbbb_x", "database": DB}, "name: must begin with"),
        ({"name": DB + "_x'@'%"}, "name: must be"),
        ({"name": DB, "database": "mysql"}, "database: must be db_"),
        ({"name": DB, "privileges": "ALL PRIVILEGES"}, "privileges: must be all or read-only"),
        ({"name": DB, "hosts": []}, "hosts: must be a list"),
        ({"name": DB, "hosts": ["10.0.0.%"]}, "hosts: must be addresses"),
        ({"name": DB, "hosts": ["10.0.0.1/24"]}, "hosts: must be addresses"),
        ({"name": DB, "hosts": ["0.0.0.0/0"]}, "hosts: must be addresses"),
        ({"name": DB, "hosts": ["fe80::1%eth0"]}, "hosts: must be addresses"),
        ({"name": DB, "hosts": ["%", "10.0.0.1"]}, "hosts: % stands alone"),
        ({"name": DB, "password": "short"}, "password: must be 12 characters"),
        ({"name": DB, "password": "a plain password\n"}, "password: must not hold control"),
        ({"name": DB, "password_hash": SECRET}, "password: give a password or"),
        ({"name": DB, "password": None}, "password: must be text"),
        ({"name": DB, "state": "locked"}, "state: must be"),
    ],
)
def test_users_that_are_refused(item, reason):
    asked, refused = read(users=[{"password": "a plain password", **item}])
    assert not asked.users and len(refused) == 1
    message = next(iter(refused.values()))
    assert message.startswith(reason)
    assert "a plain password" not in message


def test_a_name_that_stands_twice_is_refused_and_still_claimed():
    asked, refused = read([{"name": DB}, {"id": "again", "name": DB}, {"name": DB}])
    assert list(asked.databases) == [DB]
    assert refused["again"].startswith("name:") and refused["databases[2]"].startswith("id:")
    assert read([{"name": DB, "charset": "x"}])[0].claimed == {DB}


def test_a_user_that_is_called_as_its_database_has_an_id_of_its_own():
    asked, refused = read([{"name": DB}], [{"name": DB, "password": "a plain password"}])
    assert not refused and asked.users[DB].id == f"user/{DB}" and asked.databases[DB].id == DB


def test_a_database_is_made():
    change = plan.database(wanted.Database(DB, DB, True, "utf8mb4", "utf8mb4_bin"), Live())
    assert change.words == ["created"]
    assert change.statements == [
        ("CREATE DATABASE `db_aaaaaaaaaa` CHARACTER SET %s COLLATE %s COMMENT %s", ("utf8mb4", "utf8mb4_bin", MARK))
    ]
    assert not plan.database(wanted.Database(DB, DB, True, *UTF8[:2]), live())
    changed = plan.database(wanted.Database(DB, DB, True, "latin1", "latin1_bin"), live())
    assert changed.statements[0][0].startswith("ALTER DATABASE `db_aaaaaaaaaa` ")


@pytest.mark.parametrize("present", [True, False])
def test_a_strangers_database_is_left_alone(present):
    with pytest.raises(ValueError, match="not ours"):
        plan.database(wanted.Database(DB, DB, present, *UTF8[:2]), Live({DB: ("utf8mb4", "x", "")}))


@pytest.mark.parametrize("comment", ["", "what its user wrote"])
def test_users_of_a_database_cannot_take_it_away(comment):
    have = Live({DB: (*UTF8[:2], comment)}, {DB + "_app": {"%": account()}}, ALL)
    change = plan.database(wanted.Database(DB, DB, True, *UTF8[:2]), have)
    assert change.words == ["marked again"] and change.statements[0][1] == (MARK,)
    assert plan.database(wanted.Database(DB, DB, False), have).drop == DB
    # One that another database's name begins with.
    with pytest.raises(ValueError, match="not ours"):
        plan.database(wanted.Database(DB, DB, True), Live({DB: (*UTF8[:2], "")}, {DB + "b": {"%": account()}}, ALL))


def test_a_database_takes_its_users_along_and_no_others():
    have = Live(
        {DB: UTF8}, {DB: {"%": account()}, DB + "_b": {"%": account()}, "db_aaaaaaaaaab": {"%": account()}}, ALL
    )
    change = plan.database(wanted.Database(DB, DB, False), have)
    assert change.drop == DB and change.kill == [DB, DB + "_b"]
    assert change.statements == [
        ("DROP USER IF EXISTS %s@%s", (DB, "%")),
        ("DROP USER IF EXISTS %s@%s", (DB + "_b", "%")),
    ]
    assert not plan.database(wanted.Database(DB, DB, False), Live())


def test_a_user_is_made():
    change = plan.user(user(hosts=["10.0.0.0/24"], privileges="read-only"), live())
    who = (DB, "10.0.0.0/255.255.255.0")
    assert change.words == ["created"]
    assert change.statements == [
        ("CREATE USER %s@%s IDENTIFIED VIA mysql_native_password USING %s ACCOUNT UNLOCK", (*who, SECRET)),
        ("GRANT SELECT, SHOW VIEW ON `db\\_aaaaaaaaaa`.* TO %s@%s", who),
    ]
    assert SECRET not in change.before + change.after


@pytest.mark.parametrize(
    ("fields", "have", "words"),
    [
        ({}, {"%": account()}, []),
        ({"privileges": "read-only"}, {"%": account(grants={TARGET: READ_ONLY})}, []),
        ({"privileges": "read-only"}, {"%": account()}, ["privileges changed"]),
        ({}, {"%": account(grants={})}, ["privileges changed"]),
        ({}, {"%": account(grants={TARGET: ALL | {"Grant_priv"}})}, ["privileges changed"]),
        ({}, {"%": account(grants={TARGET: ALL, "db\\_bbbbbbbbbb": ALL})}, ["privileges changed"]),
        ({}, {"%": account(grants={DB: ALL})}, ["privileges changed"]),
        ({}, {"%": account(more=True)}, ["privileges changed"]),
        ({}, {"%": account(secret="*x")}, ["password changed"]),
        ({}, {"%": account(plugin="unix_socket")}, ["password changed"]),
        ({}, {"%": account(locked=True)}, ["unsuspended"]),
        ({"state": "suspended"}, {"%": account()}, ["suspended"]),
        ({"state": "suspended"}, {"%": account(locked=True)}, []),
        ({"state": "suspended"}, {"%": account(secret="*x")}, ["password changed", "suspended"]),
        ({}, {"%": account(), "10.0.0.1": account()}, ["hosts changed"]),
        ({"hosts": ["10.0.0.1", "10.0.0.2"]}, {"10.0.0.1": account()}, ["hosts changed"]),
        ({"state": "absent"}, {"%": account()}, ["dropped"]),
        ({"state": "absent"}, {}, []),
    ],
)
def test_what_differs(fields, have, words):
    item = {"name": DB, "password": "a plain password", **fields}
    change = plan.user(wanted._user("u", item), live(accounts=have))
    assert change.words == words
    assert bool(change.statements) is bool(words)
    assert all(SECRET not in statement for statement, _values in change.statements)


def test_a_suspended_user_loses_its_connections_even_if_it_is_locked_already():
    assert plan.user(user(state="suspended"), live(accounts={"%": account(locked=True)})).kill == [DB]
