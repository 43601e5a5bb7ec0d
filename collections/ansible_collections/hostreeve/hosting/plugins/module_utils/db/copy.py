# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Other servers of the shard, asked over their port with TLS, and a copy of the primary's data taken from there.

MariaDB's own clients do both: from 11.4 on they verify a certificate that nobody signed by the password they share.
"""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError

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
    """Load all data of another server into this one, which must be empty; return the GTID position of the copy.

    Nothing of it is logged here, and until the end nothing says that this server holds anything: a copy that breaks off
    is begun anew. ServerError says what went wrong.
    """
    names = ask(client_file, host, "SELECT GROUP_CONCAT(SCHEMA_NAME SEPARATOR '/') FROM information_schema.SCHEMATA")
    databases = [name for name in names[0].split("/") if name not in OWN]
    dump = [
        "mariadb-dump", "--defaults-file=" + client_file, "--host=" + host, "--single-transaction", "--master-data=2",
        "--gtid", "--routines", "--events", "--hex-blob", "--quick", "--flush-privileges",
        "--ignore-table=mysql.gtid_slave_pos", "--ignore-table=mysql.innodb_index_stats",
        "--ignore-table=mysql.innodb_table_stats", "--databases", *databases, "mysql",
    ]  # fmt: skip
    load = ["mariadb", "--init-command=SET SESSION sql_log_bin = 0", "--max-allowed-packet=1G"]
    head, tail, broken = b"", b"", False
    with (
        subprocess.Popen(dump, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as source,
        subprocess.Popen(load, stdin=subprocess.PIPE, stderr=subprocess.PIPE) as target,
    ):
        while chunk := source.stdout.read(CHUNK):
            head = head or chunk[:EDGE]
            tail = (tail + chunk)[-EDGE:]
            try:
                target.stdin.write(chunk)
            except BrokenPipeError:
                broken = True
                source.kill()
                break
        errors = [source.stderr.read(), b""]
        try:
            target.stdin.close()
        except BrokenPipeError:
            broken = True
        errors[1] = target.stderr.read()
    if source.returncode or target.returncode or broken:
        text = b"; ".join(filter(None, errors)).decode("utf-8", "replace").strip()
        raise ServerError("the copy of %s failed: %s" % (host, text[:500]))
    position = position_of(head, tail)
    if not position:
        raise ServerError("the copy of %s names no position: has it a binary log?" % host)
    return position


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
