# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Views whose tables are gone: one of them ends a dump of everything, so dumps leave them out."""

from __future__ import annotations

import itertools
import secrets
import subprocess

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError, quoted

#: Neither commands of the client nor files: names are whatever tenants have chosen.
OPTIONS = ["--binary-mode", "--sandbox", "--batch", "--skip-column-names"]
NAMES = "SELECT HEX(TABLE_SCHEMA), HEX(TABLE_NAME) FROM information_schema.TABLES WHERE TABLE_TYPE = 'VIEW';"
SECONDS = 600


def broken(where, databases):
    """Return ``database.view`` of the views that a dump cannot read. ServerError if the server does not answer.

    ``where`` are the client's options that lead to the server.
    """
    found = [tuple(bytes.fromhex(part).decode() for part in row.split("\t")) for row in _ask(where, NAMES)]
    views = [view for view in found if view[0] in databases]
    if not views:
        return []
    # Each begins with a row that no tenant can foresee; a view that can be read has a row for each column.
    mark = secrets.token_hex(16)
    asked = []
    for number, view in enumerate(views):
        asked += ["SELECT '%s %d';" % (mark, number), "SHOW FIELDS FROM %s.%s;" % tuple(map(quoted, view))]
    whole = set()
    for row, following in itertools.pairwise(_ask([*where, "--force"], *asked)):
        if row.startswith(mark) and not following.startswith(mark):
            whole.add(int(row.split(" ")[1]))
    return ["%s.%s" % view for number, view in enumerate(views) if number not in whole]


def _ask(where, *statements):
    # With --force the exit code says nothing; that the last row is there does.
    end = secrets.token_hex(16)
    text = "\n".join([*statements, "SELECT '%s';\n" % end])
    try:
        done = subprocess.run(
            ["mariadb", *where, *OPTIONS], input=text.encode(), capture_output=True, timeout=SECONDS, check=False
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise ServerError("views could not be read: %s" % error) from None
    rows = done.stdout.decode("utf-8", "replace").splitlines()
    if not rows or rows[-1] != end:
        raise ServerError("views could not be read")
    return rows[:-1]
