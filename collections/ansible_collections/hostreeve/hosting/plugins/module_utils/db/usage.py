# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What databases and their users use, read so that no table is opened: a look must not empty the server's caches.

Sizes on disk are those of the files. Rows and the parts of data and indexes are InnoDB's own statistics, which it
renews when a tenth of a table has changed.
"""

from __future__ import annotations

import os

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.live import LIKE, MARK, MOVING
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.wanted import is_ours
from ansible_collections.hostreeve.hosting.plugins.module_utils.files import on_disk

#: Field → column of USER_STATISTICS and the factor to whole units; counted since the server started.
COUNTED = {
    "connections_total": ("TOTAL_CONNECTIONS", 1),
    "busy_ms": ("BUSY_TIME", 1000),
    "cpu_ms": ("CPU_TIME", 1000),
    "received_bytes": ("BYTES_RECEIVED", 1),
    "sent_bytes": ("BYTES_SENT", 1),
}
#: Of a database without tables.
EMPTY = {"data_bytes": 0, "index_bytes": 0, "rows": 0}
QUERIES = ("SELECT_COMMANDS", "UPDATE_COMMANDS", "OTHER_COMMANDS")


def read(client, dumps):
    """Return ``{databases: {name: {field: number}}, users: {name: {field: number}}, server: {field: number}}``.

    ``dumps`` is the directory of the last dumps. Raises ServerError, OSError.
    """
    users = _users(client)
    folder, page = client.value("SELECT @@datadir"), int(client.value("SELECT @@innodb_page_size"))
    stored = _stored(client, page)
    databases = {}
    for row in client.rows(
        "SELECT SCHEMA_NAME AS name, SCHEMA_COMMENT AS comment FROM information_schema.SCHEMATA "
        "WHERE SCHEMA_NAME LIKE %s",
        LIKE,
    ):
        name = row["name"]
        # Its users can take the mark away, and would be free of their quota.
        ours = row["comment"] == MARK or (row["comment"] not in MOVING and any(user[:13] == name for user in users))
        if ours and grammar.DATABASE.fullmatch(name):
            size, tables = _files(os.path.join(folder, name))
            databases[name] = {"disk_bytes": size, "tables": tables, **stored.get(name, EMPTY)}
    for name, fields in users.items():
        total = databases.get(name[:13])
        if total is not None:
            for field, number in fields.items():
                total[field] = total.get(field, 0) + number
    for fields in databases.values():
        for field in ("connections", "active"):
            fields.setdefault(field, 0)
    kept = [size for name, size in on_disk(dumps) if name.endswith(".sql.zst")]
    server = {
        "connections": int(client.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST")),
        "connections_most": int(client.value("SELECT @@max_connections")),
        "dumps": len(kept),
        "dumps_bytes": sum(kept),
    }
    return {"databases": databases, "users": users, "server": server}


def _stored(client, page):
    rows = client.rows(
        "SELECT database_name AS name, SUM(n_rows) AS n, SUM(clustered_index_size) AS data, "
        "SUM(sum_of_other_index_sizes) AS other FROM mysql.innodb_table_stats "
        "WHERE database_name LIKE %s GROUP BY database_name",
        LIKE,
    )
    return {
        row["name"]: {
            "data_bytes": int(row["data"]) * page,
            "index_bytes": int(row["other"]) * page,
            "rows": int(row["n"]),
        }
        for row in rows
    }


def _users(client):
    found = {}
    for row in client.rows("SELECT DISTINCT User AS name FROM mysql.global_priv WHERE User LIKE %s", LIKE):
        if is_ours(row["name"]):
            found[row["name"]] = {"connections": 0, "active": 0}
    for row in client.rows(
        "SELECT USER AS name, COUNT(*) AS n, SUM(COMMAND <> 'Sleep') AS active FROM information_schema.PROCESSLIST "
        "WHERE USER LIKE %s GROUP BY USER",
        LIKE,
    ):
        if row["name"] in found:
            found[row["name"]].update(connections=int(row["n"]), active=int(row["active"]))
    if client.value("SELECT @@userstat"):
        _count(client, found)
    return found


def _count(client, found):
    """Add what the server counts per user."""
    for fields in found.values():
        fields.update(queries=0, **{field: 0 for field in COUNTED})
    for row in client.rows("SELECT * FROM information_schema.USER_STATISTICS WHERE USER LIKE %s", LIKE):
        fields = found.get(row["USER"])
        if fields is not None:
            fields["queries"] = sum(int(row[column]) for column in QUERIES)
            for field, (column, factor) in COUNTED.items():
                fields[field] = int(float(row[column]) * factor) if factor > 1 else int(row[column])


def _files(path):
    """Return the bytes on disk of a database's files of all engines, and how many tables and views it has."""
    found = list(on_disk(path))
    return sum(size for _, size in found), sum(name.endswith(".frm") for name, _ in found)
