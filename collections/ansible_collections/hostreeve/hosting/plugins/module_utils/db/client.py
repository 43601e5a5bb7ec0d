# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""A connection to the host's own MariaDB, over its socket as root, and the only ways to put a name into SQL.

Values always travel as parameters. Names cannot: ``identifier`` and ``pattern`` quote what the grammar has passed,
``quoted`` what a server itself has said.
"""

from __future__ import annotations

import contextlib
import hashlib
import subprocess
import time

SOCKET = "/run/mysqld/mysqld.sock"
UNIT = "mariadb.service"
#: Seconds that a server may take to start: after a crash it first repairs its data; and until systemd knows of one.
STARTS, KNOWN = 300, 2
#: States of a systemd unit that pass by themselves; one that will be started again is "activating".
PASSING = {"activating", "deactivating", "reloading"}


class ServerError(Exception):
    """MariaDB does not answer, or refuses a statement; the text is fit for a user."""


def identifier(name, grammar):
    """Return a name quoted as an identifier; ``grammar`` is the function that it must pass. Raises ValueError."""
    return "`%s`" % grammar(name).replace("`", "``")


def quoted(name):
    """Return a name that a server has of its own (a tenant's table may be called anything) as an identifier."""
    return "`%s`" % name.replace("`", "``")


def pattern(name, grammar):
    """Return a database's name as GRANT wants it, where ``_`` and ``%`` would otherwise stand for any character."""
    text = grammar(name).replace("\\", "\\\\").replace("_", "\\_").replace("%", "\\%")
    return "`%s`" % text.replace("`", "``")


def password_hash(password):
    """Return what MariaDB stores for a password (mysql_native_password): upper-case hexadecimal after a star."""
    inner = hashlib.sha1(password.encode("utf-8"), usedforsecurity=False).digest()
    return "*" + hashlib.sha1(inner, usedforsecurity=False).hexdigest().upper()


def is_passing(*units):
    """Tell whether one of this host's units is on its way to another state, or waits for its turn to be."""
    show = ["systemctl", "show", "--property=ActiveState,Job", "--value", *units]
    words = subprocess.run(show, capture_output=True, text=True, check=False).stdout.split()
    return any(word in PASSING or (word.isdigit() and word != "0") for word in words)


class Client:
    """One connection, of root over the socket unless ``where`` says otherwise; ``rows`` and ``run`` raise ServerError.

    A call carries one statement: there is no way to put a second one behind it. ServerError as well if the server does
    not answer at once; ``when_started`` waits for one that starts.
    """

    def __init__(self, **where):
        import pymysql

        # A connection that breaks in the middle of an answer raises other errors than pymysql's own.
        self._errors = (pymysql.MySQLError, OSError)
        where = where or {"unix_socket": SOCKET, "user": "root"}
        try:
            self._connection = pymysql.connect(
                charset="utf8mb4",
                autocommit=True,
                connect_timeout=10,
                cursorclass=pymysql.cursors.DictCursor,
                **where,
            )
        except self._errors as error:
            place = where.get("host") or where["unix_socket"]
            raise ServerError("MariaDB does not answer on %s: %s" % (place, _text(error))) from None

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
        with contextlib.suppress(*self._errors):
            self._connection.close()


def when_started():
    """Return root's connection to the host's own server, which is waited for while it starts. Raises ServerError.

    For what has time: whoever moves a primary asks a server that goes on crashing, and must not wait for it.
    """
    began = time.monotonic()
    while (waited := time.monotonic() - began) < STARTS:
        try:
            return Client()
        except ServerError:
            if waited > KNOWN and not is_passing(UNIT):
                break
        time.sleep(0.5)
    # It may have come up between the two questions.
    return Client()


def _text(error):
    """Return an error's text without the statement, which the server repeats in errors of syntax only."""
    parts = getattr(error, "args", ())
    return str(parts[1] if len(parts) > 1 else error)[:500]
