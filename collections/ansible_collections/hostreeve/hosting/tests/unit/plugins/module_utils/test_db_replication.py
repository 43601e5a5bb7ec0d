"""What a server does to become the primary or a replica, and when it refuses."""

from __future__ import annotations

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import copy, replication
from ansible_collections.hostreeve.hosting.plugins.module_utils.db.replication import Refused, State, beyond

SOURCE = {"Master_Host": "10.0.0.1", "Master_Port": 3306, "Using_Gtid": "Slave_Pos"}
FINE = {**SOURCE, "Slave_IO_Running": "Yes", "Slave_SQL_Running": "Yes", "Last_IO_Errno": 0, "Last_SQL_Errno": 0}


@pytest.mark.parametrize(
    ("mine", "theirs", "count"),
    [
        ("", "", 0),
        ("0-1-7", "0-1-7", 0),
        ("0-1-7", "0-1-9", 0),
        ("0-1-9", "0-1-7", 2),
        ("0-1-9", "0-2-12", 0),
        ("0-1-9", "0-2-9", 1),
        ("0-1-9", "", 9),
        ("0-1-9,\n1-1-3", "0-1-9", 3),
        ("", "0-1-9", 0),
    ],
)
def test_beyond(mine, theirs, count):
    assert beyond(mine, theirs) == count


@pytest.mark.parametrize(
    ("mine", "count"), [("0-1-9", 0), ("0-1-7", 0), ("0-1-12", 3), ("0-2-15", 0), ("0-2-21", 1), ("0-3-14", 0)]
)
def test_a_former_primary_that_died_with_more_than_it_had_sent(mine, count):
    """The other server took over after transaction 9 of the first one, and is at its own 20th."""
    assert beyond(mine, "0-2-20", "0-1-9,0-2-20") == count


@pytest.mark.parametrize(
    ("state", "primary", "actions"),
    [
        (State(), "0-1-5", ["seed", "attach"]),
        (State(read_only=False), "0-1-5", ["close", "seed", "attach"]),
        (State("0-1-5", slave=FINE), "0-1-9", []),
        (State("0-1-5"), "0-1-9", ["attach"]),
        (State("0-1-5", slave={**FINE, "Master_Host": "10.0.0.9"}), "0-1-9", ["attach"]),
        (State("0-1-5", slave={**FINE, "Slave_IO_Running": "No"}), "0-1-9", ["start"]),
        (State("0-1-5", slave={**FINE, "Slave_IO_Running": "Connecting"}), "0-1-9", []),
        (State("0-1-5", slave={**FINE, "Slave_IO_Running": "Connecting", "Last_IO_Errno": 1045}), "0-1-9", ["attach"]),
        (State("0-1-5", slave={**FINE, "Slave_IO_Running": "No", "Last_IO_Errno": 1236}), "0-1-9",
         ["rebuild", "attach"]),
        (State("0-1-5", slave={**FINE, "Slave_SQL_Running": "No", "Last_SQL_Errno": 1146}), "0-1-9",
         ["rebuild", "attach"]),
        (State("0-1-5", read_only=False, slave=FINE), "0-1-9", ["close"]),
    ],
)  # fmt: skip
def test_a_replica_is_repaired(state, primary, actions):
    assert replication.for_replica(state, SOURCE, (primary, "")) == actions


@pytest.mark.parametrize("slave", [{}, FINE, {**FINE, "Last_SQL_Errno": 1146}])
def test_what_the_primary_lacks_is_not_thrown_away(slave):
    state = State("0-1-9", slave=slave)
    with pytest.raises(Refused, match="2 transactions"):
        replication.for_replica(state, SOURCE, ("0-1-7", ""))
    assert replication.for_replica(state, SOURCE, ("0-1-7", ""), rebuild=True) == ["rebuild", "attach"]


def test_a_primary_that_calls_a_replica_diverged_is_believed():
    said = {**FINE, "Slave_IO_Running": "No", "Last_IO_Errno": 1236, "Last_IO_Error": "… that the slave has diverged …"}
    with pytest.raises(Refused, match="db_rebuild"):
        replication.for_replica(State("0-3-5", slave=said), SOURCE, ("0-2-20", "0-2-20"))
    again = replication.for_replica(State("0-3-5", slave=said), SOURCE, ("0-2-20", "0-2-20"), rebuild=True)
    assert again == ["rebuild", "attach"]


def test_a_primary_opens():
    assert replication.for_primary(State(), set(), {}) == ["open"]
    assert replication.for_primary(State("0-1-9"), set(), {"b": "0-1-9", "c": ""}) == ["open"]
    assert replication.for_primary(State("0-1-9", read_only=False), set(), {"b": "0-1-8"}) == []
    assert replication.for_primary(State("0-1-9", read_only=False), set(), {"b": "0-2-11"}) == []


