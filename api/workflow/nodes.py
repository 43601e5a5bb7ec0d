"""What the nodes of a workflow may say.

A launch: ``{name, type, template_id, parameters, converge, success, failure, always}``. An approval has ``question``
and ``timeout`` (seconds; 0: for ever) in place of the template and what is said to it. ``success``, ``failure`` and
``always`` name the nodes that come next.
"""

from __future__ import annotations

import uuid

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar

from api.launch.grammar import prose
from api.workflow.graph import EDGES, Node, order

TYPES = ("launch", "approval")
CONVERGE = ("all", "any")
MOST, LONGEST_TIMEOUT = 100, 30 * 86_400
COMMON: Node = {"name": None, "type": "launch", "converge": "all", **{edge: [] for edge in EDGES}}
OWN: dict[str, Node] = {
    "launch": {"template_id": None, "parameters": {}},
    "approval": {"question": "", "timeout": 0},
}


def nodes(value: list[Node]) -> list[Node]:
    """Return nodes with all their fields; ValueError names what is wrong with which, or the cycle."""
    if not 1 <= len(value) <= MOST:
        raise ValueError(f"must be 1 to {MOST} nodes")
    found: list[Node] = []
    for number, given in enumerate(value, 1):
        try:
            found.append(_node(given))
        except ValueError as error:
            raise ValueError(f"node {_called(given, number)}: {error}") from None
    names = [node["name"] for node in found]
    for node in found:
        if names.count(node["name"]) > 1:
            raise ValueError(f"node {node['name']}: name stands twice")
        for edge in EDGES:
            if unknown := [name for name in node[edge] if name not in names]:
                raise ValueError(f"node {node['name']}: {edge} names {unknown[0]!r:.64}, which is no node")
    order(found)
    return found


def _called(given: Node, number: int) -> str:
    try:
        return str(grammar.slug(given.get("name")))
    except ValueError:
        return f"number {number}"


def _node(given: Node) -> Node:
    try:
        grammar.slug(given.get("name"))
    except ValueError as error:
        raise ValueError(f"name {error}") from None
    type_ = given.get("type", "launch")
    if type_ not in TYPES:
        raise ValueError(f"type must be one of {', '.join(TYPES)}")
    known = {**COMMON, **OWN[type_]}
    for name in sorted(given.keys() - known.keys()):
        elsewhere = next((other for other, fields in OWN.items() if name in fields), None)
        raise ValueError(f"{name} is for the type {elsewhere}" if elsewhere else f"unknown field {name!r:.64}")
    node = {**known, **given}
    if node["converge"] not in CONVERGE:
        raise ValueError(f"converge must be one of {', '.join(CONVERGE)}")
    _check_edges(node)
    _check_launch(node) if type_ == "launch" else _check_approval(node)
    return node


def _check_edges(node: Node) -> None:
    seen: set[str] = set()
    for edge in EDGES:
        names = node[edge]
        if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
            raise ValueError(f"{edge} must be a list of names")
        for name in names:
            if name in seen:
                raise ValueError(f"{edge} names {name!r:.64} a second time; always stands for both ends")
            seen.add(name)


def _check_launch(node: Node) -> None:
    try:
        node["template_id"] = str(uuid.UUID(node["template_id"]))
    except (ValueError, TypeError, AttributeError):
        raise ValueError("template_id must be the id of a template") from None
    if not isinstance(node["parameters"], dict):
        raise ValueError("parameters must be an object")


def _check_approval(node: Node) -> None:
    if not isinstance(node["question"], str):
        raise ValueError("question must be a text")
    try:
        prose(node["question"])
    except ValueError as error:
        raise ValueError(f"question {error}") from None
    seconds = node["timeout"]
    if type(seconds) is not int or not 0 <= seconds <= LONGEST_TIMEOUT:
        raise ValueError(f"timeout must be 0 to {LONGEST_TIMEOUT} seconds; 0: for ever")
