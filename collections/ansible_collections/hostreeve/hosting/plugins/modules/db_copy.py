#!/usr/bin/python
# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The steps by which a database moves to another shard."""

from __future__ import annotations

DOCUMENTATION = r"""
module: db_copy
short_description: Copy a database from the primary of another shard while it is in service, and shut it there
description:
  - One step of C(playbooks/move_database.yml). The host where the database goes pulls it from the other one's port,
    over TLS, as an account that reaches this one database, from this one address, for as long as the copy takes.
  - The copy is complete once everything was compared while writes waited. Until a list names the database here it is
    in nobody's service; M(hostreeve.hosting.db_resources) neither purges such a copy nor takes an incomplete one.
version_added: 0.3.0
author:
  - Hostreeve maintainers (@hostreeve)
extends_documentation_fragment:
  - hostreeve.hosting.run
options:
  step:
    description:
      - On the target, V(prepare) makes room for a copy, V(copy) makes it (for as long as somebody watches), V(watch)
        tells how far that is, V(finish) lets it end once the source is shut, V(stop) ends it.
      - On the source, V(offer) lets the target read, V(close) shuts the database's users out, V(reopen) lets them in
        again, V(withdraw) ends what V(offer) began.
      - V(drop) drops a copy that is in nobody's service, with a last dump, and the users that it has there.
    type: str
    choices: [prepare, offer, copy, watch, close, finish, reopen, stop, withdraw, drop]
    required: true
  database:
    description: Name of the database.
    type: str
    required: true
  target:
    description: Address from which the target reaches the source. Needed with O(step=offer).
    type: str
  password_hash:
    description: What V(prepare) returned. Needed with O(step=offer).
    type: str
  source:
    description: Address of the source. Needed with O(step=copy).
    type: str
  port:
    description: Port of the source.
    type: int
    default: 3306
  offered:
    description: What V(offer) returned. Needed with O(step=copy).
    type: dict
  certificate:
    description: File of the certificate by which this server is known. Needed with O(step=offer).
    type: path
  seconds:
    description: Seconds for which writes may wait. If it would take longer, nothing is moved.
    type: int
    default: 60
  dumps:
    description: Directory of the last dumps.
    type: path
    default: /var/lib/hostreeve/dropped-databases
requirements:
  - PyMySQL
attributes:
  check_mode:
    description: V(prepare), V(offer) and V(drop) look whether the database can go; the other steps are for real runs.
    support: partial
  diff_mode:
    description: There is none.
    support: none
"""

EXAMPLES = r"""
- name: Let the users of the database in again
  hostreeve.hosting.db_copy:
    step: reopen
    database: db_a1b2c3d4e5
"""

RETURN = r"""
progress:
  description: How far the copy is. Rows and bytes in all are estimates until everything was compared.
  type: dict
  returned: O(step=watch), O(step=finish)
  sample: {phase: copying, passes: 1, tables: 3, tables_total: 12, rows: 40, rows_total: 99, bytes: 9, bytes_total: 90}
"""

import contextlib
import ipaddress
import os
import secrets
import ssl
import time
import traceback
from functools import partial

from ansible.module_utils.basic import AnsibleModule, missing_required_lib
from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar, whole_list
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import (
    apply,
    live,
    moving,
    plan,
    schema,
    source,
    wanted,
)
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import (
    SOCKET,
    Client,
    ServerError,
    identifier,
    when_started,
)
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.copier import Copier
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.schema import Refused
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.transfer import Late

DATA = "/var/lib/mysql"
#: Seconds that a watcher waits for news, and that the connections of who is shut out may take to end.
NEWS, ENDS = 2, 10


def must_be_primary(db):
    """ServerError on a server that takes no writes, or follows another."""
    if db.rows("SHOW SLAVE STATUS") or db.value("SELECT @@GLOBAL.read_only"):
        raise ServerError("this server is not the primary of its shard")


def comment_of(db, database):
    """Return (comment, character set, collation) of a database, or None."""
    return next(
        (
            (row["comment"], row["charset"], row["collation"])
            for row in db.rows(
                "SELECT SCHEMA_COMMENT AS comment, DEFAULT_CHARACTER_SET_NAME AS charset, "
                "DEFAULT_COLLATION_NAME AS collation FROM information_schema.SCHEMATA WHERE SCHEMA_NAME = %s",
                database,
            )
        ),
        None,
    )


# --- the target -------------------------------------------------------------------------------------------------------


