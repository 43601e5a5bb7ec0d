"""A burst is carried in few runs; a single change never waits."""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any

import pytest

from worker import gather
from worker.context import Context

Make = Callable[[str], uuid.UUID]


@pytest.fixture
def pauses(engine: Any, fqdn: Make, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the pauses made so far; in each of the first three another name comes."""
    seen: list[int] = []

    def sleep(_seconds: float) -> None:
        seen.append(len(seen))
        if len(seen) <= 3:
            fqdn(f"late{len(seen)}.other.example")

    monkeypatch.setattr(gather.time, "sleep", sleep)
    return seen


def context(engine: Any) -> Context:
    return Context(engine.settings, engine.maker.kw["bind"], engine.maker, engine.published.append)


def test_a_burst_waits_until_no_more_comes(engine: Any, fqdn: Make, pauses: list[int]) -> None:
    for number in range(gather.BURST // 2):  # each for two nodes
        fqdn(f"n{number}.other.example")
    gather.gather(context(engine), engine.ids["web-a"])
    assert len(pauses) == 4


def test_a_burst_that_does_not_end_waits_no_longer_than_a_run(
    engine: Any, fqdn: Make, pauses: list[int], monkeypatch: pytest.MonkeyPatch
) -> None:
    for number in range(gather.BURST // 2):
        fqdn(f"n{number}.other.example")
    moments = iter(range(0, 100, 4))
    monkeypatch.setattr(gather.time, "monotonic", lambda: float(next(moments)))
    gather.gather(context(engine), engine.ids["web-a"])
    assert len(pauses) <= 1


def test_a_few_changes_never_wait(engine: Any, fqdn: Make, pauses: list[int]) -> None:
    for number in range(gather.BURST // 2 - 1):
        fqdn(f"n{number}.other.example")
    gather.gather(context(engine), engine.ids["web-a"])
    assert pauses == []
