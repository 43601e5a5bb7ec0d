"""What answers mean: the health of a shard, and whether its primary is gone. Decisions without a network."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any

from api.watch.answers import WHOLE, Answer

#: A primary goes on without its replicas once none has answered it for db_semi_sync_seconds (10). What a look found
#: covered is covered still when the next one ends before that.
COVER = timedelta(seconds=10 - WHOLE)


@dataclass(frozen=True)
class Seen:
    """One node, what the platform has recorded of it, and what it answers."""

    name: str
    address: str
    is_primary: bool
    answer: Answer | None

    @property
    def takes_writes(self) -> bool:
        """Tell whether the node says that it is a primary."""
        return self.answer is not None and bool(self.answer["primary"])

    def follows(self, address: str) -> bool:
        """Tell whether the node says that it replicates from an address, now, and that commits there wait for it."""
        answer = self.answer or {}
        said = answer.get("replication")
        return bool(said and said["running"] and said["primary"] == address and answer["semi_sync"])


@dataclass(frozen=True)
class Verdict:
    """What both observers say of the recorded primary; ``gone`` if they agree that it is."""

    gone: bool
    platform: str
    #: replica → what it says
    replicas: dict[str, str]


def health(nodes: Sequence[Seen], lag_seconds: int) -> tuple[str, list[str]]:
    """Return the state of a shard and its problems, in plain words."""
    problems = [f"{node.name} does not answer" for node in nodes if node.answer is None]
    if len(problems) == len(nodes):
        return "unknown", problems
    writers = [node for node in nodes if node.takes_writes]
    recorded = next((node for node in nodes if node.is_primary), None)
    if len(writers) > 1:
        problems.append(f"{' and '.join(node.name for node in writers)} take writes both")
    if writers and recorded is not None and recorded not in writers:
        problems.append(f"{writers[0].name} takes writes, but {recorded.name} is recorded as the primary")
    primary = writers[0] if writers else recorded
    for node in nodes:
        if node.answer is not None and node not in writers:
            problems += _of_replica(node, primary, lag_seconds)
    problems += [
        f"semi-synchronous replication is degraded: what {node.name} acknowledges may be there alone"
        for node in writers
        if len(nodes) > 1 and not (node.answer or {})["semi_sync"]
    ]
    # The recorded primary may only be out of the platform's sight.
    hidden = recorded is not None and recorded.answer is None and any(_greets(node, recorded) for node in nodes)
    if not writers and not hidden:
        return "down", ["no server takes writes", *problems]
    return ("degraded" if problems else "healthy"), problems


def _of_replica(node: Seen, primary: Seen | None, lag_seconds: int) -> list[str]:
    answer = node.answer or {}
    said: dict[str, Any] = answer["replication"] or {}
    problem = ""
    if answer["server"] == "down":
        problem = f"MariaDB on {node.name} does not run"
    elif node is primary:
        problem = f"{node.name} takes no writes"
    elif not said:
        problem = f"{node.name} follows no server"
    elif primary is not None and said["primary"] != primary.address:
        problem = f"{node.name} follows {said['primary']} in place of {primary.name}"
    elif not said["running"]:
        problem = f"replication on {node.name} has stopped: {said['error'] or 'no reason given'}"
    elif said["lag"] is not None and said["lag"] > lag_seconds:
        problem = f"{node.name} lags {said['lag']:g} s"
    return [problem] if problem else []


def _greets(node: Seen, other: Seen) -> bool:
    return node.answer is not None and node.answer["peers"].get(other.address) is True


def verdict(nodes: Sequence[Seen]) -> Verdict:
    """Let both observers speak: the platform, and the replicas that answer it."""
    primary = next((node for node in nodes if node.is_primary), None)
    if primary is None:
        return Verdict(False, "no primary is recorded", {})
    if any(node.takes_writes for node in nodes):
        writer = next(node for node in nodes if node.takes_writes)
        return Verdict(False, f"{writer.name} takes writes", {})
    if primary.answer is None:
        platform = f"{primary.name} does not answer"
    else:
        running = "does not run" if primary.answer["server"] == "down" else "takes no writes"
        platform = f"MariaDB on {primary.name} {running}"
    replicas = [node for node in nodes if node is not primary and node.answer is not None]
    said = {node.name: (node.answer or {})["peers"].get(primary.address) for node in replicas}
    against = [name for name, greets in said.items() if greets is False]
    words = {True: "it greets", False: "it does not greet", None: "it was not tried"}
    return Verdict(
        bool(against) and 2 * len(against) > len(replicas),
        platform,
        {name: words[greets] for name, greets in said.items()},
    )


def covered(nodes: Sequence[Seen], gone: bool, before: datetime | None, began: datetime) -> datetime | None:
    """Return when a replica was last known to have all that was acknowledged; None if that is not known.

    While the primary is seen it says so itself. Once it is not, a replica for which its commits still wait, or the
    verdict that it is gone, keep what was known; nothing else makes it known again. ``began`` is when the look began.
    """
    primary = next((node for node in nodes if node.is_primary), None)
    if primary is None:
        return None
    followed = any(node.follows(primary.address) for node in nodes if node is not primary)
    if primary.takes_writes:
        return began if followed and (primary.answer or {})["semi_sync"] else None
    if before is None or began - before > COVER:
        return None
    return began if followed or gone else before
