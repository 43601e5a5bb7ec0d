# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""What every whole-list module shares: the guard around a run, the report at its end, atomic files."""

from __future__ import annotations

import contextlib
import fcntl
import hashlib
import json
import os
import syslog
import tempfile

STATE = "/var/lib/hostreeve"
DIFF_CAP = 200  # entries; a converge of thousands of resources must not return megabytes of diff
# Characters of one text, and of all texts, of the differences that a job keeps with its resources.
ONE_CAP, EACH_CAP = 4000, 60000

#: Arguments that every whole-list module takes.
ARGUMENTS = {
    "purge": {"type": "bool", "default": False},
    "job": {"type": "str"},
    "audit_head": {"type": "str"},
    "fence": {"type": "int", "no_log": False},
}


class Stale(Exception):
    """The run carries an older fencing token than one this host has already seen, or holds no lease at all."""


class Report:
    """Collects what happened to each resource.

    ``result()`` is ``{changed, resources: {id: {changed, failed, msg}}, unchanged: int, diff: [..]}`` where
    ``resources`` holds what changed or failed and ``unchanged`` counts the rest. In a job's run what changed also has a
    ``diff``: ``[{what, before, after}]``, as far as there is room, and the result a ``digest``: the SHA-256 of all
    changes with their whole texts, in any order.
    """

    def __init__(self):
        self._resources = {}
        self._unchanged = set()
        self._diff = []
        self._each = {}
        self._room = EACH_CAP
        self._hashes = []

    def failed(self, id_, message):
        """Record that the resource could not be made; the first reason stands."""
        self._unchanged.discard(id_)
        entry = self._resources.setdefault(id_, {"changed": False, "failed": True, "msg": message})
        if not entry["failed"]:
            entry.update(failed=True, msg=message)

    def changed(self, id_, message, before="", after="", header=None):
        """Record that the resource changed (or would, in check mode); before and after must hold no secret."""
        self._unchanged.discard(id_)
        entry = self._resources.setdefault(id_, {"changed": True, "failed": False, "msg": message})
        if not entry["failed"]:
            entry["changed"] = True
            if message not in entry["msg"]:
                entry["msg"] += "; " + message
        header = header or id_
        self._hashes.append(hashlib.sha256(json.dumps([id_, message, header, before, after]).encode()).hexdigest())
        if before != after and len(self._diff) < DIFF_CAP:
            self._diff.append({"before_header": header, "after_header": header, "before": before, "after": after})
            self._keep(id_, {"what": header, "before": _short(before), "after": _short(after)})

    def _keep(self, id_, difference):
        self._room -= sum(map(len, difference.values()))
        if self._room >= 0:
            self._each.setdefault(id_, []).append(difference)

    def unchanged(self, id_):
        """Record that the resource was as wanted; a change or failure of the same id wins."""
        if id_ not in self._resources:
            self._unchanged.add(id_)

    def is_failed(self, id_):
        """Tell whether the resource has failed so far."""
        return self._resources.get(id_, {}).get("failed", False)

    def result(self, diff=False, each=False):
        """Return what the module exits with; ``each``: with the differences of each resource."""
        resources = self._resources
        if each:
            for id_, differences in self._each.items():
                if not resources[id_]["failed"]:
                    resources[id_]["diff"] = differences
        result = {
            "changed": any(entry["changed"] for entry in resources.values()),
            "resources": resources,
            "unchanged": len(self._unchanged),
            # Or ansible-core returns all arguments: megabytes of lists, and the secrets in them, in every event.
            "invocation": {},
        }
        if each:
            result["digest"] = hashlib.sha256("".join(sorted(self._hashes)).encode()).hexdigest()
        if diff:
            result["diff"] = self._diff
        return result


def _short(text):
    return text if len(text) <= ONE_CAP else text[: ONE_CAP - 1] + "…"


@contextlib.contextmanager
def guard(module):
    """Hold the host's lock for the run and refuse a stale fencing token.

    Reads ``job`` and ``fence`` from module.params. A run without a token (an inventory of files) only takes the lock; a
    token below 0 stands for a lease that nobody took.
    Writes nothing in check mode. Raises Stale.
    """
    if module.check_mode:
        yield
        return
    if (module.params["fence"] or 0) < 0:
        raise Stale("the run holds no lease of this host: it must begin with the task hostreeve.hosting.lease")
    os.makedirs(STATE, mode=0o755, exist_ok=True)
    with open(os.path.join(STATE, "lock"), "w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        token, path = module.params["fence"], os.path.join(STATE, "fence")
        if token is not None:
            try:
                with open(path) as handle:
                    seen = int(handle.read() or 0)
            except FileNotFoundError:
                seen = 0
            if token < seen:
                note("refused", module)
                raise Stale("fencing token %d is older than %d, which this host has seen" % (token, seen))
            if token > seen:
                write(path, "%d\n" % token)
        note("begins", module)
        try:
            yield
        finally:
            note("ends", module)


def note(what, module):
    """Leave a line in the host's own journal (``journalctl -t hostreeve``): what ran here, and under which token."""
    fence = module.params["fence"]
    job = "".join(char for char in module.params.get("job") or "-" if char.isprintable())[:64]
    syslog.openlog("hostreeve", 0, syslog.LOG_DAEMON)
    syslog.syslog("run %s fence=%s job=%s" % (what, "-" if fence is None else fence, job))


def write(path, content, mode=0o644, uid=0, gid=0):
    """Replace a file in a root-owned directory in one step; content is str or bytes."""
    data = content.encode("utf-8") if isinstance(content, str) else content
    descriptor, temporary = tempfile.mkstemp(prefix=".new-", dir=os.path.dirname(path))
    try:
        with os.fdopen(descriptor, "wb") as handle:
            handle.write(data)
            os.fchown(handle.fileno(), uid, gid)
            os.fchmod(handle.fileno(), mode)
        os.rename(temporary, path)
    except BaseException:
        with contextlib.suppress(FileNotFoundError):
            os.unlink(temporary)
        raise


def read(path):
    """Return a file's text, or None where there is none (or something that is not a regular file)."""
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_NOFOLLOW)
    except OSError:
        return None
    with os.fdopen(descriptor, "rb") as handle:
        return handle.read().decode("utf-8", "replace")
