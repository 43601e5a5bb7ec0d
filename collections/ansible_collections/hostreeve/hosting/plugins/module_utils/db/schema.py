# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a database is made of besides rows: tables, sequences, views, routines, triggers and events, as texts.

The texts are a server's own (SHOW CREATE). Each is one statement and is handed on as one: nothing in the text of a
tenant ends it, changes the database or reaches a client program.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import quoted

#: Where the next number of a table stands in its text: behind the last line break, which no comment can hold unescaped.
COUNTER = re.compile(r"^(\) ENGINE=\w+) AUTO_INCREMENT=\d+", re.MULTILINE)
#: What is made in this order: each may need those before it.
ORDER = ("FUNCTION", "PROCEDURE", "PACKAGE", "PACKAGE BODY", "VIEW", "TRIGGER", "EVENT")
#: The columns by which tables of two releases are held against each other, whose texts may differ.
COLUMNS = (
    "SELECT TABLE_NAME AS name, COLUMN_NAME, ORDINAL_POSITION, COLUMN_DEFAULT, IS_NULLABLE, COLUMN_TYPE, "
    "COLLATION_NAME, EXTRA, GENERATION_EXPRESSION, COLUMN_COMMENT "
    "FROM information_schema.COLUMNS WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, ORDINAL_POSITION"
)
INDEXES = (
    "SELECT TABLE_NAME AS name, INDEX_NAME, NON_UNIQUE, SEQ_IN_INDEX, COLUMN_NAME, SUB_PART, INDEX_TYPE "
    "FROM information_schema.STATISTICS WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME, INDEX_NAME, SEQ_IN_INDEX"
)


#: Texts are read and compared in this one.
PLAIN_ZONE = "+00:00"


class Refused(Exception):
    """The database cannot be copied as it is; the text says why, for a user."""


@dataclass(frozen=True)
class Table:
    """A table or a sequence: what makes it, and how much it is about (rows, bytes)."""

    sequence: bool
    text: str
    rows: int = 0
    size: int = 0
    counter: int = 0
    engine: str = ""

    @property
    def shape(self):
        """The text without the next number, which moves with every row."""
        return COUNTER.sub(r"\1", self.text)


@dataclass(frozen=True)
class Definition:
    """A view, routine, trigger or event: its text, and the settings under which the text means what it means.

    Two are equal by ``meaning``: how a server writes a view depends on whether its definer is there.
    """

    text: str = field(compare=False)
    meaning: str
    sql_mode: str = ""
    collation: str = ""
    time_zone: str = ""


@dataclass
class Schema:
    """Tables by name, and definitions by (type, name); ``definers`` are the accounts with whose rights they run."""

    tables: dict = field(default_factory=dict)
    definitions: dict = field(default_factory=dict)
    definers: dict = field(default_factory=dict)
    versioned: list = field(default_factory=list)

    def size(self, names=None):
        """Return the bytes of some tables, of all by default."""
        return sum(table.size for name, table in self.tables.items() if names is None or name in names)


def read(client, database):
    """Return what a database is made of; a handful of queries, and one for each object's text. Raises ServerError."""
    found = Schema()
    _tables(client, database, found)
    _views(client, database, found)
    for row in client.rows(
        "SELECT ROUTINE_TYPE AS type, ROUTINE_NAME AS name, DEFINER AS definer FROM information_schema.ROUTINES "
        "WHERE ROUTINE_SCHEMA = %s",
        database,
    ):
        _definition(client, database, found, row)
    for row in client.rows(
        "SELECT 'TRIGGER' AS type, TRIGGER_NAME AS name, DEFINER AS definer FROM information_schema.TRIGGERS "
        "WHERE TRIGGER_SCHEMA = %s ORDER BY EVENT_OBJECT_TABLE, EVENT_MANIPULATION, ACTION_TIMING, ACTION_ORDER",
        database,
    ):
        _definition(client, database, found, row)
    for row in client.rows(
        "SELECT 'EVENT' AS type, EVENT_NAME AS name, DEFINER AS definer FROM information_schema.EVENTS "
        "WHERE EVENT_SCHEMA = %s",
        database,
    ):
        _definition(client, database, found, row)
    return found


