# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""The fact file of a host, by which it is tied to the platform's audit.

``last_job`` is the job that changed the host last and ``audit_head`` ("seq:hash") where the audit ended when that job
was taken; ``previous_…`` are those before it. A change from a terminal is no job's: it leaves ``last_job``, takes the
``audit_head`` away and sets ``changed_by`` to "terminal".
"""

from __future__ import annotations

import json
import os

from ansible_collections.hostreeve.hosting.plugins.module_utils import whole_list

PATH = "/etc/ansible/facts.d/hostreeve.fact"


def parse(text):
    """Return the object that a fact file holds; an empty one for no file or anything else."""
    try:
        held = json.loads(text or "")
    except (ValueError, RecursionError):
        return {}
    return held if isinstance(held, dict) else {}


def render(facts):
    """Return the file's text, the same for the same facts."""
    return json.dumps(facts, indent=2, sort_keys=True) + "\n"


def stamp(held, job, audit_head):
    """Return the facts of a host that this job has changed; no job: somebody in a terminal has."""
    if not job:
        return {**held, "changed_by": "terminal", "audit_head": ""}
    wanted = {**held, "changed_by": "job", "last_job": job, "audit_head": audit_head or ""}
    if held.get("last_job") != job:
        wanted.update(previous_job=held.get("last_job", ""), previous_audit_head=held.get("audit_head", ""))
    return wanted


def carried(held, job=""):
    """Return ``{job, audit_head}`` that a host carries; with a job: what it carried before that one."""
    names = ("last_job", "audit_head")
    if job and held.get("last_job") == job:
        names = ("previous_job", "previous_audit_head")
    job, audit_head = (str(held.get(name) or "")[:128] for name in names)
    return {"job": job, "audit_head": audit_head}


def remember(module, result):
    """Note who changed this host, if ``result`` says so, and put into it what the host carried before and carries now.

    Adds ``node: {before, now}``; to be called under the guard. Writes nothing in check mode.
    """
    job = module.params["job"] or ""
    held = parse(whole_list.read(PATH))
    now = stamp(held, job, module.params["audit_head"]) if result["changed"] and not module.check_mode else held
    if now != held:
        os.makedirs(os.path.dirname(PATH), exist_ok=True)
        whole_list.write(PATH, render(now))
    result["node"] = {"before": carried(held, job), "now": carried(now)}
