# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What a server must do to become the primary or a replica of its shard: decisions without a server."""

from __future__ import annotations

from dataclasses import dataclass, field

#: The primary has purged, or never had, the binary logs from which the replica would go on.
LOST = 1236
#: Both threads run, or are on their way.
RUNNING = {"Yes", "Connecting", "Preparing"}


class Refused(Exception):
    """What is asked for would lose data, or needs somebody's decision."""


def parse(position):
    """Return a GTID position (``0-1-7,1-1-3``) as ``{domain: (server id, sequence)}``."""
    found = {}
    for part in filter(None, (position or "").replace("\n", "").split(",")):
        domain, server, sequence = (int(number) for number in part.strip().split("-"))
        found[domain] = (server, sequence)
    return found


def beyond(mine, theirs, history=""):
    """Return how many transactions ``mine`` holds that ``theirs`` cannot have; positions are texts.

    ``history`` is the other server's gtid_binlog_state: the last transaction of each server in its binary logs, which
    tells a former primary that died with more than it had sent from one that is merely behind.
    """
    other, known = parse(theirs), {}
    for part in filter(None, history.replace("\n", "").split(",")):
        domain, server, sequence = (int(number) for number in part.strip().split("-"))
        known[domain, server] = sequence
    count = 0
    for domain, (server, sequence) in parse(mine).items():
        their_server, their_sequence = other.get(domain, (server, 0))
        last = known.get((domain, server), their_sequence)
        if sequence > last:
            count += sequence - last
        elif sequence == their_sequence and server != their_server:
            count += 1
    return count


@dataclass
class State:
    """A server as it is. Positions are MariaDB's texts; ``slave`` is a row of SHOW SLAVE STATUS or empty."""

    position: str = ""
    read_only: bool = True
    slave: dict = field(default_factory=dict)

    @property
    def is_empty(self):
        """Tell whether the server has never held data of the shard."""
        return not self.position

    @property
    def runs(self):
        """Tell whether both threads of replication run."""
        return all(self.slave.get(name) in RUNNING for name in ("Slave_IO_Running", "Slave_SQL_Running"))

    @property
    def error(self):
        """Number of the error that stopped replication, or 0."""
        return int(self.slave.get("Last_SQL_Errno") or self.slave.get("Last_IO_Errno") or 0)


def settings(mode, semi_sync, peers):
    """Return the global variables that follow a server's place in its shard."""
    primary = mode == "primary"
    return {
        "rpl_semi_sync_master_enabled": semi_sync and primary and bool(peers),
        "rpl_semi_sync_slave_enabled": semi_sync and not primary,
    }


def for_primary(state, writable, holding, silent=(), *, promote=False, accept_loss=False):
    """Return what makes the server a primary: of ``detach``, ``open``. Raises Refused.

    ``writable`` names peers that take writes, ``holding`` maps peers to their position, ``silent`` names those that do
    not answer. ``promote``: the server may be a replica, and whoever promotes it knows of the others; with
    ``accept_loss`` they may hold what it lacks.
    """
    if writable:
        raise Refused(
            "%s takes writes: there cannot be two primaries. Name it as db_primary, or use playbooks/switchover.yml"
            % ", ".join(sorted(writable))
        )
    if state.slave and not promote:
        raise Refused(
            "this server replicates from %s: a converge moves no primary, playbooks/switchover.yml and failover.yml do"
            % state.slave.get("Master_Host")
        )
    ahead = sorted(peer for peer, position in holding.items() if beyond(position, state.position))
    # Of a primary that takes writes already it is the replica that has gone astray.
    if ahead and state.read_only and not (promote and accept_loss):
        raise Refused(
            "%s holds data that this server lacks: promote it with playbooks/failover.yml, or remove its data"
            % ", ".join(ahead)
        )
    # As after a start. A new server has nothing that a copy of it could have outgrown.
    if state.read_only and not state.is_empty and not promote and len(silent) > len(holding):
        raise Refused(
            "%s: only %d of the shard's %d servers answer, and another one may have taken over. Let more than half of "
            "them answer, or name in db_nodes only those that there still are"
            % (", ".join(sorted(silent)), len(holding) + 1, len(holding) + len(silent) + 1)
        )
    return [*(["detach"] if state.slave else []), *(["open"] if state.read_only else [])]


def must_not_be_primary(state, primary, takes_writes):
    """Refuse to close the only server that takes writes: a move that was interrupted, or of which nobody was told."""
    if not state.read_only and not state.slave and not takes_writes:
        raise Refused(
            "this server takes writes and %s does not: name this one as db_primary, or use playbooks/switchover.yml"
            % primary
        )


def for_replica(state, source, primary, rebuild=False):
    """Return what makes the server a replica: close, seed, rebuild, attach, start. Raises Refused.

    ``source`` is what SHOW SLAVE STATUS must say about the primary, ``primary`` its position and its history.
    """
    actions = [] if state.read_only else ["close"]
    if state.is_empty:
        return [*actions, "seed", "attach"]
    number = state.error
    ahead = beyond(state.position, *primary)
    if ahead or "diverged" in (state.slave.get("Last_IO_Error") or ""):
        if not rebuild:
            raise Refused(
                "this server holds %s that the primary lacks; db_rebuild: true puts its data aside and copies the "
                "primary's" % ("%d transactions" % ahead if ahead else "transactions")
            )
        return [*actions, "rebuild", "attach"]
    if number == LOST or state.slave.get("Last_SQL_Errno"):
        # Nothing here that the primary lacks: a copy loses nothing.
        return [*actions, "rebuild", "attach"]
    if not state.slave or any(str(state.slave.get(name)) != str(value) for name, value in source.items()) or number:
        return [*actions, "attach"]
    return actions if state.runs else [*actions, "start"]
