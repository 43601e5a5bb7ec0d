# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The two accounts of a copy, one at either end, that live as long as the copy; and the ways in with them.

The password of each is made up on the target and never leaves it: the source is given its hash.
"""

from __future__ import annotations

import contextlib
import hashlib
import re
import secrets
import ssl
import subprocess

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import schema
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import (
    SOCKET,
    Client,
    ServerError,
    password_hash,
    pattern,
)

USER = "hostreeve_copy"
PLUGIN = "mysql_native_password"
READ = "SELECT, SHOW VIEW, TRIGGER, EVENT, LOCK TABLES"
#: On the database; and on the server, since what it makes belongs to users that come later.
RIGHTS_HERE = ("ALL PRIVILEGES", "SET USER ON *.*")
BLOCK = re.compile(r"-----BEGIN CERTIFICATE-----.+?-----END CERTIFICATE-----\n?", re.DOTALL)

hash_of = password_hash


def release(version):
    """Return (major, minor) of what a server calls its version."""
    major, minor = version.split(".")[:2]
    return int(major), int(minor)


def rights_there(version):
    """Return what a copy needs at the source: rights on the database, and one more.

    Before 11.3 only the table that holds the routines of all databases shows their bodies.
    """
    if release(version) >= (11, 3):
        return (READ + ", SHOW CREATE ROUTINE", "")
    return (READ, "SELECT ON mysql.proc")


def account(db, host, database, secret, rights):
    """Make the account of a copy, for this server alone; an earlier one goes. ``rights``: on the database, and more.

    From another host only over TLS.
    """
    drop_accounts(db, [host])
    with db.unreplicated():
        require = "" if host == "localhost" else " REQUIRE SSL"
        db.run("CREATE USER %s@%s IDENTIFIED VIA " + PLUGIN + " USING %s" + require, USER, host, secret)
        target = pattern(database, grammar.database_name).replace("%", "%%")
        db.run("GRANT " + rights[0] + " ON " + target + ".* TO %s@%s", USER, host)
        if rights[1]:
            db.run("GRANT " + rights[1] + " TO %s@%s", USER, host)


def hold_places(db, database, accounts):
    """Make the users of the database here, shut and with a password that nobody knows, as far as they are missing.

    Views that use others can be made only where those with whose rights they run are there. A converge makes them what
    the lists say.
    """
    target = pattern(database, grammar.database_name).replace("%", "%%")
    for user, host in accounts:
        if not schema.belongs(grammar.database_user_name(user), database):
            raise ValueError("accounts: %s is no user of the database" % user)
        if not db.rows("SELECT 1 FROM mysql.global_priv WHERE User = %s AND Host = %s", user, host):
            nobodys = password_hash(secrets.token_hex(24))
            db.run("CREATE USER %s@%s IDENTIFIED VIA " + PLUGIN + " USING %s ACCOUNT LOCK", user, host, nobodys)
            db.run("GRANT ALL PRIVILEGES ON " + target + ".* TO %s@%s", user, host)


def drop_accounts(db, hosts=None):
    """Drop the accounts of copies, by default of all hosts and with their connections; tell whether there were any."""
    rows = db.rows("SELECT Host FROM mysql.global_priv WHERE User = %s", USER)
    gone = [row["Host"] for row in rows if hosts is None or row["Host"] in hosts]
    with db.unreplicated():
        for host in gone:
            db.run("DROP USER %s@%s", USER, host)
    if hosts is None:
        for row in db.rows("SELECT ID FROM information_schema.PROCESSLIST WHERE USER = %s", USER):
            with contextlib.suppress(ServerError):  # it has ended by itself
                db.run("KILL %s", row["ID"])
    return bool(gone)


def options(password, **more):
    """Return an option file for MariaDB's own programs."""
    lines = ["[client]", "user = " + USER, "password = " + password]
    return "\n".join([*lines, *("%s = %s" % (name.replace("_", "-"), value) for name, value in more.items())]) + "\n"


def reach(state, address, certificate, database):
    """Return what opens a connection to the source, and let the programs find it: known by its certificate."""
    found = BLOCK.search(certificate)
    if not found:
        raise ValueError("certificate: must be in PEM form")
    pem = found.group()
    fingerprint = hashlib.sha256(ssl.PEM_cert_to_DER_cert(pem)).hexdigest().upper()
    password, (host, port) = _password(state.source_file), address
    more = {"host": host, "port": port, "ssl": "ON"}
    # MariaDB 10.11's programs encrypt without verifying.
    if "--ssl-fp=" in subprocess.run(["mariadb-dump", "--help"], capture_output=True, text=True, check=False).stdout:
        more["ssl_fp"] = ":".join(fingerprint[i : i + 2] for i in range(0, len(fingerprint), 2))
    state.put(state.source_file, options(password, **more))
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    # This certificate and no other, whatever it is called and whoever has signed it.
    context.check_hostname = False
    context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    context.load_verify_locations(cadata=pem)

    def connect():
        client = Client(
            host=host, port=port, user=USER, password=password, database=database, ssl=context, read_timeout=86400
        )
        schema.plain(client)
        return client

    return connect


def local(state, database):
    """Return a connection to this server as the account of the copy."""
    client = Client(unix_socket=SOCKET, user=USER, password=_password(state.target_file), database=database)
    schema.plain(client)
    return client


def _password(path):
    with open(path) as handle:
        return next(line.partition("= ")[2].strip() for line in handle if line.startswith("password"))
