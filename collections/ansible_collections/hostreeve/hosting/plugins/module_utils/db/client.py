# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection to the host's own MariaDB, over its socket as root, and the only two ways to put a name into SQL.

Values always travel as parameters. Names cannot: ``identifier`` and ``pattern`` quote what the grammar has passed.
"""

from __future__ import annotations

import contextlib
import hashlib

SOCKET = "/run/mysqld/mysqld.sock"


class ServerError(Exception):
    """MariaDB does not answer, or refuses a statement; the text is fit for a user."""


def identifier(name, grammar):
    """Return a name quoted as an identifier; ``grammar`` is the function that it must pass. Raises ValueError."""
    return "`%s`" % grammar(name).replace("`", "``")


def pattern(name, grammar):
    """Return a database's name as GRANT wants it, where ``_`` and ``%`` would otherwise stand for any character."""
    text = grammar(name).replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return "`%s`" % text.replace("`", "``")


def password_hash(password):
    """Return what MariaDB stores for a password (mysql_native_password): upper-case hexadecimal after a star."""
    inner = hashlib.sha1(password.encode("utf-8"), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


class Client:
    """One connection; ``rows`` and ``run`` raise ServerError."""

    def __init__(self, socket=SOCKET):
        import pymysql

        self._errors = pymysql.MySQLError
        try:
            self._connection = pymysql.connect(
                unix_socket=socket,
                user="root",
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=10,
                cursorclass=pymysql.cursors.DictCursor,
            )
        except self._errors as error:
            raise ServerError("MariaDB does not answer on %s: %s" % (socket, _text(error))) from None

    def rows(self, statement, *values):
        """Return the rows of a query as mappings."""
        try:
            with self._connection.cursor() as cursor:
                cursor.execute(statement, values or None)
                return list(cursor.fetchall())
        except self._errors as error:
            raise ServerError(_text(error)) from None

    def run(self, statement, *values):
        """Carry out a statement."""
        self.rows(statement, *values)

    def value(self, statement, *values):
        """Return the only value of a query."""
        return next(iter(self.rows(statement, *values)[0].values()))

    @contextlib.contextmanager
    def unreplicated(self):
        """Write what concerns this server alone."""
        self.run("SET SESSION sql_log_bin = 0")
        try:
            yield
        finally:
            self.run("SET SESSION sql_log_bin = 1")

    def close(self):
        """End the connection."""
        with contextlib.suppress(self._errors, OSError):
            self._connection.close()


def _text(error):
    """Return an error's text without the statement, which the server repeats in errors of syntax only."""
    parts = getattr(error, "args", ())
    return str(parts[1] if len(parts) > 1 else error)[:500]
