"""Writes to whichever server of a shard takes writes, and keeps a ledger of what was acknowledged.

Reads a line ``{hosts, user, password, database, seconds, threads}`` from stdin and makes the table ``ledger``. Each
thread rests for ``rest`` seconds after a commit. It ends before its seconds are over with ``until_closed`` when stdin
is closed, and with ``stop`` when a file of that name is there. Prints what the server that takes writes holds then:
``{"acknowledged", "lost": [ids], "pause": longest seconds without any acknowledged commit, "host": of the last one}``.
"""

import itertools
import json
import os
import sys
import threading
import time

import pymysql

asked = json.loads(sys.stdin.readline())
end = time.monotonic() + asked["seconds"]
closed = threading.Event()
lock = threading.Lock()
ledger = []  # (moment, id, host) of acknowledged commits


def connect():
    """Return a connection to the server that takes writes, and its address; None if there is none."""
    for host in asked["hosts"]:
        try:
            connection = pymysql.connect(
                host=host,
                user=asked["user"],
                password=asked["password"],
                database=asked["database"],
                connect_timeout=1,
                read_timeout=30,
                write_timeout=5,
            )
            with connection.cursor() as cursor:
                cursor.execute("SELECT @@GLOBAL.read_only")
                if cursor.fetchone()[0] == 0:
                    return connection, host
            connection.close()
        except pymysql.MySQLError:
            pass
    return None, None


def write(number):
    """Write rows of one's own, each in a transaction, until the time is up."""
    connection, host, row = None, None, number
    while time.monotonic() < end and not closed.is_set() and not os.path.exists(asked.get("stop", "")):
        if connection is None:
            connection, host = connect()
            if connection is None:
                time.sleep(0.05)
                continue
        row += asked["threads"]
        try:
            with connection.cursor() as cursor:
                cursor.execute("INSERT INTO ledger VALUES (%s, %s)", (row, "x" * 100))
            connection.commit()
        except pymysql.MySQLError:
            # It may be there or not: nobody was told that it is.
            connection.close()
            connection = None
            continue
        with lock:
            ledger.append((time.monotonic(), row, host))
        time.sleep(asked.get("rest", 0))


connection, _ = connect()
with connection.cursor() as cursor:
    cursor.execute("DROP TABLE IF EXISTS ledger")
    cursor.execute("CREATE TABLE ledger (id INT PRIMARY KEY, text VARCHAR(100))")
connection.close()
writers = [threading.Thread(target=write, args=(number,)) for number in range(asked["threads"])]
for writer in writers:
    writer.start()
if asked.get("until_closed"):
    sys.stdin.read()
    closed.set()
for writer in writers:
    writer.join()
connection, _ = connect()
with connection.cursor() as cursor:
    cursor.execute("SELECT id FROM ledger")
    held = {row[0] for row in cursor.fetchall()}
ledger.sort()
print(
    json.dumps(
        {
            "acknowledged": len(ledger),
            "lost": sorted({row for _, row, _ in ledger} - held)[:20],
            "pause": round(max((after[0] - before[0] for before, after in itertools.pairwise(ledger)), default=0), 2),
            "host": ledger[-1][2] if ledger else None,
        }
    )
)
