"""The program between ansible-playbook and ansible-runner: what passes of a flood, and how its command ends."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time

import pytest

from worker import limit
from worker.limit import EACH, MOST, Filter

FRAME = b"\x1b[KeyJ1dWlk" + b"Q" * 40 + b"\x1b[50D\x1b[K"


def passed(*chunks: bytes) -> bytes:
    bounded = Filter()
    return b"".join([*(bounded.take(chunk) for chunk in chunks), bounded.end()])


def pieces(data: bytes, size: int) -> list[bytes]:
    return [data[n : n + size] for n in range(0, len(data), size)]


def test_what_is_short_passes_untouched() -> None:
    data = b"a\r\n" + FRAME + b"b\x1b[K" + bytes(range(256))
    assert passed(*pieces(data, 7)) == data


@pytest.mark.parametrize("size", [1, 2, 3, 50, 997, 1 << 16])
def test_marks_pass_in_any_pieces_and_text_between_them_is_cut(size: int) -> None:
    bounded = Filter()
    bounded.take(b"x" * MOST)
    flood = (FRAME + b"head " + b"f" * 5000) * 20 + FRAME + b"PLAY RECAP\r\nweb1 : ok=1\r\n" + FRAME
    out = b"".join([*(bounded.take(piece) for piece in pieces(flood, size)), bounded.end()])
    assert out.count(FRAME) == 22
    assert out.count(b"head ") == 20
    assert out.endswith(FRAME + b"PLAY RECAP\r\nweb1 : ok=1\r\n" + FRAME)
    assert len(out) < 22 * (len(FRAME) + EACH + 2) + 100


def test_something_like_a_mark_does_not_wait_for_ever() -> None:
    bounded = Filter()
    bounded.take(b"x" * MOST)
    for _ in range(100):
        assert len(bounded.take(b"\x1b[K" + b"A" * 60_000)) <= EACH + 2
        assert len(bounded._rest) <= limit.TAIL


def run(script: str) -> subprocess.Popen[bytes]:
    command = [sys.executable, "-I", "-S", limit.__file__, "sh", "-c", script]
    return subprocess.Popen(command, stdout=subprocess.PIPE)


@pytest.mark.parametrize(("script", "code"), [("exit 0", 0), ("exit 7", 7), ("kill -9 $$", 137)])
def test_the_exit_code_is_the_command_s(script: str, code: int) -> None:
    process = run(f"echo out; echo err >&2; {script}")
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"out\nerr\n", code)


def test_signals_reach_the_command() -> None:
    process = run("trap 'echo ending; exit 5' TERM; echo ready; while :; do sleep 0.1; done")
    assert process.stdout is not None
    assert process.stdout.readline() == b"ready\n"
    process.send_signal(signal.SIGTERM)
    out, _ = process.communicate(timeout=20)
    assert (out, process.returncode) == (b"ending\n", 5)


def test_what_the_command_leaves_behind_holds_nobody_up() -> None:
    began = time.monotonic()
    process = run("sleep 30 & yes & echo $! >&2; sleep 0.1; exit 3")
    out, _ = process.communicate(timeout=20)
    os.kill(int(next(line for line in out.split() if line.isdigit())), signal.SIGKILL)
    assert process.returncode == 3
    assert time.monotonic() - began < 20
