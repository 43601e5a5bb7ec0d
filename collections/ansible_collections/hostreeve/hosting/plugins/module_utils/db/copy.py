# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other servers of the shard, asked over their port with TLS, and a copy of the primary's data taken from there.

MariaDB's own clients do both: from 11.4 on they verify a certificate that nobody signed by the password they share.
"""

from __future__ import annotations

import contextlib
import os
import re
import shutil
import subprocess
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.db import views
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.complaints import Complaints, text_of

#: Databases that every server has of its own.
OWN = ("information_schema", "performance_schema", "sys", "mysql")
POSITION = re.compile(rb"^-- SET GLOBAL gtid_slave_pos='([0-9,-]*)'", re.MULTILINE)
CHUNK = 1 << 20
#: Bytes at the beginning and at the end of a dump in which its position stands.
EDGE = 4096
DATA = "/var/lib/mysql"


def ask(client_file, host, query, seconds=10):
    """Return the first row of a query on another server as texts; ServerError if it does not answer."""
    command = ["mariadb", "--defaults-file=" + client_file, "--host=" + host, "--connect-timeout=5", "-NBre", query]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=seconds, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError("%s does not answer: %s" % (host, error)) from None
    if done.returncode:
        raise ServerError("%s does not answer: %s" % (host, done.stderr.strip()[:300]))
    return done.stdout.rstrip("\n").split("\t")


def position_of(head, tail):
    """Return the GTID position in a dump's first and last bytes, or None.

    It stands before everything (MariaDB 10.11) or after everything (11.8) that a tenant can have put into a database,
    where the text of a procedure might pretend to be it.
    """
    header = POSITION.search(head.partition(b"\n-- Current Database: ")[0])
    found = header or next(reversed(list(POSITION.finditer(tail))), None)
    return found.group(1).decode() if found else None


def copy(client_file, host):
    """Load all data of another server into this one, which must be empty.

    Returns (GTID position of the copy, broken views that it lacks); ServerError says what went wrong. Nothing of it is
    logged here, and until the end nothing says that this server holds anything: a copy that breaks off is begun anew.
    """
    names = ask(client_file, host, "SELECT GROUP_CONCAT(SCHEMA_NAME SEPARATOR '/') FROM information_schema.SCHEMATA")
    databases = [name for name in names[0].split("/") if name not in OWN]
    where = ["--defaults-file=" + client_file, "--host=" + host]
    broken = views.broken(where, databases)
    dump = [
        "mariadb-dump", *where, "--single-transaction", "--quick", "--hex-blob", "--master-data=2", "--gtid",
        "--flush-privileges", "--ignore-table=mysql.gtid_slave_pos", "--ignore-table=mysql.innodb_index_stats",
        "--ignore-table=mysql.innodb_table_stats", *("--ignore-table=" + view for view in broken),
        "--databases", *databases, "mysql",
    ]  # fmt: skip
    # Routines and events come as rows of mysql.proc and mysql.event, in hexadecimal. As texts the client would have to
    # find their ends, which it does otherwise than the server: a tenant's text would go on as a statement of root's.
    events = [
        "mariadb-dump", *where, "--single-transaction", "--quick", "--hex-blob", "--no-create-info", "--replace",
        "--skip-triggers", "--events", "mysql", "event",
    ]  # fmt: skip
    load = ["mariadb", "--init-command=SET SESSION sql_log_bin = 0", "--max-allowed-packet=1G"]
    with subprocess.Popen(load, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as target:
        said = Complaints(target.stderr)
        try:
            position = position_of(*_pass_on(dump, target, host))
            target.stdin.write(b"USE mysql;\n")
            _pass_on(events, target, host)
            target.stdin.close()
        except ServerError:
            target.kill()
            with contextlib.suppress(BrokenPipeError):
                target.stdin.close()
            raise
        except BrokenPipeError:
            with contextlib.suppress(BrokenPipeError):
                target.stdin.close()
        if target.wait():
            raise ServerError("the copy of %s failed: %s" % (host, text_of([said], [target.returncode])))
    if not position:
        raise ServerError("the copy of %s names no position: has it a binary log?" % host)
    return position, broken


def _pass_on(dump, target, host):
    """Write a dump to the client that loads it; return its first and last bytes. ServerError, BrokenPipeError."""
    head, tail = b"", b""
    with subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as source:
        complaints = Complaints(source.stderr)
        while chunk := source.stdout.read(CHUNK):
            head = head or chunk[:EDGE]
            tail = (tail + chunk)[-EDGE:]
            try:
                target.stdin.write(chunk)
            except BrokenPipeError:
                source.kill()
                raise
        code = source.wait()
    if code:
        raise ServerError("the copy of %s failed: %s" % (host, text_of([complaints], [code])))
    return head, tail


def empty_server(module, keep):
    """Stop the server, take its data away (with ``keep``: put it aside), and start an empty one; return where it is.

    ServerError if a step fails.
    """
    _call(module, ["systemctl", "stop", "mariadb"])
    aside = ""
    if keep:
        aside = "%s.aside-%s" % (DATA, time.strftime("%Y%m%dT%H%M%SZ", time.gmtime()))
        try:
            os.rename(DATA, aside)
        except OSError as error:
            _call(module, ["systemctl", "start", "mariadb"])
            raise ServerError("%s cannot be put aside: %s" % (DATA, error)) from None
    else:
        for entry in os.scandir(DATA):
            shutil.rmtree(entry.path) if entry.is_dir(follow_symlinks=False) else os.unlink(entry.path)
    os.makedirs(DATA, mode=0o755, exist_ok=True)
    shutil.chown(DATA, "mysql", "mysql")
    _call(
        module,
        ["mariadb-install-db", "--user=mysql", "--datadir=" + DATA, "--skip-test-db", "--rpm",
         "--auth-root-authentication-method=socket"],
    )  # fmt: skip
    _call(module, ["systemctl", "start", "mariadb"])
    return aside


def _call(module, command):
    code, out, err = module.run_command(command)
    if code:
        raise ServerError("%s failed: %s" % (" ".join(command[:3]), (err or out).strip()[-500:]))
