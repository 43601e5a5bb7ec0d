"""The graph of a workflow: what comes next, how it ends, what a resume keeps. Pure functions.

Nodes are those of ``api.workflow.nodes``; ``states`` maps the name of a node to the state of its step.
"""

from __future__ import annotations

from collections.abc import Sequence
from graphlib import CycleError, TopologicalSorter
from typing import Any

Node = dict[str, Any]
Nodes = Sequence[Node]
States = dict[str, str]

#: Which end of a node an edge follows.
EDGES = ("success", "failure", "always")
#: States of a step: not begun; begun (``pending`` waits for a decision); and the ends.
WAITING, PENDING, RUNNING, SUCCESSFUL, SKIPPED, CANCELED = (
    "waiting", "pending", "running", "successful", "skipped", "canceled"
)  # fmt: skip
LIVE = (WAITING, PENDING, RUNNING)
#: Ends that an edge of failure follows.
BAD = ("failed", "denied", "timed_out", CANCELED)


def parents(nodes: Nodes) -> dict[str, list[tuple[str, str]]]:
    """Return node → (parent, edge) of every edge that leads to it."""
    found: dict[str, list[tuple[str, str]]] = {node["name"]: [] for node in nodes}
    for node in nodes:
        for edge in EDGES:
            for name in node[edge]:
                found[name].append((node["name"], edge))
    return found


def order(nodes: Nodes) -> list[str]:
    """Return the names, parents first; ValueError names the cycle if there is one."""
    above = {name: [parent for parent, _ in edges] for name, edges in parents(nodes).items()}
    try:
        return list(TopologicalSorter(above).static_order())
    except CycleError as error:
        raise ValueError(f"the edges go in a circle: {' → '.join(error.args[1])}") from None


def ancestors(nodes: Nodes, name: str) -> list[str]:
    """Return everything above a node, the nearest last; of two on one level the one that stands first comes first."""
    above, found, left = parents(nodes), set[str](), [name]
    while left:
        fresh = {parent for parent, _ in above[left.pop()]} - found
        found |= fresh
        left += fresh
    return [other for other in order(nodes) if other in found]


def coming(nodes: Nodes, states: States) -> tuple[list[str], list[str]]:
    """Return what begins now, and what will never begin, of the steps that wait."""
    states, above, converge = dict(states), parents(nodes), _converge(nodes)
    begin, skip = [], []
    for name in order(nodes):
        if states[name] != WAITING:
            continue
        reached = _reached(converge[name], [_fires(edge, states[parent]) for parent, edge in above[name]])
        if reached:
            begin.append(name)
        elif reached is False:
            skip.append(name)
            states[name] = SKIPPED
    return begin, skip


def unhandled(nodes: Nodes, states: States) -> list[str]:
    """Return the nodes that ended badly with nothing behind them that began because of it."""
    by_name = {node["name"]: node for node in nodes}
    return [name for name, state in states.items() if state in BAD and not _is_handled(by_name[name], states)]


def kept(nodes: Nodes, states: States) -> set[str]:
    """Return what a resume does not do again: what went well, or whose failure was handled, for reasons that stay."""
    above, converge = parents(nodes), _converge(nodes)
    bad = set(unhandled(nodes, states))
    found: set[str] = set()
    for name in order(nodes):
        if states[name] not in (SUCCESSFUL, *BAD) or name in bad:
            continue
        reasons = [parent in found and _fires(edge, states[parent]) for parent, edge in above[name]]
        if _reached(converge[name], reasons):
            found.add(name)
    return found


def _converge(nodes: Nodes) -> dict[str, str]:
    return {node["name"]: node["converge"] for node in nodes}


def _fires(edge: str, state: str) -> bool | None:
    """Tell whether an edge leads on from a parent; None while that is open."""
    if state in LIVE:
        return None
    if state == SKIPPED:
        return False
    return edge == "always" or (state == SUCCESSFUL) is (edge == "success")


def _reached(converge: str, edges: Sequence[bool | None]) -> bool | None:
    """Tell whether a node begins, by what its edges say; None while that is open. A node without edges begins."""
    enough = converge == "any"
    if not edges:
        return True
    if enough in edges:
        return enough
    return None if None in edges else not enough


def _is_handled(node: Node, states: States) -> bool:
    behind = [*node["failure"], *node["always"]]
    return any(states[name] not in (WAITING, SKIPPED, CANCELED) for name in behind)
