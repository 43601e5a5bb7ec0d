# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Copies one database from another server into this one while it is written to, and ends with both of them equal.

    copying    passes: what differs is copied, while clients read and write; each time less differs
    locking    writes at the source wait (LOCK TABLES of a connection from here: should this process, this host or the
               network die, the lock is gone); what still differs is copied, everything is compared
    verified   equal, and still locked: waits to be told that the source has shut its users out
    done       the copy here is complete; the lock is given back

Whatever goes wrong, the lock is given back, and the source is as it was.
"""

from __future__ import annotations

import contextlib
import time

from ansible_collections.hostreeve.hosting.plugins.module_utils.db import schema, transfer
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError, quoted
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.schema import Refused
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.transfer import Late

#: Passes at most while writes go on; another one must find less than this share of what the last one copied.
PASSES, SHRINKS = 6, 0.8
#: Share of the time for which writes may wait that is planned with; the rest is for what nobody foresees.
PLANNED = 0.5
#: Bytes in a second before any have been measured.
SPEED = 20 << 20
#: What a database needs on the disk: its own size, once more in binary logs, and some room to breathe.
TWICE, ROOM = 2.2, 256 << 20
#: With every right on the database, but not that of making these where there is a binary log: root makes them.
BY_ROOT = ("FUNCTION", "TRIGGER")


class Copier:
    """One copy. ``ends`` are functions that open connections that stand in the database: to the source, and here as the
    account of the copy and as root.

    ``state`` is told of progress and says when to go on; ``seconds`` bounds the time for which writes wait.
    """

    def __init__(self, database, ends, state, seconds):
        self.database, self.state, self.seconds = database, state, seconds
        self.open_there, self.open_here, self.open_root = ends
        self.speed, self.scan, self.passes, self.moved = SPEED, 0.0, 0, 0
        self.deadline = None

    def run(self, free):
        """Copy. ``free``: bytes of room on this host. Raises Refused, Late, ServerError; what is copied then stays."""
        with contextlib.ExitStack() as stack:
            self.there, self.here, self.root = (
                stack.enter_context(contextlib.closing(make()))
                for make in (self.open_there, self.open_here, self.open_root)
            )
            source = self.refuse(free)
            self.live(source)
            locking = stack.enter_context(contextlib.closing(self.open_there()))
            return self.locked(locking)

    def refuse(self, free):
        """Return what the source has; Refused where that cannot be copied."""
        source = self.read()
        if foreign := schema.foreign_definers(source, self.database):
            raise Refused("these run with the rights of somebody who is no user of it: " + ", ".join(foreign[:10]))
        if source.versioned:
            raise Refused("these tables keep a history, which cannot be copied: " + ", ".join(source.versioned[:10]))
        known = self.root.rows("SELECT COLLATION_NAME AS name FROM information_schema.COLLATIONS")
        used = self.there.rows(
            "SELECT DISTINCT COLLATION_NAME AS name FROM information_schema.COLUMNS "
            "WHERE TABLE_SCHEMA = %s AND COLLATION_NAME IS NOT NULL",
            self.database,
        )
        if missing := sorted({row["name"] for row in used} - {row["name"] for row in known}):
            raise Refused("this server does not know the collations " + ", ".join(missing))
        engines = self.root.rows(
            "SELECT ENGINE AS name FROM information_schema.ENGINES WHERE SUPPORT IN ('YES', 'DEFAULT')"
        )
        engines = {row["name"].lower() for row in engines}
        if missing := sorted({each.engine for each in source.tables.values() if each.engine.lower() not in engines}):
            raise Refused("this server has no engine " + ", ".join(missing))
        if (needed := int(source.size() * TWICE) + ROOM) > free:
            raise Refused("this host has %d MiB left and needs %d" % (free >> 20, needed >> 20))
        return source

    def read(self):
        """Read what the source is made of, and tell how much that is."""
        source = schema.read(self.there, self.database)
        tables = [table for table in source.tables.values() if not table.sequence]
        self.state.tell(
            tables_total=len(source.tables), rows_total=sum(each.rows for each in tables), bytes_total=source.size()
        )
        return source

    # --- while writes go on -------------------------------------------------------------------------------------------

    def live(self, source):
        """Copy until the rest would be done while writes wait; Late where it never comes to that."""
        left = None
        self.state.tell(phase="copying")
        while True:
            differing, _ = self.differing(source)
            size = source.size(differing)
            expected = self.scan + size / self.speed
            if left is not None and (not differing or expected < self.seconds * PLANNED / 2):
                break
            if left is not None and (size > left * SHRINKS or self.passes == PASSES):
                break
            if differing:
                self.copy(source, differing)
            left = size
            source = self.read()
        if expected > self.seconds * PLANNED:
            raise Late("writes would wait for about %d seconds" % expected)
        self.define(source, events=False)

    def differing(self, source):
        """Return the names of what differs, and the source's sums of the rest."""
        have = schema.read(self.here, self.database)
        for name in have.tables.keys() - source.tables.keys():
            schema.drop_table(self.here, name)
        same = [name for name, table in source.tables.items() if self.is_made(name, table, have)]
        began = time.monotonic()
        self.state.tell(comparing=True)
        mine, theirs = transfer.both_sums(self.there, self.here, self.database, source, same)
        self.scan = time.monotonic() - began
        equal = {name: value for name, value in mine.items() if theirs[name] == value}
        self.state.tell(comparing=False, rows=sum(rows for rows, _ in equal.values()), tables=len(equal))
        return [name for name in source.tables if name not in equal], equal

    def is_made(self, name, table, have):
        """Tell whether a table is here as it is there. Between two releases texts may differ that mean the same."""
        made = have.tables.get(name)
        if made is None or made.sequence != table.sequence:
            return False
        if self.state.same_release or table.sequence:
            return made.shape == table.shape
        return bool(self.state.texts.get(name) == table.shape)

    def copy(self, source, names):
        """Make tables anew and load their rows."""
        self.passes += 1
        began, passed, size = time.monotonic(), 0, source.size(names)
        self.state.tell(passes=self.passes)

        def told(count):
            nonlocal passed
            passed += count
            self.state.tell(now=False, bytes=self.moved + passed)

        tables = [name for name in names if not source.tables[name].sequence]
        for part in transfer.batches(tables, source.tables):
            for name in part:
                schema.put_table(self.here, name, source.tables[name])
                self.state.texts[name] = source.tables[name].shape
            files = (self.state.source_file, self.state.target_file)
            transfer.copy_rows(files, self.database, part, told, self.deadline)
        for name in names:
            if source.tables[name].sequence:
                schema.put_table(self.here, name, source.tables[name])
                transfer.copy_sequence(self.there, self.here, self.database, name)
        self.moved += passed
        seconds = time.monotonic() - began
        if seconds > 0.5 and size > 1 << 20:
            self.speed = max(size / seconds, 1 << 10)
        self.state.tell(bytes=self.moved)

    def define(self, source, events):
        """Make views, routines and triggers as they are there; with ``events`` those too, which run from then on."""
        have = schema.read(self.here, self.database)
        wanted = {key: text for key, text in source.definitions.items() if events or key[0] != "EVENT"}
        for key in have.definitions.keys() - wanted.keys():
            schema.drop(self.root, key)
        todo = [
            key
            for type_ in schema.ORDER
            for key in wanted
            if key[0] == type_ and have.definitions.get(key) != wanted[key]
        ]
        # A view may need another one that comes later.
        while todo:
            refused = {}
            for key in todo:
                try:
                    schema.put(self.root if key[0] in BY_ROOT else self.here, key, wanted[key])
                except ServerError as error:
                    refused[key] = error
            if len(refused) == len(todo):
                (type_, name), error = next(iter(refused.items()))
                raise Refused("the %s %s cannot be made here: %s" % (type_.lower(), name, error))
            todo = list(refused)

    # --- while writes wait --------------------------------------------------------------------------------------------

    def locked(self, locking):
        """Let writes wait, copy the rest, compare everything, and hold on until told to go on; return what was done."""
        began = time.monotonic()
        self.deadline = began + self.seconds
        for client in (locking, self.there, self.here):
            client.run("SET SESSION max_statement_time = %s, lock_wait_timeout = %s", self.seconds, int(self.seconds))
        self.state.tell(phase="locking")
        source = self.lock(locking)
        differing, sums = self.differing(source)
        if differing:
            self.copy(source, differing)
        self.define(source, events=False)
        sums |= self.verify(source, differing)
        self.state.tell(phase="verified", tables=len(sums), rows=sum(rows for rows, _ in sums.values()))
        while not self.state.may_go_on():
            if time.monotonic() > self.deadline:
                raise Late("nobody went on within %d seconds" % self.seconds)
            time.sleep(0.05)
        self.settle(source)
        return {
            "tables": len(sums),
            "rows": sum(rows for rows, _ in sums.values()),
            "bytes": self.moved,
            "passes": self.passes,
            "locked_seconds": round(time.monotonic() - began, 2),
        }

    def lock(self, locking):
        """Lock all tables of the source, also those that came meanwhile; return what it then has."""
        source = self.read()
        for _ in range(3):
            names = ", ".join("%s READ" % quoted(name) for name in source.tables)
            if names:
                locking.run("LOCK TABLES " + names)
            known, source = source.tables.keys(), self.read()
            if source.tables.keys() == known:
                return source
            locking.run("UNLOCK TABLES")
        raise ServerError("tables come and go at the source")

    def verify(self, source, copied):
        """Compare what was copied, and everything that is no row; return the sums. ServerError where they differ."""
        mine, theirs = transfer.both_sums(self.there, self.here, self.database, source, copied)
        if wrong := sorted(name for name in mine if mine[name] != theirs[name]):
            raise ServerError("the copies of these tables are not equal: " + ", ".join(wrong[:10]))
        self.compare(source, events=False)
        return mine

    def compare(self, source, events):
        """Hold everything that is no row against the source. ServerError where it differs."""
        have = schema.read(self.here, self.database)
        if have.tables.keys() != source.tables.keys():
            raise ServerError("the tables are not the same")
        if self.state.same_release:
            wrong = [name for name, table in source.tables.items() if have.tables[name].shape != table.shape]
        else:
            mine, theirs = (schema.shapes(client, self.database) for client in (self.there, self.here))
            wrong = [name for name in source.tables if mine.get(name) != theirs.get(name)]
        wanted = {key: each for key, each in source.definitions.items() if events or key[0] != "EVENT"}
        wrong += [name for (_, name), each in wanted.items() if have.definitions.get((_, name)) != each]
        wrong += [name for _, name in have.definitions.keys() - wanted.keys()]
        if wrong:
            raise ServerError("these are not the same: " + ", ".join(sorted(wrong)[:10]))
        if foreign := schema.foreign_definers(have, self.database):
            raise ServerError("these came with the rights of somebody else: " + ", ".join(foreign[:10]))

    def settle(self, source):
        """Nobody writes at the source any longer: take what changed around the locked tables, and the events."""
        now = schema.read(self.there, self.database)
        if {name: each.shape for name, each in now.tables.items()} != {n: e.shape for n, e in source.tables.items()}:
            raise ServerError("a table was made or changed at the source meanwhile")
        have = schema.read(self.here, self.database)
        for name, table in now.tables.items():
            if table.counter > have.tables[name].counter:
                self.here.run("ALTER TABLE %s AUTO_INCREMENT = %d" % (quoted(name), table.counter))
        if foreign := schema.foreign_definers(now, self.database):
            raise ServerError("these run with the rights of somebody else: " + ", ".join(foreign[:10]))
        self.define(now, events=True)
        self.compare(now, events=True)
