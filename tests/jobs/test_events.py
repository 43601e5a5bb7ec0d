"""Event files: bounded, honest about what is missing, and read by offset."""

from __future__ import annotations

import hashlib
import json
import os
import uuid
from pathlib import Path
from typing import Any

import pytest

from api.jobs import files
from worker import events
from worker.events import EventLog


def event(number: int, **more: Any) -> dict[str, Any]:
    return {
        "counter": number,
        "event": "runner_on_ok",
        "stdout": f"line {number}",
        "event_data": {"host": "web1"},
        **more,
    }


def test_lines_are_read_by_offset_and_half_a_line_is_held_back(tmp_path: Path) -> None:
    job = uuid.uuid4()
    log = EventLog(tmp_path / "jobs", str(job))
    for number in range(5):
        log.append(event(number))
    digest = log.close()
    path = tmp_path / "jobs" / f"{job}.events"
    assert hashlib.sha256(path.read_bytes()).hexdigest() == digest
    items, offset, more = files.events(tmp_path, job, 0, 3)
    assert ([item["n"] for item in items], more) == ([0, 1, 2], True)
    items, offset, more = files.events(tmp_path, job, offset, 3)
    assert ([item["n"] for item in items], offset, more) == ([3, 4], path.stat().st_size, False)
    with path.open("ab") as file:
        file.write(b'{"n": 5')
    assert files.events(tmp_path, job, offset, 3) == ([], offset, False)
    with path.open("ab") as file:
        file.write(b"}\n")
    assert files.events(tmp_path, job, offset, 3)[0] == [{"n": 5}]
    assert b"".join(files.output(tmp_path, job)) == b"".join(b"line %d\n" % number for number in range(5))


def test_offsets_of_somebody_else_find_nothing_wrong(tmp_path: Path) -> None:
    job = uuid.uuid4()
    log = EventLog(tmp_path / "jobs", str(job))
    log.append(event(1))
    log.append(event(2))
    log.close()
    assert [item["n"] for item in files.events(tmp_path, job, 3, 10)[0]] == [2]
    assert files.events(tmp_path, job, 10**9, 10) == ([], 10**9, False)
    assert files.events(tmp_path, uuid.uuid4(), 0, 10) == ([], 0, False)


def test_what_does_not_fit_is_cut_and_said_but_never_a_report(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(events, "MOST_LINES", 3)
    monkeypatch.setattr(events, "MOST_OUTPUT", 20)
    log = EventLog(tmp_path, "x")
    for number in range(10):
        log.append(event(number))
    log.append(event(10, event_data={"host": "web1", "res": {"resources": {"a": {"failed": True}}, "unchanged": 0}}))
    log.append(event(11, event="playbook_on_stats", event_data={"ok": {"web1": 3}}))
    log.close()
    kept = [json.loads(line) for line in (tmp_path / "x.events").read_text().splitlines()]
    assert [item["n"] for item in kept] == [0, 1, 2, 10, 11]
    assert log.truncated
    assert not log.lost
    assert (tmp_path / "x.output").read_bytes() == b"line 0\nline 1\n" + events.CUT + b"line 11\n"


def test_a_line_has_a_bound_too(tmp_path: Path) -> None:
    log = EventLog(tmp_path, "x")
    huge = {str(number): {"changed": True, "failed": False, "msg": "x" * 100} for number in range(10_000)}
    log.append(event(1, stdout="y" * 1_000_000, event_data={"host": "web1", "res": {"resources": huge}}))
    log.close()
    assert (tmp_path / "x.events").stat().st_size < events.LONGEST_LINE
    assert log.truncated


def test_a_full_disk_loses_events_and_says_so(tmp_path: Path) -> None:
    if not os.path.exists("/dev/full"):
        pytest.skip("needs /dev/full")
    (tmp_path / "x.events").symlink_to("/dev/full")
    log = EventLog(tmp_path, "x")
    log.append(event(1))
    log.close()
    assert log.lost


def test_a_directory_that_cannot_be_made_is_no_exception(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    log = EventLog(tmp_path / "file" / "jobs", "x")
    log.append(event(1))
    log.close()
    assert log.lost


def test_arguments_of_modules_are_not_kept(tmp_path: Path) -> None:
    log = EventLog(tmp_path, "x")
    result = {"changed": True, "invocation": {"module_args": {"env": {"KEY": "s3cret"}}}, "diff": [{"after": "s3cret"}]}
    log.append(event(1, event_data={"host": "web1", "res": result, "task_args": "s3cret"}))
    log.close()
    assert "s3cret" not in (tmp_path / "x.events").read_text()
