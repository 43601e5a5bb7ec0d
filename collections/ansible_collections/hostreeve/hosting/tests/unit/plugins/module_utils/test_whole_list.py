"""The host's side of a lease: it remembers the highest token, and refuses what is older or holds none."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list


@pytest.fixture
def work(monkeypatch, tmp_path):
    """Return a function that runs under the guard with a token, and says what the host remembers then."""
    monkeypatch.setattr(whole_list, "STATE", str(tmp_path))
    # Only root gives files to root.
    monkeypatch.setattr(whole_list.os, "fchown", lambda *_: None)

    def run(fence, check_mode=False):
        with whole_list.guard(SimpleNamespace(check_mode=check_mode, params={"fence": fence, "job": ""})):
            seen = tmp_path / "fence"
            return int(seen.read_text()) if seen.exists() else None

    return run


def test_the_highest_token_is_remembered_and_an_older_one_refused(work):
    assert work(7) == 7
    assert work(7) == 7
    assert work(9) == 9
    with pytest.raises(whole_list.Stale, match="token 8 is older than 9"):
        work(8)
    assert work(9) == 9


def test_an_inventory_of_files_has_no_token_and_takes_only_the_lock(work):
    assert work(None) is None
    assert work(7) == 7
    assert work(None) == 7


def test_a_run_that_should_hold_a_lease_and_does_not_is_refused_also_by_a_new_host(work):
    with pytest.raises(whole_list.Stale, match="holds no lease of this host"):
        work(-1)
    assert work(None) is None


def test_a_check_is_never_refused(work):
    assert work(9) == 9
    assert work(-1, check_mode=True) == 9
    assert work(1, check_mode=True) == 9
