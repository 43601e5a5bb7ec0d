# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Carries changes out on a primary: statements, connections that end, last dumps."""

from __future__ import annotations

import contextlib
import os
import subprocess
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import views
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError, identifier


def carry_out(client, change, dumps):
    """Carry one change out. ServerError leaves the item as far as it came; a converge goes on from there."""
    if change.drop:
        # Nothing may be written between the dump and the drop.
        locked = lock(client, change.kill)
        end_connections(client, change.kill)
        try:
            dump(change.drop, dumps)
            client.run("DROP DATABASE " + identifier(change.drop, grammar.database_name))
        except (ServerError, OSError):
            for who in locked:
                client.run("ALTER USER %s@%s ACCOUNT UNLOCK", *who)
            raise
    for statement, values in change.statements:
        client.run(statement, *values)
    end_connections(client, change.kill)


def lock(client, users):
    """Lock the open accounts of users; return which."""
    opened = unlocked(client, users)
    for who in opened:
        client.run("ALTER USER %s@%s ACCOUNT LOCK", *who)
    return opened


def unlocked(client, users):
    """Return the open accounts of users."""
    if not users:
        return []
    rows = client.rows(
        "SELECT User, Host FROM mysql.global_priv "
        "WHERE User IN %s AND COALESCE(JSON_VALUE(Priv, '$.account_locked'), '0') IN ('0', 'false')",
        list(users),
    )
    return [(row["User"], row["Host"]) for row in rows]


def end_connections(client, users):
    """End the connections of users: a lock or a drop only keeps new ones out."""
    if not users:
        return
    for row in client.rows("SELECT ID FROM information_schema.PROCESSLIST WHERE USER IN %s", list(users)):
        with contextlib.suppress(ServerError):  # it has ended by itself
            client.run("KILL %s", row["ID"])


def dump(name, directory):
    """Write the last dump of a database, compressed, without broken views; systemd-tmpfiles removes old ones.

    Raises ServerError, OSError.
    """
    os.makedirs(directory, mode=0o700, exist_ok=True)
    path = os.path.join(directory, "%s-%s.sql.zst" % (name, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime())))
    part = path + ".part"
    dumping = [
        "mariadb-dump", "--single-transaction", "--quick", "--routines", "--events", "--hex-blob",
        *("--ignore-table=" + view for view in views.broken([], [name])), "--databases", name,
    ]  # fmt: skip
    descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC | os.O_NOFOLLOW, 0o600)
    try:
        with (
            os.fdopen(descriptor, "wb") as target,
            subprocess.Popen(dumping, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as source,
            subprocess.Popen(["zstd", "-q"], stdin=source.stdout, stdout=target, stderr=subprocess.PIPE) as packer,
        ):
            source.stdout.close()
            texts = [packer.stderr.read(), source.stderr.read()]
            packer.wait()
            os.fsync(target.fileno())
        if source.returncode or packer.returncode:
            raise ServerError(
                "the last dump failed: " + b"; ".join(texts).decode("utf-8", "replace").strip("; \n")[:300]
            )
        os.rename(part, path)
    finally:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(part)
