# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server has, read with five queries however much it is."""

from __future__ import annotations

import json
from dataclasses import dataclass, field

#: Comment of every database that Hostreeve made; MariaDB keeps it with the database.
MARK = "Managed by Hostreeve"
#: Instead of it, while a database moves (``playbooks/move_database.yml``): a copy that is being made, one that is
#: complete and waits to be listed here, and the one that stays behind. None is in service, and none is ever purged.
COPYING = "Hostreeve: a copy being made"
READY = "Hostreeve: a complete copy"
KEPT = "Hostreeve: moved away"
MOVING = (COPYING, READY, KEPT)
#: Columns of mysql.db that read-only users have.
READ_ONLY = frozenset({"Select_priv", "Show_view_priv"})
LIKE = "db\\_%"


@dataclass
class Account:
    """One account: ``grants`` maps a database's pattern to columns of mysql.db; ``more`` tells of any other right."""

    plugin: str = ""
    secret: str = ""
    locked: bool = False
    grants: dict = field(default_factory=dict)
    more: bool = False


@dataclass
class Live:
    """Databases as ``{name: (charset, collation, comment)}``, accounts as ``{user: {host: Account}}``."""

    databases: dict = field(default_factory=dict)
    accounts: dict = field(default_factory=dict)
    every: frozenset = frozenset()

    def granted(self, privileges):
        """Return the columns of mysql.db for the privileges of a user."""
        return READ_ONLY if privileges == "read-only" else self.every

    def called(self, account):
        """Return what an account may do in a word."""
        granted = list(account.grants.values())
        known = {(self.every,): "all", (READ_ONLY,): "read-only", (): "nothing"}
        return "other" if account.more else known.get(tuple(granted), "other")

    def is_ours(self, database):
        """Tell whether a database is one that Hostreeve made, or is making.

        Its users may alter it, or drop and create it anew: what takes the mark along leaves them.
        """
        have = self.databases.get(database)
        return have is not None and (have[2] in (MARK, *MOVING) or bool(self.users_of(database)))

    def users_of(self, database):
        """Return the names of the users that belong to a database."""
        return sorted(name for name in self.accounts if name == database or name.startswith(database + "_"))


def read(client):
    """Return what the server has of names that could be ours."""
    live = Live()
    for row in client.rows(
        "SELECT SCHEMA_NAME AS name, DEFAULT_CHARACTER_SET_NAME AS charset, DEFAULT_COLLATION_NAME AS collation, "
        "SCHEMA_COMMENT AS comment FROM information_schema.SCHEMATA WHERE SCHEMA_NAME LIKE %s",
        LIKE,
    ):
        live.databases[row["name"]] = (row["charset"], row["collation"], row["comment"])
    for row in client.rows("SELECT User, Host, Priv FROM mysql.global_priv WHERE User LIKE %s", LIKE):
        held = json.loads(row["Priv"])
        live.accounts.setdefault(row["User"], {})[row["Host"]] = Account(
            # A second way in is as good as another plugin: it has to go.
            plugin="" if "auth_or" in held else held.get("plugin", ""),
            secret=held.get("authentication_string", ""),
            locked=bool(held.get("account_locked")),
            more=bool(held.get("access")),
        )
    columns = [row["Field"] for row in client.rows("SHOW COLUMNS FROM mysql.db LIKE %s", "%\\_priv")]
    live.every = frozenset(columns) - {"Grant_priv"}
    for row in client.rows("SELECT * FROM mysql.db WHERE User LIKE %s", LIKE):
        account = live.accounts.get(row["User"], {}).get(row["Host"])
        if account:
            account.grants[row["Db"]] = frozenset(name for name in columns if row[name] == "Y")
    for row in client.rows(
        "SELECT User, Host FROM mysql.tables_priv WHERE User LIKE %s "
        "UNION SELECT User, Host FROM mysql.columns_priv WHERE User LIKE %s "
        "UNION SELECT User, Host FROM mysql.procs_priv WHERE User LIKE %s",
        LIKE,
        LIKE,
        LIKE,
    ):
        account = live.accounts.get(row["User"], {}).get(row["Host"])
        if account:
            account.more = True
    return live
