# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What the lists ask for: every item is checked here, and one that is refused is reported and left out."""

from __future__ import annotations

import ipaddress
from dataclasses import dataclass, field

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import password_hash

DATABASE_FIELDS = {"id", "name", "charset", "collation", "state"}
USER_FIELDS = {"id", "name", "database", "privileges", "hosts", "password", "password_hash", "state"}
PRIVILEGES = ("all", "read-only")


@dataclass(frozen=True)
class Database:
    """A database as it should be."""

    id: str
    name: str
    present: bool = True
    charset: str = ""
    collation: str = ""


@dataclass(frozen=True)
class User:
    """A user as it should be: one account per host, in MariaDB's form. ``secret`` is the password's hash."""

    id: str
    name: str
    database: str
    state: str = "present"
    privileges: str = "all"
    hosts: tuple = ()
    secret: str = ""


@dataclass
class Wanted:
    """Both lists by name. ``claimed`` holds the names of all items, refused ones too: purging leaves them alone."""

    databases: dict = field(default_factory=dict)
    users: dict = field(default_factory=dict)
    claimed: set = field(default_factory=set)
    ids: set = field(default_factory=set)


def is_ours(name):
    """Tell whether an account of this name can be ours."""
    return bool(grammar.DATABASE_USER.fullmatch(name))


def account_host(host):
    """Return a host of the grammar as an account has it: a network with its mask."""
    return ipaddress.IPv4Network(host).with_netmask if "/" in host else host


def _field(name, check, value):
    try:
        return check(value)
    except ValueError as error:
        raise ValueError("%s: %s" % (name, error)) from None


def _one_of(*choices):
    def check(value):
        if value not in choices:
            raise ValueError("must be " + " or ".join(choices))
        return value

    return check


def _database(id_, item):
    name = _field("name", grammar.database_name, item.get("name"))
    state = _field("state", _one_of("present", "absent"), item.get("state", "present"))
    if state == "absent":
        return Database(id_, name, False)
    charset = _field("charset", grammar.charset, item.get("charset", "utf8mb4"))
    collation = _field("collation", lambda value: grammar.collation(value, charset), item.get("collation"))
    return Database(id_, name, True, charset, collation)


def _user(id_, item):
    name = _field("name", grammar.database_user_name, item.get("name"))
    database = _field("database", grammar.database_name, item.get("database", name[:13]))
    if name != database and not name.startswith(database + "_"):
        raise ValueError("name: must begin with the name of its database")
    state = _field("state", _one_of("present", "suspended", "absent"), item.get("state", "present"))
    if state == "absent":
        return User(id_, name, database, state)
    privileges = _field("privileges", _one_of(*PRIVILEGES), item.get("privileges", "all"))
    hosts = _field("hosts", grammar.database_hosts, item.get("hosts", ["%"]))
    if ("password" in item) == ("password_hash" in item):
        raise ValueError("password: give a password or a password_hash")
    if "password" in item:
        secret = password_hash(_field("password", grammar.password, item["password"]))
    else:
        secret = _field("password_hash", grammar.password_hash, item["password_hash"])
    return User(id_, name, database, state, privileges, tuple(account_host(host) for host in hosts), secret)


def _read(kind, items, asked, report):
    make, fields = (_database, DATABASE_FIELDS) if kind == "databases" else (_user, USER_FIELDS)
    found, taken, claimed = getattr(asked, kind), asked.ids, asked.claimed
    for index, item in enumerate(items):
        id_ = "%s[%d]" % (kind, index)
        try:
            if not isinstance(item, dict):
                raise ValueError("must be a mapping")
            own = item.get("id", item.get("name"))
            if isinstance(item.get("name"), str):
                claimed.add(item["name"])
            if not isinstance(own, str) or not own or own in taken:
                raise ValueError("id: must be text that no other item has")
            id_ = own
            taken.add(own)
            unknown = sorted(str(key) for key in item if key not in fields)
            if unknown:
                raise ValueError("unknown field: " + ", ".join(unknown))
            made = make(id_, item)
            if made.name in found:
                raise ValueError("name: %s stands twice in the list" % made.name)
            found[made.name] = made
        except ValueError as error:
            report.failed(id_, str(error))


def read(databases, users, report):
    """Return what two lists ask for. A user without an id of its own that is called as its database has the id
    ``user/<name>``, since ids are unique across the lists."""
    names = {item.get("name") for item in databases if isinstance(item, dict) and "id" not in item}
    users = [
        {**item, "id": "user/" + item["name"]}
        if isinstance(item, dict) and "id" not in item and isinstance(item.get("name"), str) and item["name"] in names
        else item
        for item in users
    ]
    asked = Wanted()
    _read("databases", databases, asked, report)
    _read("users", users, asked, report)
    return asked
