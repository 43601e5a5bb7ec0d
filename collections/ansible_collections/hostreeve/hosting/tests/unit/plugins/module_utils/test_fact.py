import json
import types

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import fact, whole_list


@pytest.fixture
def host(tmp_path, monkeypatch):
    """A host with a fact file of its own; call it as a module that did or did not change something."""
    path = tmp_path / "facts.d" / "hostreeve.fact"
    monkeypatch.setattr(fact, "PATH", str(path))
    # The file is root's; the test may run as anybody.
    monkeypatch.setattr(whole_list.os, "fchown", lambda *_: None)

    def run(job=None, audit_head=None, changed=True, check_mode=False):
        params = {"job": job, "audit_head": audit_head}
        result = {"changed": changed}
        fact.remember(types.SimpleNamespace(params=params, check_mode=check_mode), result)
        return result["node"]

    run.path = path
    run.held = lambda: json.loads(path.read_text())
    return run


def node(job, head, before_job="", before_head=""):
    return {"before": {"job": before_job, "audit_head": before_head}, "now": {"job": job, "audit_head": head}}


def test_a_host_carries_the_job_that_changed_it(host):
    assert host("a", "1:x") == node("a", "1:x")
    assert host("b", "2:y", changed=False) == node("a", "1:x", "a", "1:x")
    assert host("b", "2:y") == node("b", "2:y", "a", "1:x")
    assert host.held() == {
        "changed_by": "job", "last_job": "b", "audit_head": "2:y", "previous_job": "a", "previous_audit_head": "1:x",
    }  # fmt: skip


def test_the_same_job_twice(host):
    """What stood there before a job is not lost when its second task notes it again."""
    host("a", "1:x")
    host("b", "2:y")
    before = host.path.read_text()
    assert host("b", "2:y") == host("b", "2:y", changed=False) == node("b", "2:y", "a", "1:x")
    assert host.path.read_text() == before


def test_a_change_from_a_terminal_is_no_jobs(host):
    host("a", "1:x")
    assert host() == node("a", "", "a", "1:x")
    assert host.held()["changed_by"] == "terminal"
    assert host("b", "2:y") == node("b", "2:y", "a", "")
    assert host.held()["changed_by"] == "job"


def test_nothing_is_written_in_check_mode_or_without_a_change(host):
    assert host("a", "1:x", check_mode=True) == node("", "")
    assert host("a", "1:x", changed=False) == node("", "")
    assert not host.path.exists()


@pytest.mark.parametrize("text", ["{", "[1]", '{"last_job": {"a": [1]}}', '{"last_job": null}', "[" * 100000])
def test_a_file_that_somebody_broke(host, text):
    host.path.parent.mkdir()
    host.path.write_text(text)
    found = host("a", "1:x")
    assert found["now"] == {"job": "a", "audit_head": "1:x"}
    assert all(isinstance(value, str) and len(value) <= 128 for value in found["before"].values())


def test_other_facts_stay(host):
    host.path.parent.mkdir()
    host.path.write_text('{"managed_by": "hostreeve", "roles": ["web"]}')
    host("a", "1:x")
    assert host.held()["roles"] == ["web"]
