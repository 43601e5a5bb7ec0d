# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The difference between what is wanted and what a server has, as statements. Nothing here touches a server."""

from __future__ import annotations

from dataclasses import dataclass, field

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import identifier, pattern
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.live import COPYING, KEPT, MARK, READY

PLUGIN = "mysql_native_password"
#: Privileges of a user → words of GRANT. ALL does not hold the right to grant.
GRANT = {"all": "ALL PRIVILEGES", "read-only": "SELECT, SHOW VIEW"}


@dataclass
class Change:
    """What makes one item as wanted: ``statements`` are (SQL, values), ``words`` say it, without secrets.

    ``drop`` names a database to be dumped and dropped, ``kill`` users whose connections end.
    """

    words: list = field(default_factory=list)
    statements: list = field(default_factory=list)
    before: str = ""
    after: str = ""
    drop: str = ""
    kill: list = field(default_factory=list)

    def add(self, word, statement, *values):
        """Add a statement and what it is called."""
        if word and word not in self.words:
            self.words.append(word)
        self.statements.append((statement, values))

    def __bool__(self):
        return bool(self.words)


def database(wanted, live):
    """Return the change of one database. Raises ValueError where the host has one that is not ours."""
    change = Change()
    have = live.databases.get(wanted.name)
    if have and not live.is_ours(wanted.name):
        raise ValueError("the host has a database %s of its own, which is not ours to change" % wanted.name)
    if have and have[2] == COPYING and wanted.present:
        raise ValueError("the copy of %s here is not complete: it is moving here, or that broke off" % wanted.name)
    if not wanted.present:
        users = live.users_of(wanted.name)
        if have:
            change.words.append("dropped; its last dump is kept")
            change.drop = wanted.name
            change.before = _database_text(wanted.name, *have[:2])
        elif users:
            change.words.append("its users were dropped")
        for user in users:
            drop_user(change, user, live, "")
        return change
    name = identifier(wanted.name, grammar.database_name)
    change.after = _database_text(wanted.name, wanted.charset, wanted.collation)
    if not have:
        statement = "CREATE DATABASE " + name + " CHARACTER SET %s COLLATE %s COMMENT %s"
        change.add("created", statement, wanted.charset, wanted.collation, MARK)
        return change
    if have[2] != MARK:
        word = {KEPT: "back in service", READY: "taken over"}.get(have[2], "marked again")
        change.add(word, "ALTER DATABASE " + name + " COMMENT %s", MARK)
    if have[:2] != (wanted.charset, wanted.collation):
        change.before = _database_text(wanted.name, *have[:2])
        # For tables that come; those that are there keep theirs.
        statement = "ALTER DATABASE " + name + " CHARACTER SET %s COLLATE %s"
        change.add("character set changed", statement, wanted.charset, wanted.collation)
    return change


def user(wanted, live):
    """Return the change of one user's accounts."""
    change = Change()
    have = live.accounts.get(wanted.name, {})
    change.before = "".join(
        _account_text(wanted.name, host, account.locked, live.called(account)) for host, account in sorted(have.items())
    )
    if wanted.state == "absent":
        drop_user(change, wanted.name, live, "dropped")
        return change
    for host in sorted(set(have) - set(wanted.hosts)):
        change.add("hosts changed", "DROP USER %s@%s", wanted.name, host)
        change.kill = [wanted.name]
    for host in wanted.hosts:
        _account(change, wanted, host, have, live)
    if wanted.state == "suspended":
        change.kill = [wanted.name]
    change.after = "".join(
        _account_text(wanted.name, host, wanted.state == "suspended", wanted.privileges)
        for host in sorted(wanted.hosts)
    )
    return change


def _account(change, wanted, host, have, live):
    who, account = (wanted.name, host), have.get(host)
    locked = wanted.state == "suspended"
    lock = " ACCOUNT LOCK" if locked else " ACCOUNT UNLOCK"
    if account is None:
        word = "hosts changed" if have else "created"
        statement = "CREATE USER %s@%s IDENTIFIED VIA " + PLUGIN + " USING %s" + lock
        change.add(word, statement, *who, wanted.secret)
    elif (account.plugin, account.secret) != (PLUGIN, wanted.secret):
        statement = "ALTER USER %s@%s IDENTIFIED VIA " + PLUGIN + " USING %s" + lock
        change.add("password changed", statement, *who, wanted.secret)
        if account.locked != locked:
            change.words.append("suspended" if locked else "unsuspended")
    elif account.locked != locked:
        change.add("suspended" if locked else "unsuspended", "ALTER USER %s@%s" + lock, *who)
    target = pattern(wanted.database, grammar.database_name)
    expected = {target.strip("`"): live.granted(wanted.privileges)}
    if account is None or account.grants != expected or account.more:
        word = "" if account is None else "privileges changed"
        if account is not None:
            change.add(word, "REVOKE ALL PRIVILEGES, GRANT OPTION FROM %s@%s", *who)
        change.add(word, "GRANT " + GRANT[wanted.privileges] + " ON " + target.replace("%", "%%") + ".* TO %s@%s", *who)


def drop_user(change, name, live, word):
    """Add what removes all accounts of a user."""
    for host in sorted(live.accounts.get(name, {})):
        # Another item of the same list may have dropped it.
        change.add(word, "DROP USER IF EXISTS %s@%s", name, host)
        change.kill = sorted({*change.kill, name})


def _database_text(name, charset, collation):
    return "%s %s %s\n" % (name, charset, collation)


def _account_text(name, host, locked, privileges):
    return "%s@%s %s%s\n" % (name, host, privileges, " locked" if locked else "")
