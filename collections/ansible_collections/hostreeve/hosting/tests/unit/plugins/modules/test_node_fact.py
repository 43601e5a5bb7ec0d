import json

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact
from ansible_collections.hostreeve.hosting.plugins.modules import node_fact


@pytest.mark.parametrize("text", [None, "", "{", "[1]", "3", '"x"', "null"])
def test_what_is_no_object_is_nothing(text):
    assert fact.parse(text) == {}


def test_other_keys_stay():
    held = {"last_job": "a", "site": "x", "roles": ["web"]}
    assert node_fact.merge(held, {"roles": ["lb"]}, "") == {"last_job": "a", "site": "x", "roles": ["lb"]}


@pytest.mark.parametrize(("job", "last"), [(None, "a"), ("", "a"), ("b", "b")])
def test_only_a_job_replaces_the_last_job(job, last):
    assert node_fact.merge({"last_job": "a"}, {}, job)["last_job"] == last


def test_a_job_is_noted_with_its_audit_head():
    merged = node_fact.merge({"last_job": "a", "audit_head": "1:x", "site": "x"}, {"roles": ["lb"]}, "b", "2:y")
    assert merged == {
        "site": "x", "roles": ["lb"], "changed_by": "job", "last_job": "b", "audit_head": "2:y",
        "previous_job": "a", "previous_audit_head": "1:x",
    }  # fmt: skip


def test_none_removes():
    assert node_fact.merge({"a": 1, "b": 2}, {"a": None, "c": None}, None) == {"b": 2}


def test_same_facts_same_text():
    assert fact.render({"b": 1, "a": 2}) == fact.render({"a": 2, "b": 1})
    assert json.loads(fact.render({"a": [1]})) == {"a": [1]}