def prepare(module, database, state):
    """See that a copy may be made here, and make up the passwords of both its ends."""
    db = when_started()
    must_be_primary(db)
    have = comment_of(db, database)
    if have and have[0] == live.MARK:
        raise ServerError("the database %s is in service here" % database)
    if have and have[0] not in live.MOVING:
        raise ServerError("the host has a database %s of its own, which is not ours to replace" % database)
    if module.check_mode:
        return {"changed": True}
    state.end(moving.UNWATCHED)
    state.make()
    passwords = secrets.token_hex(24), secrets.token_hex(24)
    source.account(db, "localhost", database, source.hash_of(passwords[0]), source.RIGHTS_HERE)
    state.put(state.target_file, source.options(passwords[0], socket=SOCKET))
    state.put(state.source_file, source.options(passwords[1]))
    return {"changed": True, "password_hash": source.hash_of(passwords[1])}


def copy(module, database, state):
    """Make the copy; ends when it is complete, or cannot be."""
    offered = module.params["offered"]
    state.watch()
    with state.alive():
        try:
            root = when_started()
            must_be_primary(root)
            mine, theirs = (source.release(text) for text in (root.value("SELECT VERSION()"), offered["version"]))
            if mine < theirs:
                raise Refused(
                    "this server runs MariaDB %d.%d, an older release than the source's %d.%d" % (*mine, *theirs)
                )
            state.same_release = mine == theirs
            charset, collation = offered["charset"], offered["collation"]
            name = identifier(database, grammar.database_name)
            verb = "ALTER" if comment_of(root, database) else "CREATE"
            made = " CHARACTER SET %s COLLATE %s COMMENT %s"
            root.run(verb + " DATABASE " + name + made, charset, collation, live.COPYING)
            source.hold_places(root, database, offered["accounts"])
            disk = os.statvfs(DATA)
            address = module.params["source"], module.params["port"]
            there = source.reach(state, address, offered["certificate"], database)
            here = partial(source.local, state, database)
            as_root = partial(Client, unix_socket=SOCKET, user="root", database=database)
            copier = Copier(database, (there, here, as_root), state, module.params["seconds"])
            began = time.monotonic()
            done = copier.run(disk.f_bavail * disk.f_frsize)
            root.run("ALTER DATABASE " + name + " COMMENT %s", live.READY)
            state.tell(phase="done", done={**done, "seconds": round(time.monotonic() - began, 2)})
        except (Refused, Late, ServerError, OSError) as error:
            late = "writes would wait for longer than %d seconds" % module.params["seconds"]
            state.tell(phase="failed", msg=str(error) or late)
        except Exception as error:
            # Those who wait must hear of it, whatever it is.
            state.tell(phase="failed", msg="the copy broke: %s" % error)
            raise
    return {"changed": True}


def watch(module, database, state, until=("verified", "done")):
    """Tell how far the copy is; waits a little for news."""
    state.watch()
    deadline = time.monotonic() + NEWS
    while True:
        # In this order: what dies between the two has said why.
        lives = state.lives() or state.may_begin()
        seen = state.progress()
        phase = seen.get("phase")
        if phase == "failed":
            raise ServerError(seen["msg"])
        finished = phase in until
        if not finished and not lives:
            raise ServerError("the copy ended unexpectedly: %s" % (phase or "it never began"))
        if finished or time.monotonic() > deadline:
            return {"changed": False, "progress": seen, "finished": finished}
        time.sleep(0.05)


def finish(module, database, state):
    """The source is shut: let the copy end, and remove what it needed."""
    state.go_on()
    deadline = time.monotonic() + module.params["seconds"]
    while True:
        seen = watch(module, database, state, ("done",))
        if seen["finished"]:
            break
        if time.monotonic() > deadline:
            raise ServerError("the copy does not end")
    source.drop_accounts(when_started(), ["localhost"])
    state.remove()
    return {**seen, "changed": True}


def stop(module, database, state):
    """End a copy that goes on, and remove what it needed; the tables stay for the next try."""
    state.end(moving.UNWATCHED)
    source.drop_accounts(when_started(), ["localhost"])
    state.remove()
    return {"changed": True}


# --- the source -------------------------------------------------------------------------------------------------------


