"""What a whole-list module answered, held against what it was sent."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any

from api.jobs.document import Sent

#: Characters of a message that are kept.
LONGEST = 500
#: Differences of one resource on one host, and characters of their texts.
MOST_DIFFERENCES, LONGEST_TEXT = 20, 4000
_PATH = re.compile(r"(?:/[^\s/:'\"]+)+/")
_CONTROL = re.compile(r"[\x00-\x1f\x7f]+")


class Unfit(Exception):
    """The report does not account for what was sent, so nothing in it can be believed."""


@dataclass
class Result:
    """What happened on one host: id → message; what was sent and stands in neither was as wanted."""

    changed: dict[str, str] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    #: id → [{what, before, after}] of what changed, as far as the host had room for it
    diffs: dict[str, list[dict[str, str]]] = field(default_factory=dict)


def public(message: Any) -> str:
    """Return a message fit for the owner of a resource: one line, bounded, directories cut off."""
    text = _PATH.sub("…/", _CONTROL.sub(" ", str(message)).strip())
    return text if len(text) <= LONGEST else text[: LONGEST - 1] + "…"


def _differences(told: Any) -> list[dict[str, str]]:
    """Return the differences that a host told, as texts that can be stored; what has another shape is left out."""
    if not isinstance(told, list):
        return []
    return [
        {name: str(entry.get(name, "")).replace("\0", "")[:LONGEST_TEXT] for name in ("what", "before", "after")}
        for entry in told[:MOST_DIFFERENCES]
        if isinstance(entry, dict)
    ]


def read(sent: Sent, resources: Any, unchanged: Any) -> Result:
    """Return the result of a report ``{resources: {id: {changed, failed, msg}}, unchanged}``.

    What was removed by a purge stands in ``resources`` too and was not sent; it is not counted. Raises Unfit.
    """
    if not isinstance(resources, dict) or not isinstance(unchanged, int) or isinstance(unchanged, bool):
        raise Unfit("the report has no resources")
    result = Result()
    for id_, entry in resources.items():
        if id_ not in sent.items:
            continue
        if not isinstance(entry, dict):
            raise Unfit("the report is malformed")
        if entry.get("failed"):
            result.failed[id_] = public(entry.get("msg") or "failed")
        elif entry.get("changed"):
            result.changed[id_] = public(entry.get("msg") or "")
        else:
            unchanged += 1
    result.diffs = {id_: told for id_ in result.changed if (told := _differences(resources[id_].get("diff")))}
    count = unchanged + len(result.failed) + len(result.changed)
    if count != len(sent.items):
        raise Unfit(f"{len(sent.items)} resources were sent and {count} reported")
    for inner, outer in sent.inside.items():
        if outer in result.failed and inner not in result.failed:
            result.changed.pop(inner, None)
            result.failed[inner] = result.failed[outer]
    return result