@pytest.mark.parametrize(
    ("state", "writable", "holding", "reason"),
    [
        (State("0-1-9"), {"10.0.0.2"}, {"10.0.0.2": "0-1-9"}, "10.0.0.2 takes writes"),
        (State("0-1-9", slave=FINE), set(), {}, "replicates from 10.0.0.1"),
        (State(), set(), {"10.0.0.2": "0-1-9"}, "10.0.0.2 holds data"),
        (State("0-1-8"), set(), {"10.0.0.2": "0-1-9"}, "10.0.0.2 holds data"),
    ],
)
def test_there_is_never_a_second_primary(state, writable, holding, reason):
    with pytest.raises(Refused, match=reason):
        replication.for_primary(state, writable, holding)


@pytest.mark.parametrize(
    ("holding", "silent", "opens"),
    [
        ({}, [], True),
        ({}, ["b"], False),
        ({"b": "0-1-9"}, ["c"], True),
        ({"b": ""}, ["c"], True),
        ({}, ["b", "c"], False),
        ({"b": "0-1-9"}, ["c", "d"], False),
    ],
)
def test_more_than_half_of_the_shard_must_answer_before_a_primary_opens_again(holding, silent, opens):
    if opens:
        assert replication.for_primary(State("0-1-9"), set(), holding, silent) == ["open"]
    else:
        with pytest.raises(Refused, match=r"only \d of the shard's \d servers answer"):
            replication.for_primary(State("0-1-9"), set(), holding, silent)
    # What takes writes goes on, a new server begins, and a failover has counted already.
    assert replication.for_primary(State("0-1-9", read_only=False), set(), holding, silent) == []
    assert replication.for_primary(State("0-1-9"), set(), holding, silent, promote=True) == ["open"]
    if not any(holding.values()):
        assert replication.for_primary(State(), set(), holding, silent) == ["open"]


def test_a_replica_is_promoted_or_left_as_it_is():
    replica, holding = State("0-1-8", slave=FINE), {"10.0.0.2": "0-1-8", "10.0.0.3": "0-1-9"}
    assert replication.for_primary(replica, set(), {"10.0.0.2": "0-1-8"}, promote=True) == ["detach", "open"]
    assert replication.for_primary(State("0-1-8"), set(), {}, promote=True) == ["open"]
    with pytest.raises(Refused, match=r"10\.0\.0\.3 holds data"):
        replication.for_primary(replica, set(), holding, promote=True)
    with pytest.raises(Refused, match="takes writes"):
        replication.for_primary(replica, {"10.0.0.2"}, holding, promote=True, accept_loss=True)
    assert replication.for_primary(replica, set(), holding, promote=True, accept_loss=True) == ["detach", "open"]


def test_to_accept_a_loss_is_no_promotion():
    with pytest.raises(Refused, match="replicates from"):
        replication.for_primary(State("0-1-8", slave=FINE), set(), {}, accept_loss=True)
    with pytest.raises(Refused, match="holds data"):
        replication.for_primary(State("0-1-8"), set(), {"10.0.0.2": "0-1-9"}, accept_loss=True)


def test_semi_sync_follows_the_place():
    master, slave = "rpl_semi_sync_master_enabled", "rpl_semi_sync_slave_enabled"
    assert replication.settings("primary", True, ["b"]) == {master: True, slave: False}
    assert replication.settings("primary", True, []) == {master: False, slave: False}
    assert replication.settings("replica", True, ["b"]) == {master: False, slave: True}
    assert replication.settings("replica", False, ["b"]) == {master: False, slave: False}


HEAD = b"-- MariaDB dump\n--\n-- CHANGE MASTER TO MASTER_USE_GTID=slave_pos;\n"
OWN = b"\n-- SET GLOBAL gtid_slave_pos='0-1-7';\n"
FORGED = b"CREATE PROCEDURE p()\n-- SET GLOBAL gtid_slave_pos='0-9-99999';\nSELECT 1\n"
BODY = b"\n-- Current Database: `a`\n" + FORGED


@pytest.mark.parametrize(
    ("head", "tail", "position"),
    [
        (HEAD + OWN + BODY, BODY, "0-1-7"),
        (HEAD + BODY, BODY + OWN, "0-1-7"),
        (HEAD + BODY, BODY + OWN + b"-- Dump completed\n", "0-1-7"),
        (HEAD, b"", None),
        (b"INSERT INTO t VALUES ('-- SET GLOBAL gtid_slave_pos=''0-1-1''')\n", b"", None),
    ],
)
def test_the_position_of_a_dump_is_the_dumps_own(head, tail, position):
    assert copy.position_of(head, tail) == position