def _tables(client, database, found):
    for row in client.rows(
        "SELECT TABLE_NAME AS name, TABLE_TYPE AS type, COALESCE(TABLE_ROWS, 0) AS rows_, "
        "COALESCE(ENGINE, '') AS engine, COALESCE(DATA_LENGTH + INDEX_LENGTH, 0) AS size, "
        "COALESCE(AUTO_INCREMENT, 0) AS counter "
        "FROM information_schema.TABLES WHERE TABLE_SCHEMA = %s ORDER BY TABLE_NAME",
        database,
    ):
        if row["type"] in ("VIEW", "TEMPORARY"):
            continue
        if row["type"] == "SYSTEM VERSIONED":
            found.versioned.append(row["name"])
        sequence = row["type"] == "SEQUENCE"
        shown = client.rows("SHOW CREATE %s %s" % ("SEQUENCE" if sequence else "TABLE", _path(database, row["name"])))
        found.tables[row["name"]] = Table(
            sequence,
            shown[0]["Create Table"],
            int(row["rows_"]),
            int(row["size"]),
            int(row["counter"]),
            row["engine"],
        )


def _views(client, database, found):
    for row in client.rows(
        "SELECT TABLE_NAME AS name, DEFINER AS definer, COLLATION_CONNECTION AS collation, "
        "JSON_ARRAY(VIEW_DEFINITION, CHECK_OPTION, SECURITY_TYPE, ALGORITHM, DEFINER) AS meaning "
        "FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %s",
        database,
    ):
        shown = client.rows("SHOW CREATE VIEW %s" % _path(database, row["name"]))[0]
        key = ("VIEW", row["name"])
        found.definers[key] = row["definer"]
        found.definitions[key] = Definition(shown["Create View"], row["meaning"], "", row["collation"])


def _definition(client, database, found, row):
    type_, name = row["type"], row["name"]
    shown = client.rows("SHOW CREATE %s %s" % (type_, _path(database, name)))[0]
    column = {"TRIGGER": "SQL Original Statement"}.get(type_, "Create " + type_.title())
    if not shown[column]:
        raise Refused("the %s %s cannot be read" % (type_.lower(), name))
    found.definers[type_, name] = row["definer"]
    found.definitions[type_, name] = Definition(
        shown[column], shown[column], shown["sql_mode"], shown["collation_connection"], shown.get("time_zone", "")
    )


def _path(database, name):
    return "%s.%s" % (quoted(database), quoted(name))


def belongs(user, database):
    """Tell whether a user is one of a database's."""
    return user == database or user.startswith(database + "_")


def foreign_definers(schema, database):
    """Return the definitions that run with the rights of somebody who is no user of the database, as texts."""
    bad = []
    for (type_, name), definer in sorted(schema.definers.items()):
        if not belongs(definer.rpartition("@")[0], database):
            bad.append("%s %s (%s)" % (type_.lower(), name, definer))
    return bad


def shapes(client, database):
    """Return {table: what its columns and indexes are}, in a form that all releases share."""
    found = {}
    for query in (COLUMNS, INDEXES):
        for row in client.rows(query, database):
            found.setdefault(row["name"], []).append(tuple(row.values()))
    return found


def plain(client):
    """Let a connection read and take texts as all others here do."""
    client.run("SET SESSION sql_mode = '', time_zone = %s", PLAIN_ZONE)


def put_table(client, name, table):
    """Make a table anew, empty; one of that name goes. ``client`` stands in the database."""
    drop_table(client, name)
    client.run("SET SESSION foreign_key_checks = 0, sql_mode = 'NO_ENGINE_SUBSTITUTION,NO_AUTO_VALUE_ON_ZERO'")
    try:
        client.run(table.text)
    finally:
        plain(client)


def drop_table(client, name):
    """Drop a table or sequence, if there is one."""
    client.run("SET SESSION foreign_key_checks = 0")
    client.run("DROP TABLE IF EXISTS %s" % quoted(name))


def put(client, key, definition):
    """Make a view, routine, trigger or event anew: one statement, under the settings that it was made with."""
    drop(client, key)
    client.run(
        "SET SESSION sql_mode = %s, collation_connection = %s, time_zone = %s",
        definition.sql_mode, definition.collation, definition.time_zone or PLAIN_ZONE,
    )  # fmt: skip
    try:
        client.run(definition.text)
    finally:
        plain(client)


def drop(client, key):
    """Drop a view, routine, trigger or event, if there is one."""
    client.run("DROP %s IF EXISTS %s" % (key[0], quoted(key[1])))
