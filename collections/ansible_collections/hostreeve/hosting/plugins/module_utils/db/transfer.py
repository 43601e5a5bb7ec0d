# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The rows of a database's tables: from another server into this one, and the checksums by which both are compared.

MariaDB's own programs carry the rows, as accounts that reach this one database. The stream holds nothing but INSERTs:
what makes tables and everything else goes another way (``schema``).
"""

from __future__ import annotations

import contextlib
import subprocess
import threading
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError, quoted
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.complaints import Complaints, text_of

CHUNK = 1 << 20
#: Names in one call of a program, and tables in one CHECKSUM.
BATCH = 50
#: Bytes of tables in one call, so that progress is seen between two.
BATCH_BYTES = 256 << 20
DUMP = ["--single-transaction", "--quick", "--hex-blob", "--no-create-info", "--skip-triggers", "--skip-comments",
        "--skip-add-locks", "--no-tablespaces", "--no-autocommit", "--max-allowed-packet=1G"]  # fmt: skip
#: No commands of the client's own in what it reads: neither a shell nor files.
LOAD = ["--binary-mode", "--sandbox", "--batch", "--max-allowed-packet=1G"]


class Late(Exception):
    """It takes longer than it may."""


def batches(names, tables):
    """Give lists of names that go in one call."""
    part, size = [], 0
    for name in names:
        if part and (len(part) == BATCH or size + tables[name].size > BATCH_BYTES):
            yield part
            part, size = [], 0
        part.append(name)
        size += tables[name].size
    if part:
        yield part


def copy_rows(files, database, names, told, deadline=None):
    """Load the rows of some tables, which are there and empty; ``told`` is called with the bytes that have passed.

    ``files`` are the programs' options for the source and for here. Raises ServerError, and Late past the deadline
    (time.monotonic()).
    """
    source_file, target_file = files
    dump = ["mariadb-dump", "--defaults-file=" + source_file, *DUMP, "--", database, *names]
    load = ["mariadb", "--defaults-file=" + target_file, *LOAD, "--database=" + database]
    late = threading.Event()
    with (
        subprocess.Popen(dump, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as source,
        subprocess.Popen(load, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE) as target,
    ):

        def stop():
            late.set()
            source.kill()
            target.kill()

        complaints = Complaints(source.stderr), Complaints(target.stderr)
        alarm = threading.Timer(max(deadline - time.monotonic(), 0), stop) if deadline else None
        if alarm:
            alarm.start()
        try:
            _pass_on(source, target, told)
        except BaseException:
            stop()
            raise
        finally:
            if alarm:
                alarm.cancel()
        codes = source.wait(), target.wait()
        text = text_of(complaints, codes)
    if late.is_set():
        raise Late
    if any(codes):
        raise ServerError("rows could not be copied: %s" % text)


def _pass_on(source, target, told):
    """Carry the one program's output to the other; one that takes no more ends the first too."""
    try:
        while chunk := source.stdout.read(CHUNK):
            target.stdin.write(chunk)
            told(len(chunk))
        target.stdin.close()
    except BrokenPipeError:
        source.kill()
        with contextlib.suppress(BrokenPipeError):
            target.stdin.close()


def copy_sequence(there, here, database, name):
    """Set a sequence to where it is at the source, beyond what that has handed out."""
    row = state_of(there, database, name)
    statement = "SELECT SETVAL(" + quoted(name).replace("%", "%%") + ", %s, 0, %s)"
    here.rows(statement, row["next_not_cached_value"], row["cycle_count"])


def state_of(client, database, name):
    """Return the only row of a sequence."""
    return client.rows(" ".join(["SELECT * FROM", path_of(database, name)]))[0]


def path_of(database, name):
    """Return a table's name as a statement has it."""
    return quoted(database) + "." + quoted(name)


def sums(client, database, schema, names):
    """Return {name: (rows, checksum)} of tables, and of sequences where they are."""
    found = {}
    tables = [name for name in names if not schema.tables[name].sequence]
    for start in range(0, len(tables), BATCH):
        part = tables[start : start + BATCH]
        paths = [path_of(database, name) for name in part]
        for name, row in zip(part, client.rows("CHECKSUM TABLE " + ", ".join(paths)), strict=True):
            found[name] = row["Checksum"]
        for name, path in zip(part, paths, strict=True):
            counting = " ".join(["SELECT COUNT(*) FROM", path])
            found[name] = (client.value(counting), found[name])
    for name in names:
        if schema.tables[name].sequence:
            row = state_of(client, database, name)
            found[name] = (1, (row["next_not_cached_value"], row["cycle_count"]))
    return found


def both_sums(there, here, database, schema, names):
    """Return the sums at the source and at the target, which count at the same time. Raises what either raised."""
    found, failed = {}, []

    def count(side, client):
        try:
            found[side] = sums(client, database, schema, names)
        except Exception as error:  # raised again in the thread that waits
            failed.append(error)

    threads = [threading.Thread(target=count, args=pair) for pair in (("source", there), ("target", here))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if failed:
        raise failed[0]
    return found["source"], found["target"]
