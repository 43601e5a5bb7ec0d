"""Plays that say too much: what matters is complete, the rest is bounded, and the job says that something was cut."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from tests.jobs.working import HEAD, REPORT, Work
from worker import events

Make = Callable[[str], uuid.UUID]

FLOODS = {
    # Straight to where ansible-playbook prints, past everything that counts results.
    "gigabyte": """
    - name: Flood
      ansible.builtin.shell: |
        for process in $(ls -d /proc/[0-9]*); do
          grep -qzs "^HOSTREEVE_JOB=$HOSTREEVE_JOB" $process/environ || continue
          [ "$(cat $process/comm)" = ansible-playboo ] || continue
          readlink $process/fd/1 | grep -q pipe || continue
          yes a line as long as most of those that a playbook prints, and some words more | head -c 1G > $process/fd/1
          exit 0
        done
        exit 1
""",
    "result": """
    - name: Flood
      ansible.builtin.shell: head -c 10M /dev/zero | tr '\\0' a
""",
    "lines": """
    - name: Flood
      ansible.builtin.debug: {msg: x}
      loop: "{{ range(3000) | list }}"
""",
}


def prepare(work: Work, tasks: str) -> None:
    names = {"work": work.path, "python": sys.executable}
    play = HEAD.format(**names) + tasks + REPORT.format(**names)
    (work.path / "playbooks" / "converge.yml").write_text(play)


@pytest.mark.parametrize("flood", FLOODS)
def test_a_flood_is_bounded_and_the_report_is_complete(work: Work, fqdn: Make, flood: str) -> None:
    prepare(work, FLOODS[flood])
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    job = work.until(lambda: (job := work.job(job_id)).state not in ("queued", "running") and job, 240)
    said = (work.settings.data_dir / "jobs" / f"{job_id}.output").read_text()[-2000:]
    assert (job.state, job.reason, job.changed, job.events_lost) == ("successful", "", 1, False), said
    # Of a result only what a reader needs is kept, so nothing of that was cut.
    assert job.truncated == (flood == "gigabyte")
    assert not work.engine.deliveries(resource_id=id_, node_id=work.engine.ids["lb1"])
    folder = work.settings.data_dir / "jobs"
    output = (folder / f"{job_id}.output").read_bytes()
    assert len(output) < events.MOST_OUTPUT + events.LONGEST_LINE
    assert b"PLAY RECAP" in output
    lines = (folder / f"{job_id}.events").read_bytes().splitlines()
    assert sum(map(len, lines)) < events.MOST_BYTES + 4 * events.LONGEST_LINE
    assert json.loads(lines[-1])["event"] == "playbook_on_stats"
    if flood == "lines":
        assert sum(json.loads(line)["event"] == "runner_item_on_ok" for line in lines) == 3000


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk that is full at once."""
    if os.geteuid() != 0:
        pytest.skip("only root may mount")
    path = tmp_path / "disk"
    path.mkdir()
    subprocess.run(["mount", "-t", "tmpfs", "-o", "size=32k", "tmpfs", str(path)], check=True)
    yield path
    subprocess.run(["umount", "-l", str(path)], check=True)


def test_a_full_disk_under_the_events_fails_the_job_and_not_the_work(work: Work, fqdn: Make, small_disk: Path) -> None:
    prepare(work, FLOODS["lines"].replace("3000", "300"))
    work.restart(data_dir=small_disk)
    id_ = fqdn("www.other.example")
    job_id = work.engine.queued("lb-a").id
    work.publish(job_id)
    job = work.ended(job_id)
    assert (job.state, job.reason, job.events_lost) == ("failed", "events_lost", True)
    assert not work.engine.deliveries(resource_id=id_, node_id=work.engine.ids["lb1"])
