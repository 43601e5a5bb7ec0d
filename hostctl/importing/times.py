"""When the schedules of an export fire, in our terms: rule, time zone and start."""

from __future__ import annotations

import re
import zoneinfo
from datetime import UTC, datetime
from typing import Any

from hostctl.importing.plan import NotCarried

START = re.compile(r"DTSTART(?:;TZID=([A-Za-z0-9_+/-]+))?:([0-9]{8}T[0-9]{6})(Z?)")
UNTIL = re.compile(r"(?<=UNTIL=)([0-9]{8}T[0-9]{6})Z(?=;|$)")
FORM = "%Y%m%dT%H%M%S"
ZONED = re.compile(r"(?:CRON_)?TZ=(\S+)\s+(.*)")


def from_rrule(text: str) -> dict[str, Any]:
    """Return ``{rule, timezone, starts_at}`` of ``DTSTART;TZID=…:… RRULE:…``; NotCarried if that cannot be said."""
    rules, starts = [], []
    for word in text.split():
        if match := START.fullmatch(word):
            starts.append(match)
        elif word.startswith("RRULE:"):
            rules.append(word.removeprefix("RRULE:"))
        else:
            raise NotCarried(f"its rule holds {word.split(':')[0][:20]}, which there is none of here")
    if len(starts) != 1 or not rules:
        raise NotCarried("its rule must hold one DTSTART and an RRULE")
    name, start, utc = starts[0].groups()
    if bool(name) is bool(utc):
        raise NotCarried("the DTSTART of its rule must have a time zone or end in Z")
    zone = _zone(name or "UTC")
    try:
        moment = datetime.strptime(start, FORM).replace(tzinfo=zone, second=0)
        lines = [UNTIL.sub(lambda match: _local(match[1], zone), rule) for rule in rules]
    except (ValueError, OverflowError):
        raise NotCarried("its rule holds a time that does not exist") from None
    # Seconds do not count here; AWX writes this one often.
    lines = [re.sub(r";BYSECOND=0(?=;|$)", "", line) for line in lines]
    return {"rule": "\n".join(lines), "timezone": zone.key, "starts_at": moment.astimezone(UTC).isoformat()}


def _local(until: str, zone: zoneinfo.ZoneInfo) -> str:
    """Return an UNTIL on the clocks of a zone."""
    return datetime.strptime(until, FORM).replace(tzinfo=UTC).astimezone(zone).strftime(FORM)


def _zone(name: str) -> zoneinfo.ZoneInfo:
    try:
        return zoneinfo.ZoneInfo(name)
    except (OSError, ValueError, KeyError):
        raise NotCarried(f"there is no time zone {name}") from None


def from_cron(text: str, timezone: str) -> dict[str, Any]:
    """Return ``{rule, timezone}`` of plain cron, which may name a time zone of its own."""
    if match := ZONED.fullmatch(text.strip()):
        timezone, text = match[1], match[2]
    return {"rule": text.strip(), "timezone": _zone(timezone).key}
