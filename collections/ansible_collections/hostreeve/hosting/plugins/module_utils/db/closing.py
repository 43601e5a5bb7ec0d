# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""How a server that takes writes stops to take any, whatever its clients do."""

from __future__ import annotations

import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError

#: Connections that are not a client's.
OWN = ("system user", "event_scheduler", "root", "hostreeve_replication", "prometheus")


def close(db, seconds):
    """Take no more writes. A commit that is under way ends first; what is not committed by then never was.

    The server waits for tables that a client has locked and for statements that go on, and every new write queues up
    behind it: so it waits for a second at a time, and whoever stood in the way loses the connection. One that connects
    again and writes meanwhile does no harm. ServerError, with the server as it was, if ``seconds`` do not suffice.
    """
    end = time.monotonic() + seconds
    db.run("SET SESSION lock_wait_timeout = 1")
    while True:
        try:
            db.run("SET GLOBAL read_only = ON")
            break
        except ServerError:
            if time.monotonic() > end:
                raise
        end_clients(db)
        # What they held is given back once their threads notice.
        time.sleep(0.1)
    db.run("SET SESSION lock_wait_timeout = DEFAULT")


def end_clients(db):
    """End the connections of clients."""
    for row in db.rows("SELECT ID FROM information_schema.PROCESSLIST WHERE USER NOT IN %s", list(OWN)):
        try:
            db.run("KILL %s", row["ID"])
        except ServerError:
            continue  # it has ended by itself
