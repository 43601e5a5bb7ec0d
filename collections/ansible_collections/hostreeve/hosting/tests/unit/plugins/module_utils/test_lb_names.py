"""The plan of the load balancer's map: pure, without a host."""

from __future__ import annotations

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.lb import names
from ansible_collections.hostreeve.hosting.plugins.module_utils.whole_list import Report

SHARDS = {"web-a", "web-b"}


def plan(*items):
    report = Report()
    ids, target, keep = names.read_items(list(items), SHARDS, report)
    return ids, target, keep, report.result()["resources"]


def test_items_become_a_target():
    ids, target, keep, resources = plan(
        {"id": "1", "fqdn": "a.example.com", "shard": "web-a"},
        {"fqdn": "b.example.com", "shard": "web-b", "state": "present"},
        {"fqdn": "c.example.com", "state": "absent"},
    )
    assert target == {"a.example.com": "web-a", "b.example.com": "web-b", "c.example.com": None}
    assert ids == {"a.example.com": "1", "b.example.com": "b.example.com", "c.example.com": "c.example.com"}
    assert not keep and not resources


@pytest.mark.parametrize(
    ("item", "reason"),
    [
        ({"fqdn": "a.test\nb.test web-a", "shard": "web-a"}, "fqdn: "),
        ({"fqdn": "a.test web-a; del map x", "shard": "web-a"}, "fqdn: "),
        ({"fqdn": "a.test", "shard": "web-a\n"}, "shard: "),
        ({"fqdn": "a.test", "shard": "web-a;show"}, "shard: "),
        ({"fqdn": "A.test", "shard": "web-a"}, "fqdn: "),
        ({"fqdn": "a.test.", "shard": "web-a"}, "fqdn: "),
        ({"fqdn": "{{ 1 }}.test", "shard": "web-a"}, "fqdn: "),
        ({"fqdn": ".".join(["a" * 60] * 5), "shard": "web-a"}, "fqdn: "),
        ({"fqdn": 7, "shard": "web-a"}, "fqdn: "),
        ({"shard": "web-a"}, "fqdn: "),
        ({"fqdn": "a.test", "shard": "web-z"}, "shard: this load balancer has no shard web-z"),
        ({"fqdn": "a.test", "shard": None}, "shard: "),
        ({"fqdn": "a.test"}, "shard: "),
        ({"fqdn": "a.test", "shard": "web-a", "state": "gone"}, "state: "),
        ({"fqdn": "a.test", "shard": "web-a", "sahrd": "x"}, "unknown field: sahrd"),
        ({"fqdn": "a.test", "shard": "web-a", "id": 5}, "id: "),
        ({"fqdn": "a.test", "shard": "web-a", "id": ""}, "id: "),
        ("a.test", "must be a mapping"),
        (None, "must be a mapping"),
    ],
)
def test_a_bad_item_fails_alone(item, reason):
    good = {"fqdn": "good.test", "shard": "web-b"}
    _ids, target, _keep, resources = plan(item, good)
    assert target == {"good.test": "web-b"}
    (entry,) = resources.values()
    assert entry["failed"] and entry["msg"].startswith(reason)


def test_the_second_item_that_claims_a_name_fails():
    ids, target, keep, resources = plan(
        {"id": "1", "fqdn": "a.test", "shard": "web-a"}, {"id": "2", "fqdn": "a.test", "shard": "web-b"}
    )
    assert target == {"a.test": "web-a"} and ids == {"a.test": "1"} and not keep
    assert list(resources) == ["2"] and "stands twice" in resources["2"]["msg"]


def test_a_repeated_id_does_not_hide_the_first_item():
    _ids, target, _keep, resources = plan(
        {"id": "1", "fqdn": "a.test", "shard": "web-a"}, {"id": "1", "fqdn": "b.test", "shard": "web-b"}
    )
    assert target == {"a.test": "web-a"}
    assert list(resources) == ["fqdns[1]"]


def test_a_refused_item_keeps_its_name():
    _ids, _target, keep, _resources = plan({"fqdn": "a.test", "shard": "web-z"})
    assert keep == {"a.test"}


def test_a_map_file_is_read_as_haproxy_reads_it():
    text = "# comment\n\na.test web-a\nb.test   web-b \nlone.test\na.test web-b\n"
    assert names.parse(text) == {"a.test": ["web-a", "web-b"], "b.test": ["web-b"], "lone.test": [""]}
    assert names.parse(None) == {}


def test_what_is_written_can_be_read():
    table = {"b.test": ["web-b"], "a.test": ["web-a"]}
    text = names.render(table)
    assert text.splitlines()[1:] == ["a.test web-a", "b.test web-b"]
    assert names.parse(text) == table


def test_differing_and_merge():
    table = {"same.test": ["web-a"], "moved.test": ["web-a"], "gone.test": ["web-a"], "twice.test": ["web-a", "web-b"]}
    target = {
        "same.test": "web-a",
        "moved.test": "web-b",
        "gone.test": None,
        "twice.test": "web-a",
        "new.test": "web-b",
    }
    target["never.test"] = None
    different = names.differing(table, target)
    assert different == {"moved.test": "web-b", "gone.test": None, "twice.test": "web-a", "new.test": "web-b"}
    merged = names.merge({**table, "other.test": ["web-b"]}, different)
    assert not names.differing(merged, target)
    assert merged["other.test"] == ["web-b"] and "gone.test" not in merged
