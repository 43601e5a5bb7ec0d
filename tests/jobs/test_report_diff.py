"""What changed on a host, next to the resource: bounded, stored as text, and for the platform's eyes."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list

from api.jobs import report
from tests.jobs.conftest import DIFF
from tests.jobs.test_routes import Rest

Make = Callable[[str], uuid.UUID]


def test_a_job_keeps_the_differences_and_a_terminal_run_does_not() -> None:
    told = whole_list.Report()
    told.changed("a", "made", "", "new\n", "/etc/a")
    told.changed("b", "made", "old\n", "x" * 10_000, "/etc/b")
    told.changed("c", "reloaded")
    told.changed("d", "made", "", "new\n", "/etc/d")
    told.failed("d", "refused")
    assert "diff" not in told.result()["resources"]["a"]
    resources = told.result(each=True)["resources"]
    assert resources["a"]["diff"] == [{"what": "/etc/a", "before": "", "after": "new\n"}]
    assert len(resources["b"]["diff"][0]["after"]) == whole_list.ONE_CAP
    assert "diff" not in resources["c"]
    assert "diff" not in resources["d"]


def test_all_differences_of_a_run_together_have_a_bound() -> None:
    told = whole_list.Report()
    for number in range(150):
        told.changed(str(number), "made", "", "x" * 3000)
    resources = told.result(each=True)["resources"]
    kept = [entry["diff"] for entry in resources.values() if "diff" in entry]
    assert 10 < len(kept) < 30
    assert sum(len(difference["after"]) for diff in kept for difference in diff) <= whole_list.EACH_CAP


@pytest.mark.parametrize("odd", ["x", {"before": "x"}, [1, None, "x"]])
def test_a_difference_of_another_shape_is_left_out(odd: Any) -> None:
    assert report._differences(odd) == []


def test_a_hostile_difference_is_cut_and_made_fit_to_store() -> None:
    found = report._differences([{"what": "a\0b", "before": "x" * 9000, "after": {"a": 1}, "more": "x"}] * 50)
    assert len(found) == report.MOST_DIFFERENCES
    assert set(found[0]) == {"what", "before", "after"}
    assert (found[0]["what"], len(found[0]["before"])) == ("ab", report.LONGEST_TEXT)


def test_a_brand_sees_that_something_changed_and_not_what(engine: Any, fqdn: Make) -> None:
    id_ = fqdn("www.acme.example")
    taken = engine.claim("web-a")
    document = engine.document(taken)
    for host in document.sent:
        engine.report(taken, document, host, changed=[id_])
    engine.end(taken)
    brand = Rest(engine, ["job:read", "fqdn:read"], [str(engine.ids["brand"])])
    rows = brand(f"/jobs/{taken.job_id}/resources").json["items"]
    assert [(row["changed"], row["diff"]) for row in rows] == [(True, None)] * 2
    results = brand(f"/fqdns/{id_}/history").json["items"][0]["results"]
    assert [(result["changed"], result["diff"]) for result in results] == [(True, None)] * 2
    admin = Rest(engine, ["*"], ["*"])
    assert admin(f"/jobs/{taken.job_id}/resources").json["items"][0]["diff"] == DIFF
