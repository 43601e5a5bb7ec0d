"""What is said to HAProxy and how its answers are read; the talk itself is proved on a host by molecule."""

from __future__ import annotations

import pytest
from ansible_collections.hostreeve.hosting.plugins.module_utils.lb import runtime

ANSWER = """\
Name: HAProxy
Version: 3.0.11
Pid: 473
Description:

# name
web-a
web-b

0x7f3986c29540 a.test web-a
0x7f3986c295b0 b.test web-b
0x7f3986c295c0 b.test web-a"""


def test_an_answer_is_read():
    snapshot = runtime.Runtime._parse(ANSWER)
    assert snapshot.pid == 473
    assert snapshot.backends == {"web-a", "web-b"}
    assert snapshot.table == {"a.test": ["web-a"], "b.test": ["web-b", "web-a"]}


def test_an_answer_without_shards_or_names_is_read():
    snapshot = runtime.Runtime._parse("Pid: 4\n\n# name\n\n0x1 a.test web-a")
    assert (snapshot.backends, snapshot.table) == (set(), {"a.test": ["web-a"]})
    assert runtime.Runtime._parse("Pid: 4\n\n# name\nweb-a").table == {}


@pytest.mark.parametrize("text", ["", "Pid: 1\n\n# name\n\nUnknown map identifier. Please use #<id> or <file>."])
def test_an_answer_that_is_none_is_refused(text):
    with pytest.raises(runtime.RuntimeApiError):
        runtime.Runtime._parse(text)


def test_a_payload_never_exceeds_the_buffer():
    entries = {f"{'a' * 200}{index}.test": "w" * 32 for index in range(500)}
    bodies = list(runtime.chunks(entries))
    assert max(map(len, bodies)) <= runtime.CHUNK
    assert len("".join(bodies).splitlines()) == 500
    assert list(runtime.chunks({})) == []
