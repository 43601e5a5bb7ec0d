"""Where the playbook of a launch is, and what exactly it is.

A git repository is kept as a bare mirror in ``<data_dir>/projects``; a run gets the files of one commit in its private
directory. Nothing of the repository's own configuration, hooks or submodules is used.
"""

from __future__ import annotations

import fcntl
import hashlib
import os
import re
import shlex
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from api.core.settings import Settings
from api.launch.kinds.project import allowed

COMMIT = re.compile(r"[0-9a-f]{40}|[0-9a-f]{64}")
#: Seconds for what talks to a server, and for what does not.
FETCH_SECONDS, LOCAL_SECONDS = 300, 60
#: Bytes of the files of one commit: they are unpacked in memory.
MOST_BYTES = 256 * 1024 * 1024
ENVIRONMENT = {
    "PATH": "/usr/local/bin:/usr/bin:/bin",
    "LC_ALL": "C.UTF-8",
    "GIT_CONFIG_NOSYSTEM": "1",
    "GIT_CONFIG_GLOBAL": "/dev/null",
    "GIT_TERMINAL_PROMPT": "0",
    # A server that sends us elsewhere (ext::, another scheme) is not followed.
    "GIT_ALLOW_PROTOCOL": "https:ssh:file",
}
OPTIONS = ("-c", "http.followRedirects=false", "-c", "core.hooksPath=/dev/null", "-c", "fetch.recurseSubmodules=false",
           "-c", "gc.auto=0", "-c", "transfer.fsckObjects=true")  # fmt: skip


class Unusable(Exception):
    """The project cannot be run; the text is for the job's reason."""


def place(settings: Settings, project: Any, directory: Path) -> tuple[Path, str]:
    """Return (directory of the playbooks, revision) of a project, None being the platform's own. Raises Unusable.

    ``directory`` is private to the run.
    """
    if project is None:
        return settings.playbooks.resolve(), _revision(settings.playbooks.resolve())
    if project.source == "directory":
        path = (settings.projects / project.directory).resolve()
        if not path.is_dir():
            raise Unusable(f"there is no directory {project.directory} among the projects of this worker")
        return path, _revision(path)
    if not allowed(project.url, settings.git_urls):
        raise Unusable("its repository is not among those that HOSTREEVE_GIT_URLS allows")
    commit = _fetch(settings, project, mirror := settings.data_dir.resolve() / "projects" / f"{project.id}.git")
    return _unpack(mirror, commit, directory / "checkout"), commit


def _fetch(settings: Settings, project: Any, mirror: Path) -> str:
    """Bring a mirror up to date; return the commit that is wanted. A commit that is here already is not asked for."""
    with _locked(mirror):
        if not (mirror / "HEAD").is_file():
            _git(None, "init", "--quiet", "--bare", "--", str(mirror), seconds=LOCAL_SECONDS)
        if COMMIT.fullmatch(project.ref) and (found := _commit(mirror, project.ref)):
            return found
        known = f"UserKnownHostsFile={settings.ssh_known_hosts.resolve()}"
        ssh = ["ssh", "-F", "none", "-i", str(settings.ssh_key.resolve()), "-o", "BatchMode=yes"]
        ssh += ["-o", "StrictHostKeyChecking=yes", "-o", known]
        refs = ("+refs/heads/*:refs/heads/*", "+refs/tags/*:refs/tags/*")
        _git(mirror, "fetch", "--quiet", "--prune", "--force", "--no-write-fetch-head", "--", project.url, *refs,
             seconds=FETCH_SECONDS, GIT_SSH_COMMAND=shlex.join(ssh))  # fmt: skip
        # A branch of a tag's name is the tag, as everywhere in git; neither is an abbreviated commit.
        for name in (f"refs/tags/{project.ref}", f"refs/heads/{project.ref}", project.ref):
            if (name != project.ref or COMMIT.fullmatch(name)) and (found := _commit(mirror, name)):
                return found
    raise Unusable(f"its repository has no branch, tag or commit {project.ref}")


def _commit(mirror: Path, name: str) -> str | None:
    try:
        return _git(mirror, "rev-parse", "--verify", "--quiet", "--end-of-options", f"{name}^{{commit}}",
                    seconds=LOCAL_SECONDS).strip()  # fmt: skip
    except Unusable:
        return None


def _unpack(mirror: Path, commit: str, target: Path) -> Path:
    """Write the files of a commit. Git itself refuses paths that lead out of the directory."""
    size = sum(
        int(words[3])
        for line in _git(mirror, "ls-tree", "-r", "-l", "--full-tree", commit, seconds=LOCAL_SECONDS).splitlines()
        if (words := line.split(maxsplit=4))[3].isdigit()
    )
    if size > MOST_BYTES:
        raise Unusable(f"its files are larger than {MOST_BYTES >> 20} MiB")
    target.mkdir(mode=0o700)
    # An index of our own: another run may unpack another commit of the mirror at the same time.
    index = {"GIT_INDEX_FILE": str(target.with_suffix(".index")), "GIT_WORK_TREE": str(target), "GIT_DIR": str(mirror)}
    _git(target, "read-tree", commit, seconds=LOCAL_SECONDS, **index)
    _git(target, "checkout-index", "--all", "--force", seconds=LOCAL_SECONDS, **index)
    return target


def _revision(path: Path) -> str:
    """Return the commit of a directory, marked if something was changed since; without git the SHA-256 of its files."""
    try:
        commit = _git(path, "rev-parse", "--verify", "--quiet", "HEAD", seconds=LOCAL_SECONDS).strip()
        tracked = _git(path, "ls-files", "--error-unmatch", ".", seconds=LOCAL_SECONDS)
        changed = _git(path, "status", "--porcelain", "--untracked-files=normal", "--", ".", seconds=LOCAL_SECONDS)
        if COMMIT.fullmatch(commit) and tracked:
            return f"{commit}+changes" if changed else commit
    except Unusable:
        pass
    total = hashlib.sha256()
    for file in sorted(path.rglob("*")):
        if file.is_file() and ".git" not in file.parts:
            total.update(f"{file.relative_to(path)}\0{file.stat().st_size}\0".encode() + file.read_bytes())
    return f"sha256:{total.hexdigest()}"


def _git(where: Path | None, *arguments: str, seconds: int, **extra: str) -> str:
    """Run git; return what it printed. Raises Unusable with the line of its complaint that tells most."""
    command = ["git", *OPTIONS, *(("-C", str(where)) if where else ()), *arguments]
    environment = {**ENVIRONMENT, "HOME": os.devnull, **extra}
    try:
        done = subprocess.run(
            command, stdin=subprocess.DEVNULL, capture_output=True, env=environment, timeout=seconds, check=False
        )
    except subprocess.TimeoutExpired:
        raise Unusable(f"git {arguments[0]} took longer than {seconds} seconds") from None
    if done.returncode:
        said = done.stderr.decode(errors="replace").strip().splitlines() or ["failed"]
        fatal = next((line for line in said if line.startswith("fatal:")), said[-1])
        raise Unusable(f"git {arguments[0]}: {fatal[:300]}")
    return done.stdout.decode(errors="replace")


@contextmanager
def _locked(mirror: Path) -> Iterator[None]:
    """One fetch of a mirror at a time."""
    mirror.parent.mkdir(mode=0o750, parents=True, exist_ok=True)
    with open(mirror.with_suffix(".lock"), "w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
