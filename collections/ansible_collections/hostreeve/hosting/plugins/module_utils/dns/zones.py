# Copyright: Hostreeve maintainers
# GNU General Public License v3.0+ (see https://www.gnu.org/licenses/gpl-3.0.txt)
"""Zones as they should be against zones as they are: pure functions, the same on a primary and on a secondary.

``read`` validates what the caller sent, ``settle`` decides which rrsets a zone shall have given the ones it has,
``compare`` names the difference and ``tell`` reports it per id. Owners are relative to their zone, ``@`` is the apex.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from ansible_collections.hostreeve.hosting.plugins.module_utils import grammar
from ansible_collections.hostreeve.hosting.plugins.module_utils.dns import records

APEX_NS = ("@", "NS")
ZONE_FIELDS = {"id", "name", "state", "dnssec", "hostmaster", "nameservers", "records"}
RECORD_FIELDS = {"id", "name", "type", "ttl", "content", "state"}


class Rrset(NamedTuple):
    """All records of one owner and type: one ttl in seconds, canonical contents."""

    ttl: int
    contents: frozenset

    def lines(self, key):
        """The rrset as zone-file lines, for a diff."""
        return "".join(f"{key[0]} {self.ttl} {key[1]} {content}\n" for content in sorted(self.contents))


@dataclass
class Live:
    """A zone as the name server has it; ``settings`` is (kind, primaries, TSIG keys), ``soa`` lacks the serial."""

    name: str
    account: str
    settings: tuple
    soa: tuple = ()
    serial: int = 0
    keys: bool = False
    presigned: bool = False
    rrsets: dict = field(default_factory=dict)

    @property
    def signed(self):
        """Whether answers carry signatures: made here from own keys, or transferred."""
        return self.keys or self.presigned


@dataclass
class Wanted:
    """A zone as it should be; ``records`` and ``gone`` map an id to its Record, ``held`` names rrsets to keep."""

    id: str
    name: str
    present: bool = True
    dnssec: bool = False
    rname: str = ""
    nameservers: tuple = ()
    records: dict = field(default_factory=dict)
    gone: dict = field(default_factory=dict)
    held: set = field(default_factory=set)
    taken: dict = field(default_factory=dict)
    every: list = field(default_factory=list)  # the ids of all its records, refused ones too

    def failed(self, report, message):
        """Report the zone and every record of it as failed."""
        report.failed(self.id, message)
        for id_ in self.every:
            report.failed(id_, f"the zone {self.name} failed: {message}")


@dataclass
class Change:
    """What makes a zone as wanted; ``soa`` is also true where only its serial must move."""

    create: bool = False
    settings: bool = False
    signing: bool = False
    soa: bool = False
    replace: dict = field(default_factory=dict)
    remove: set = field(default_factory=set)

    def __bool__(self):
        return any((self.create, self.settings, self.signing, self.soa, self.replace, self.remove))


def _state(item):
    if item.get("state") not in (None, "present", "absent"):
        raise records.RecordError("state", "must be present or absent")
    return item.get("state") != "absent"


def _known(item, fields):
    unknown = [str(name) for name in item if name not in fields]
    if unknown:
        raise records.RecordError(unknown[0], "is not a field of it")


def _claim(id_, ids):
    if id_ in ids:
        raise ValueError("the id stands twice in the list")
    ids.add(id_)


def _record_id(zone, item):
    if not isinstance(item, dict):
        return f"{zone}/{str(item)[:200]}"
    parts = (str(item.get(part)) for part in ("name", "type", "content"))
    return str(item.get("id") or f"{zone}/{'/'.join(parts)[:200]}")


def _read_record(zone, item, id_, ids, report):
    """Put one record of the list into its zone, or report why not."""
    key = None
    try:
        _claim(id_, ids)
        if not isinstance(item, dict):
            raise ValueError("must be a mapping")
        _known(item, RECORD_FIELDS)
        kind = records.type_(item.get("type"))
        name = records.owner(item.get("name"), kind)
        records.absolute(name, zone.name)
        if (name, kind) != APEX_NS:
            key = (name, kind)
        present = _state(item)
        ttl = item.get("ttl")
        record = records.record(name, kind, item.get("content"), records.TTL_DEFAULT if ttl is None else ttl)
    except ValueError as error:
        report.failed(id_, str(error))
        if key:
            zone.held.add(key)
        return
    if not present:
        zone.gone[id_] = record
        return
    other = zone.taken.setdefault(record[:2] if kind == "CNAME" else record[:3], id_)
    if other != id_:
        report.failed(id_, f"{name} has such a {kind} record already: {other}")
        return
    zone.records[id_] = record


def _read_zone(item, id_, report, ids):
    _known(item, ZONE_FIELDS)
    zone = Wanted(id_, grammar.fqdn(item.get("name")), _state(item))
    listed = item.get("records") or []
    if not isinstance(listed, list):
        raise records.RecordError("records", "must be a list")
    zone.every = [_record_id(zone.name, record) for record in listed]
    if zone.present:
        for record, record_id in zip(listed, zone.every, strict=True):
            _read_record(zone, record, record_id, ids, report)
    try:
        _claim(id_, ids)
        if zone.present:
            if not isinstance(item.get("dnssec", False), bool):
                raise records.RecordError("dnssec", "must be true or false")
            zone.dnssec = item.get("dnssec", False)
            zone.rname = records.hostmaster(item.get("hostmaster"))
            zone.nameservers = tuple(records.nameservers(item.get("nameservers")))
    except ValueError as error:
        zone.failed(report, str(error))
        return None
    return zone


def read(items, report):
    """Return the Wanted zones among ``items``; whatever breaks a grammar or stands twice is reported as failed.

    A record that is refused holds back its whole rrset, so that the previous version stays.
    """
    zones, ids = {}, set()
    for index, item in enumerate(items):
        if not isinstance(item, dict):
            report.failed(f"zones[{index}]", "must be a mapping")
            continue
        id_ = str(item.get("id") or item.get("name") or f"zones[{index}]")
        try:
            zone = _read_zone(item, id_, report, ids)
        except ValueError as error:
            message = str(error) if isinstance(error, records.RecordError) else f"name: {error}"
            report.failed(id_, message)
            for record in item["records"] if isinstance(item.get("records"), list) else []:
                if isinstance(record, dict) and record.get("id"):
                    report.failed(str(record["id"]), f"the zone failed: {message}")
            continue
        if zone and zone.name in zones:
            zone.failed(report, f"name: {zone.name} stands twice in the list")
        elif zone:
            zones[zone.name] = zone
    return list(zones.values())


def settle(zone, have, ttl, report):
    """Return the rrsets ``{(owner, type): Rrset}`` that the zone shall have, given the ones it ``have``.

    What stands in the way of a CNAME (or the CNAME itself) is refused, and whoever is there already wins. ``ttl`` is
    the zone's own, for its NS records; an rrset takes the lowest ttl of its records (RFC 2181, 5.2).
    """
    wanted = {APEX_NS: Rrset(ttl, frozenset(zone.nameservers))}
    wanted.update((key, have[key]) for key in zone.held if key in have)
    types = {}
    for owner, kind in wanted:
        types.setdefault(owner, set()).add((owner, kind))
    groups = {}
    for id_, record in zone.records.items():
        groups.setdefault((record.name, record.type), {})[id_] = record
    for key in sorted(groups, key=lambda key: key not in have):
        group = groups[key]
        if key in zone.held:
            for id_, record in group.items():
                if key not in have or record.content not in have[key].contents:
                    report.failed(id_, f"held back: another {key[1]} record of {key[0]} is refused")
            continue
        reason = records.conflict(*key, types.get(key[0], ()))
        if reason:
            for id_ in group:
                report.failed(id_, reason)
            continue
        types.setdefault(key[0], set()).add(key)
        members = group.values()
        wanted[key] = Rrset(min(record.ttl for record in members), frozenset(record.content for record in members))
    return wanted


def compare(zone, wanted, live, soa, settings):
    """Return the Change from the ``live`` zone (None where there is none) to the ``wanted`` rrsets.

    ``soa`` is the wanted start of authority without its serial, in the shape of Live.soa; ``settings`` as in Live.
    """
    if live is None:
        return Change(create=True, signing=zone.dnssec, replace=wanted)
    return Change(
        settings=live.settings != settings,
        signing=live.signed != zone.dnssec,
        soa=live.soa != soa,
        replace={key: rrset for key, rrset in wanted.items() if live.rrsets.get(key) != rrset},
        remove=set(live.rrsets) - set(wanted),
    )


def _served(record, rrsets, wanted):
    """Tell whether a record is in the rrsets with the ttl that its rrset shall have."""
    key = record[:2]
    have = rrsets.get(key)
    return have is not None and record.content in have.contents and (key not in wanted or have.ttl == wanted[key].ttl)


def _zone_changes(zone, change, live, left):
    """Say in words what changes of the zone itself; ``left`` are the rrsets that no record of the list accounts for."""
    if change.create:
        return ["created"] + ["signed"] * zone.dnssec
    words = []
    if change.settings:
        words.append("kind, primary or transfer key changed")
    if change.signing:
        words.append("signed" if zone.dnssec else "signatures removed")
    if change.soa or APEX_NS in change.replace:
        words.append("hostmaster, name servers or timers changed")
    if left:
        words.append("records removed: " + ", ".join(sorted(f"{name} {kind}" for name, kind in left)[:20]))
    return words


def tell(zone, wanted, change, live, report, *, note=""):
    """Report a change that was made (or would be, in check mode): the zone's id for what concerns the zone itself,
    each record's id for itself. Ids that failed stay failed."""
    have = live.rrsets if live else {}

    def text(keys, rrsets):
        return "".join(rrsets[key].lines(key) for key in sorted(keys) if key in rrsets)

    shown = set()
    for id_, record in zone.records.items():
        if report.is_failed(id_) or _served(record, have, wanted):
            report.unchanged(id_)
            continue
        key = record[:2]
        keys = {key} - shown
        shown |= keys
        report.changed(
            id_, "changed" if key in have else "created", text(keys, have), text(keys, wanted), f"{zone.name} {id_}"
        )
    for id_, record in zone.gone.items():
        if record.content in have.get(record[:2], Rrset(0, frozenset())).contents - (
            wanted.get(record[:2], Rrset(0, frozenset())).contents
        ):
            report.changed(id_, "removed")
        else:
            report.unchanged(id_)
    left = (set(change.replace) | change.remove) - shown
    words = _zone_changes(zone, change, live, left - {APEX_NS})
    if not words:
        report.unchanged(zone.id)
        return
    before, after = text(left, have), text(left, wanted)
    report.changed(zone.id, "; ".join(words) + note, before, after or f"{zone.name}: {'; '.join(words)}\n", zone.name)


def tell_removed(zone, live, report):
    """Report a zone of the list whose state is absent."""
    if live is None:
        for id_ in [zone.id, *zone.every]:
            report.unchanged(id_)
        return
    before = "".join(rrset.lines(key) for key, rrset in sorted(live.rrsets.items()))
    report.changed(zone.id, "removed", before, "", zone.name)
    for id_ in zone.every:
        report.changed(id_, "removed with its zone")
