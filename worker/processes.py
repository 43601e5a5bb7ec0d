"""Linux: dying with the parent, and ending every process of a run."""

from __future__ import annotations

import ctypes
import os
import signal
import socket
import time
from collections.abc import Iterable, Iterator
from contextlib import suppress
from pathlib import Path

PR_SET_PDEATHSIG, PR_SET_CHILD_SUBREAPER = 1, 36
#: Environment variable that every process of a run inherits; its value is the job's id.
MARK = "HOSTREEVE_JOB"
_libc = ctypes.CDLL(None, use_errno=True)


def name() -> str:
    """Return which process of which machine this is."""
    return f"{socket.gethostname()}:{os.getpid()}"


def die_with_parent(number: int = signal.SIGKILL) -> None:
    """Let the kernel signal this process when its parent ends, however that ends."""
    _libc.prctl(PR_SET_PDEATHSIG, int(number), 0, 0, 0)


def adopt_orphans() -> None:
    """Become the parent of descendants that lose theirs: ansible's forks leave their session and group."""
    _libc.prctl(PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0)


def children(pid: int) -> list[int]:
    """Return the direct children of a process."""
    found: list[int] = []
    for file in Path(f"/proc/{pid}/task").glob("*/children"):
        with suppress(OSError):
            found += [int(word) for word in file.read_text().split()]
    return found


def descendants(pid: int) -> Iterator[int]:
    """Give all processes below ``pid``, but for the masters of shared ssh connections, which outlive a run."""
    for child in children(pid):
        yield from descendants(child)
        if not _is_ssh_master(child):
            yield child


def marked() -> dict[int, str]:
    """Return pid → job id of the processes of runs on this machine, but for the masters of shared ssh connections.

    Whatever left its session, its group and its parent is still found.
    """
    found = {}
    prefix = f"{MARK}=".encode()
    for folder in Path("/proc").iterdir():
        if not folder.name.isdigit():
            continue
        with suppress(OSError):
            for variable in (folder / "environ").read_bytes().split(b"\0"):
                if variable.startswith(prefix) and not _is_ssh_master(int(folder.name)):
                    found[int(folder.name)] = variable[len(prefix) :].decode(errors="replace")
    return found


def kill(pids: Iterable[int]) -> None:
    """Kill processes; those that are gone already do not matter."""
    for pid in pids:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)


def terminate(number: int) -> None:
    """Send a signal to the direct children: ansible-playbook ends its forks and local modules on SIGTERM."""
    for child in children(os.getpid()):
        if not _is_ssh_master(child):
            with suppress(ProcessLookupError):
                os.kill(child, number)


def kill_all(seconds: float = 5.0) -> bool:
    """Kill every descendant; True once none lives. Needs ``adopt_orphans`` before they were started."""
    end = time.monotonic() + seconds
    while time.monotonic() < end:
        left = [pid for pid in descendants(os.getpid()) if not _is_zombie(pid)]
        if not left:
            return True
        kill(left)
        time.sleep(0.02)
    return False


def _is_zombie(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] == "Z"
    except OSError:
        return True


def _is_ssh_master(pid: int) -> bool:
    # By its program too: any process may call itself what it likes.
    try:
        folder = Path(f"/proc/{pid}")
        return (folder / "exe").readlink().name.split()[0] == "ssh" and b"[mux]" in (folder / "cmdline").read_bytes()
    except OSError:
        return False
