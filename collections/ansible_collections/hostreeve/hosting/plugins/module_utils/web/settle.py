# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Takes what a service's own checker refuses out of a set of changes, so that the others can go on."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass
class Complaint:
    """What a checker says, and the name of the file it blames, if it names one of those that we write."""

    text: str
    name: str | None = None


class Blocked(Exception):
    """The checker refuses the tree even without any change; the text is its reason."""


def settle(changes, test, refuse):
    """Run the checker until it is content.

    changes: {name: text, or None for a removal}. test(changes) answers a Complaint or None about the live tree with
    these changes. refuse(name, reason) must take a change (and what depends on it) out of ``changes``, or, for a file
    that is not among them, put its removal in; it answers False if it can do neither. Raises Blocked.
    """
    while complaint := test(changes):
        name = complaint.name
        if name is not None and (name not in changes or changes[name] is not None) and refuse(name, complaint.text):
            continue
        base = {one: text for one, text in changes.items() if text is None}
        blocked = test({})
        if blocked and test(base):
            raise Blocked(blocked.text)
        found = culprits(base if blocked else {}, dict(changes), test)
        if not found or not all([refuse(culprit, reason) for culprit, reason in found.items()]):
            raise Blocked(complaint.text)


def culprits(base, changes, test):
    """Find by halves which changes do not pass on top of base, which passes: {name: reason}.

    A change may need an earlier one, never a later one.
    """
    complaint = test({**base, **changes})
    if not complaint:
        return {}
    if len(changes) == 1:
        return dict.fromkeys(changes, complaint.text)
    names = list(changes)
    left = {name: changes[name] for name in names[: len(names) // 2]}
    bad = culprits(base, left, test)
    base = {**base, **{name: text for name, text in left.items() if name not in bad}}
    return {**bad, **culprits(base, {name: changes[name] for name in names[len(names) // 2 :]}, test)}
