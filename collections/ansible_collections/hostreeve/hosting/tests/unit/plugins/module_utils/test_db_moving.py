"""Moves of databases without a server: what may go, what is copied, and who notices that a copy has died."""

from __future__ import annotations

import multiprocessing
import os
import time

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import live, moving, plan, schema, source, transfer
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.client import ServerError, quoted
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.transfer import Late
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.wanted import Database

NAME = "db_aaaaaaaaaa"
LATIN = ("utf8mb4", "utf8mb4_unicode_ci")


def state(comment):
    return live.Live(databases={NAME: (*LATIN, comment)})


def wanted(present=True):
    return Database("id", NAME, present, *LATIN)


@pytest.mark.parametrize("comment,word", [(live.READY, "taken over"), (live.KEPT, "back in service")])
def test_a_complete_copy_is_opened_when_a_list_names_it(comment, word):
    change = plan.database(wanted(), state(comment))
    assert change.words == [word]
    assert change.statements == [(f"ALTER DATABASE `{NAME}` COMMENT %s", (live.MARK,))]


def test_an_incomplete_copy_is_refused():
    with pytest.raises(ValueError, match="not complete"):
        plan.database(wanted(), state(live.COPYING))


@pytest.mark.parametrize("comment", live.MOVING)
def test_a_copy_goes_only_when_a_list_says_so(comment):
    assert plan.database(wanted(present=False), state(comment)).drop == NAME


@pytest.mark.parametrize("comment", ["", "Managed by Hostreeve ", "managed by Hostreeve"])
def test_what_is_not_ours_stays_a_strangers(comment):
    with pytest.raises(ValueError, match="not ours"):
        plan.database(wanted(), state(comment))


def test_the_next_number_is_no_part_of_a_tables_shape():
    text = "CREATE TABLE `t` (\n  `a` int COMMENT ') ENGINE=x AUTO_INCREMENT=5'\n) ENGINE=InnoDB AUTO_INCREMENT=%s X=y"
    shapes = {schema.Table(False, text % number).shape for number in (1, 77)}
    assert len(shapes) == 1 and "AUTO_INCREMENT=5'" in shapes.pop()


@pytest.mark.parametrize(
    "definer,fine",
    [
        (NAME + "@%", True),
        (NAME + "_app@10.0.0.0/255.0.0.0", True),
        ("root@localhost", False),
        (NAME + "x@%", False),
        ("db_bbbbbbbbbb_app@%", False),
        (f"root@{NAME}_app", False),
        ("", False),
    ],
)
def test_definers(definer, fine):
    found = schema.Schema(definers={("VIEW", "v"): definer})
    assert schema.foreign_definers(found, NAME) == ([] if fine else [f"view v ({definer})"])


def test_two_definitions_are_equal_by_what_they_mean():
    one, other = schema.Definition("as here", "m", "", "c"), schema.Definition("as there", "m", "", "c")
    assert one == other
    assert one != schema.Definition("as here", "m", "ANSI", "c")


def test_names_of_tables_are_quoted_whatever_they_are():
    assert quoted("a`; DROP DATABASE x; --") == "`a``; DROP DATABASE x; --`"


def test_batches_are_bounded():
    tables = {str(n): schema.Table(False, "", size=transfer.BATCH_BYTES // 2) for n in range(5)}
    assert [len(part) for part in transfer.batches(list(tables), tables)] == [2, 2, 1]
    small = {str(n): schema.Table(False, "") for n in range(transfer.BATCH + 1)}
    assert [len(part) for part in transfer.batches(list(small), small)] == [transfer.BATCH, 1]
    assert list(transfer.batches([], {})) == []


@pytest.mark.parametrize("version,expected", [("11.8.6-MariaDB", (11, 8)), ("10.11.19-MariaDB-0+deb12u1", (10, 11))])
def test_releases(version, expected):
    assert source.release(version) == expected
    assert ("mysql.proc" in source.rights_there(version)[1]) is (expected < (11, 3))


@pytest.fixture
def copy(tmp_path):
    found = moving.Moving(NAME, str(tmp_path / "room"))
    found.make()
    return found


def test_files_are_roots_alone(copy):
    copy.put(copy.source_file, "secret")
    assert os.stat(copy.source_file).st_mode & 0o777 == 0o600
    assert os.stat(copy.room).st_mode & 0o777 == os.stat(os.path.dirname(copy.room)).st_mode & 0o777 == 0o700


def test_a_copy_that_nobody_waits_for_ends(copy):
    copy.watch()
    copy.tell(phase="copying", rows=1)
    assert copy.progress() == {"phase": "copying", "rows": 1}
    os.utime(os.path.join(copy.room, "watched"), (0, 0))
    with pytest.raises(Late, match="nobody waits"):
        copy.tell(rows=2)


def test_the_source_is_let_in_again_once(copy):
    assert copy.who_is_shut() is None
    copy.shut([["u", "%"]])
    assert copy.who_is_shut() == [["u", "%"]]
    copy.make()
    assert copy.who_is_shut() == [["u", "%"]], "a copy at this host is another matter"
    copy.forget_shut()
    copy.forget_shut()
    assert copy.who_is_shut() is None


def _hold(room, ready):
    held = moving.Moving(NAME, room)
    with held.alive():
        ready.set()
        while os.path.exists(os.path.join(held.room, "watched")):
            time.sleep(0.01)


def test_a_second_copy_waits_for_the_end_of_the_first(copy):
    assert not copy.lives()
    copy.watch()
    context = multiprocessing.get_context("fork")
    ready = context.Event()
    first = context.Process(target=_hold, args=(os.path.dirname(copy.room), ready))
    first.start()
    assert ready.wait(10)
    assert copy.lives()
    with pytest.raises(ServerError, match="goes on here"), copy.alive():
        pass
    copy.end(10)
    first.join(10)
    assert not copy.lives() and first.exitcode == 0


def test_a_copy_may_begin_late(copy):
    copy.watch()
    assert copy.may_begin() and not copy.lives()
    os.utime(copy.room, (0, 0))
    assert not copy.may_begin()


def test_what_was_said_something_of_has_begun(copy):
    copy.watch()
    copy.tell(phase="copying")
    assert not copy.may_begin()
    copy.remove()
    assert not copy.may_begin()