def offer(module, database, state):
    """Let the target read the database; tell it by what it knows this server."""
    db = when_started()
    must_be_primary(db)
    have = comment_of(db, database)
    if not have or have[0] != live.MARK:
        raise ServerError("there is no database %s of ours in service here" % database)
    version = db.value("SELECT VERSION()")
    with open(module.params["certificate"]) as handle:
        certificate = handle.read()
    if not module.check_mode:
        state.forget_shut()
        target = str(ipaddress.ip_address(module.params["target"]))
        source.account(db, target, database, module.params["password_hash"], source.rights_there(version))
    accounts = [[user, host] for user, hosts in live.read(db).accounts.items() for host in hosts]
    offered = {"version": version, "charset": have[1], "collation": have[2], "certificate": certificate}
    offered["accounts"] = [each for each in accounts if schema.belongs(each[0], database)]
    return {"changed": True, "offered": offered}


def close(module, database, state):
    """Shut the users of the database out, and mark it as moved away."""
    db = when_started()
    users = live.read(db).users_of(database)
    state.shut(apply.unlocked(db, users))
    try:
        apply.lock(db, users)
        deadline = time.monotonic() + ENDS
        while users and db.value("SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE USER IN %s", users):
            if time.monotonic() > deadline:
                raise ServerError("the connections of its users do not end")
            apply.end_connections(db, users)
            time.sleep(0.02)
        db.run("ALTER DATABASE " + identifier(database, grammar.database_name) + " COMMENT %s", live.KEPT)
    except ServerError:
        reopen(module, database, state)
        raise
    return {"changed": True}


def reopen(module, database, state):
    """Let the users in again whom ``close`` has shut out; nothing where it shut nobody out, or the move is complete."""
    accounts = state.who_is_shut()
    if accounts is None:
        return {"changed": False}
    db = when_started()
    have = comment_of(db, database)
    if have and have[0] == live.KEPT:
        db.run("ALTER DATABASE " + identifier(database, grammar.database_name) + " COMMENT %s", live.MARK)
    for user, host in accounts:
        db.run("ALTER USER IF EXISTS %s@%s ACCOUNT UNLOCK", user, host)
    state.forget_shut()
    return {"changed": True}


def withdraw(module, database, state):
    """Let nobody read any longer; what is shut stays shut."""
    state.forget_shut()
    return {"changed": source.drop_accounts(when_started())}


def drop(module, database, state):
    """Drop a copy that is in nobody's service; nothing is there, or all of it is gone."""
    db = when_started()
    must_be_primary(db)
    have = live.read(db)
    if database in have.databases and have.databases[database][2] not in live.MOVING:
        raise ServerError("the database %s is in service here" % database)
    change = plan.database(wanted.Database(database, database, False), have)
    if change and not module.check_mode:
        apply.carry_out(db, change, module.params["dumps"])
    return {"changed": bool(change)}


STEPS = {each.__name__: each for each in (prepare, offer, copy, watch, close, finish, reopen, stop, withdraw, drop)}
#: These take long: they do not hold the host's lock while they do.
BESIDE = (copy, finish)


def main():
    module = AnsibleModule(
        {
            "step": {"choices": list(STEPS), "required": True},
            "database": {"required": True},
            "target": {},
            "password_hash": {"no_log": True},
            "source": {},
            "port": {"type": "int", "default": 3306},
            "offered": {"type": "dict"},
            "certificate": {"type": "path"},
            "seconds": {"type": "int", "default": 60},
            "dumps": {"type": "path", "default": "/var/lib/hostreeve/dropped-databases"},
            **{name: whole_list.ARGUMENTS[name] for name in ("job", "fence")},
        },
        required_if=[
            ("step", "offer", ("target", "password_hash", "certificate")),
            ("step", "copy", ("source", "offered")),
        ],
        supports_check_mode=True,
    )
    step = STEPS[module.params["step"]]
    try:
        database = grammar.database_name(module.params["database"])
        state = moving.Moving(database)
        if module.check_mode and step not in (prepare, offer, drop):
            module.exit_json(changed=False, skipped=True)
        # Who only looks is not noted in the host's journal, either.
        with contextlib.nullcontext() if step is watch else whole_list.guard(module):
            result = None if step in BESIDE else step(module, database, state)
        if result is None:
            result = step(module, database, state)
    except (whole_list.Stale, ServerError, ValueError, OSError, ssl.SSLError) as error:
        module.fail_json(msg=str(error))
    except ImportError:
        module.fail_json(msg=missing_required_lib("PyMySQL"), exception=traceback.format_exc())
    # Or the result names the account's password hash and the whole certificate in every event.
    module.exit_json(invocation={}, **result)


if __name__ == "__main__":
    main()
