"""What a checker refuses is taken out, and nothing else."""

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.nginx import order
from ansible_collections.hostreeve.hosting.plugins.module_utils.web.settle import Blocked, Complaint, settle
from hypothesis import given
from hypothesis import strategies as st


class Checker:
    """A service's checker: texts that hold "bad" are refused, by name or not; a text may need another file."""

    def __init__(self, live, names=True):
        self.live, self.names, self.runs = live, names, 0

    def __call__(self, changes):
        self.runs += 1
        tree = {name: text for name, text in {**self.live, **changes}.items() if text is not None}
        for name in sorted(tree):
            needs = tree[name].partition("needs ")[2]
            if "bad" in tree[name] or (needs and needs not in tree):
                return Complaint("%s is bad" % name, name if self.names else None)
        return None


def run(changes, live, names=True, ours=lambda name: True):
    changes, refused = dict(changes), {}

    def refuse(name, reason):
        if name not in changes and not (name in live and ours(name)):
            return False
        refused[name] = reason
        if name in changes:
            del changes[name]
        else:
            changes[name] = None
        return True

    checker = Checker(live, names)
    settle(changes, checker, refuse)
    assert checker(changes) is None
    return changes, refused, checker.runs


@pytest.mark.parametrize("names", [True, False])
@given(
    changes=st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.sampled_from(["good", "bad", "fine"])),
    live=st.dictionaries(st.sampled_from("abcdefghijklmnop"), st.just("good")),
)
def test_exactly_the_bad_ones_are_refused(names, changes, live):
    left, refused, _ = run(changes, live, names)
    assert set(refused) == {name for name, text in changes.items() if text == "bad"}
    assert left == {name: text for name, text in changes.items() if text != "bad"}


def test_nothing_wrong_is_one_run():
    assert run({"a": "good", "b": "good"}, {})[2] == 2  # one of them is the test's own


def test_three_bad_ones_of_a_thousand_cost_few_runs():
    changes = {"%04d" % number: "bad" if number in (7, 500, 999) else "good" for number in range(1000)}
    assert run(changes, {})[2] == 5
    assert run(changes, {}, names=False)[2] < 80


def test_a_previous_version_that_is_broken_as_well_is_set_aside():
    left, refused, _ = run({"a": "bad", "b": "good"}, {"a": "bad before"})
    assert left == {"a": None, "b": "good"}
    assert set(refused) == {"a"}


def test_a_live_file_of_ours_that_is_broken_is_set_aside():
    left, _, _ = run({"b": "good"}, {"a": "bad"})
    assert left == {"a": None, "b": "good"}


@pytest.mark.parametrize("names", [True, False])
def test_a_strangers_broken_file_blocks_and_is_named(names):
    with pytest.raises(Blocked, match="a is bad"):
        run({"b": "good"}, {"a": "bad"}, names, ours=lambda name: False)


def test_a_site_is_found_though_it_needs_a_new_file():
    changes = {"s1": "needs w1", "w1": "good", "s2": "bad needs w1"}
    left, refused, _ = run(order({"sites/" + k if k[0] == "s" else "webroots/" + k: v.replace("w1", "webroots/w1")
                                  for k, v in changes.items()}), {}, names=False)  # fmt: skip
    assert set(refused) == {"sites/s2"}
    assert set(left) == {"sites/s1", "webroots/w1"}


def test_order():
    changes = {"webroots/a": None, "sites/a": None, "sites/b": "x", "webroots/b": "y"}
    assert list(order(changes)) == ["sites/a", "webroots/b", "sites/b", "webroots/a"]
