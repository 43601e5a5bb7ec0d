"""Whether a server that does not answer, or takes no writes, will soon."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.db import client


@pytest.mark.parametrize(
    "said,passing",
    [
        ("active\n\n\nactive\n\n", False),
        ("active\n\n\nactivating\n137\n", True),
        # The server has started, and what opens it has yet to: its turn comes when systemd has nothing else to do.
        ("active\n\n\ninactive\n137\n", True),
        ("active\n0\n\ninactive\n0\n", False),
        ("failed\n\n", False),
        ("", False),
    ],
)
def test_what_waits_for_its_turn_is_on_its_way(monkeypatch, said, passing):
    monkeypatch.setattr(client.subprocess, "run", lambda *_, **__: SimpleNamespace(stdout=said))
    assert client.is_passing("mariadb.service", "hostreeve-db-role.service") is passing


def test_a_server_that_has_just_died_is_waited_for_and_one_that_was_stopped_is_not(monkeypatch):
    moment, tries = [0.0], []
    monkeypatch.setattr(client.time, "monotonic", lambda: moment[0])
    monkeypatch.setattr(client.time, "sleep", lambda seconds: moment.__setitem__(0, moment[0] + seconds))
    # systemd has not heard of its end, or it is stopped for good: both say the same.
    monkeypatch.setattr(client, "is_passing", lambda *_: False)

    def connect():
        tries.append(moment[0])
        if len(tries) < succeed:
            raise client.ServerError("does not answer")
        return "a connection"

    monkeypatch.setattr(client, "Client", connect)
    succeed = 3
    assert client.when_started() == "a connection"
    tries.clear()
    succeed = 1000
    with pytest.raises(client.ServerError):
        client.when_started()
    assert moment[0] < 10
