"""The graph alone: what begins, what is skipped, how it ends, what a resume keeps, and which graphs are refused."""

from __future__ import annotations

import uuid

import pytest

from api.workflow.graph import ancestors, coming, kept, order, unhandled
from api.workflow.nodes import MOST, nodes

TEMPLATE = str(uuid.uuid4())


def launch(name, **fields):
    return {"name": name, "template_id": TEMPLATE, **fields}


def graph(text, **converge):
    """Return nodes: ``a +b -c =d; b`` is a with edges of success to b, of failure to c and always to d; then b."""
    found = []
    for part in text.split(";"):
        name, *edges = part.split()
        sign = {"success": "+", "failure": "-", "always": "="}
        fields = {edge: [text[1:] for text in edges if text[0] == mark] for edge, mark in sign.items()}
        found.append(launch(name, converge=converge.get(name, "all"), **fields))
    return nodes(found)


def walk(found, **ends):
    """Run a graph; every node ends successfully unless ``ends`` says otherwise. Return (states, in which order)."""
    states, begun = dict.fromkeys((node["name"] for node in found), "waiting"), []
    while True:
        begin, skip = coming(found, states)
        if not begin and not skip:
            return states, begun
        states.update(dict.fromkeys(skip, "skipped"))
        begun += begin
        states.update({name: ends.get(name, "successful") for name in begin})


DIAMOND = "a +b +c; b +d; c +d; d"


@pytest.mark.parametrize(
    ("text", "converge", "ends", "skipped", "failed"),
    [
        ("a +b; b +c; c", {}, {}, "", ""),
        ("a +b; b +c; c", {}, {"a": "failed"}, "b c", "a"),
        ("a +b -c =d; b; c; d", {}, {}, "c", ""),
        ("a +b -c =d; b; c; d", {}, {"a": "failed"}, "b", ""),
        # A job that somebody canceled, a denial and a time that is up are failures.
        ("a +b -c; b; c", {}, {"a": "canceled"}, "b", ""),
        ("a +b -c; b; c", {}, {"a": "denied"}, "b", ""),
        ("a +b -c; b; c", {}, {"a": "timed_out"}, "b", ""),
        (DIAMOND, {}, {"b": "failed"}, "d", "b"),
        (DIAMOND, {"d": "any"}, {"b": "failed"}, "", "b"),
        (DIAMOND, {"d": "any"}, {"b": "failed", "c": "failed"}, "d", "b c"),
        (DIAMOND, {"d": "any"}, {"a": "failed"}, "b c d", "a"),
        # The handler of the failure never came, so nobody handled it.
        ("a -h; b +h; h", {}, {"a": "failed", "b": "failed"}, "h", "a b"),
        ("a -h; b +h; h", {"h": "any"}, {"a": "failed", "b": "failed"}, "", "b"),
        # A handler that fails itself is what is left.
        ("a -h; h", {}, {"a": "failed", "h": "failed"}, "", "h"),
        # Skipped is neither end: nothing follows, not even always.
        ("a +b; b =c; c", {}, {"a": "failed"}, "b c", "a"),
    ],
)
def test_ways_through(text, converge, ends, skipped, failed):
    found = graph(text, **converge)
    states, begun = walk(found, **ends)
    assert [name for name in states if states[name] == "skipped"] == skipped.split()
    assert unhandled(found, states) == failed.split()
    assert sorted(begun) == sorted(name for name in states if states[name] != "skipped")
    assert all(begun.index(parent) < begun.index(name) for name in begun
               for parent in ancestors(found, name) if parent in begun)  # fmt: skip


def test_convergence_waits_for_what_is_open():
    found = graph(DIAMOND)
    states = {"a": "successful", "b": "successful", "c": "running", "d": "waiting"}
    assert coming(found, states) == ([], [])
    assert coming(found, {**states, "b": "failed"}) == ([], ["d"])
    found = graph(DIAMOND, d="any")
    assert coming(found, states) == (["d"], [])
    assert coming(found, {**states, "b": "failed"}) == ([], [])
    # What began because of one parent is not begun again by the other.
    assert coming(found, {"a": "successful", "b": "successful", "c": "successful", "d": "running"}) == ([], [])


@pytest.mark.parametrize(
    ("text", "converge", "ends", "stay"),
    [
        ("a +b; b +c; c", {}, {"b": "failed"}, "a"),
        (DIAMOND, {}, {"c": "failed"}, "a b"),
        (DIAMOND, {"d": "any"}, {"c": "failed"}, "a b d"),
        (DIAMOND, {"d": "any"}, {"b": "failed", "c": "failed"}, "a"),
        # A failure that was handled is a result: neither it nor its handler is done again.
        ("test +x -fix; fix +deploy; deploy; x", {}, {"test": "failed", "deploy": "failed"}, "test fix"),
        # What went well behind a failure is done again with it.
        ("a =clean -none; clean; none +z; z; b", {}, {"a": "failed", "b": "failed", "none": "failed"}, "a clean"),
        ("a -h; b +h; h", {"h": "any"}, {"a": "failed", "b": "failed"}, "a h"),
    ],
)
def test_what_a_resume_keeps(text, converge, ends, stay):
    found = graph(text, **converge)
    assert kept(found, walk(found, **ends)[0]) == set(stay.split())


def test_ancestors_come_nearest_last():
    found = graph("far +b +near; b +near; near +it; it; other")
    assert ancestors(found, "it") == ["far", "b", "near"]
    assert ancestors(found, "other") == [] and order(found)[-1] == "it"


@pytest.mark.parametrize(
    ("given", "reason"),
    [
        ([launch("a", success=["b"]), launch("b", always=["a"])], "the edges go in a circle: a → b → a"),
        ([launch("a", failure=["a"])], "the edges go in a circle: a → a"),
        (
            [*(launch(name, failure=[to]) for name, to in ("ia", "ab", "bc")), launch("c", always=["a"])],
            "the edges go in a circle: a → b → c → a",
        ),
        ([launch("a", success=["b"])], "node a: success names 'b', which is no node"),
        ([launch("a"), launch("b"), launch("a")], "node a: name stands twice"),
        ([launch("b"), launch("a", success=["b"], failure=["b"])],
         "node a: failure names 'b' a second time; always stands for both ends"),
        ([launch("a", always="b")], "node a: always must be a list of names"),
        ([launch("a", converge="most")], "node a: converge must be one of all, any"),
        ([launch("a", question="?")], "node a: question is for the type approval"),
        ([{"name": "a", "type": "approval", "template_id": TEMPLATE}], "node a: template_id is for the type launch"),
        ([{"name": "a", "type": "approval", "timeout": 10**9}], "node a: timeout must be 0 to 2592000 seconds"),
        ([launch("a", nope=1)], "node a: unknown field 'nope'"),
        ([{"name": "a"}], "node a: template_id must be the id of a template"),
        ([launch("fine"), launch("Not fine")], "node number 2: name must be lower-case"),
        ([launch(f"n{number}") for number in range(MOST + 1)], f"must be 1 to {MOST} nodes"),
    ],
)  # fmt: skip
def test_refusals_name_the_node_and_the_field(given, reason):
    with pytest.raises(ValueError) as refused:
        nodes(given)
    assert str(refused.value).startswith(reason)


def test_a_large_graph_is_looked_at_quickly():
    every = [launch(f"n{number}", always=[f"n{later}" for later in range(number + 1, MOST)]) for number in range(MOST)]
    states, begun = walk(nodes(every))
    assert begun == [node["name"] for node in every] and set(states.values()) == {"successful"}
