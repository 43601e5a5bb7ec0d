"""When a schedule fires: recurrence rules of RFC 5545 in a time zone, and plain cron as a way to write them.

A rule is evaluated on the zone's wall clock. A time that does not exist (clocks go forward) fires as much later as the
clocks moved; a time that comes twice (clocks go back) fires the first time. Rules by the hour or minute without fixed
hours follow real time instead: no hour is left out, and the hour that comes twice counts twice.
"""

from __future__ import annotations

import calendar
import re
import zoneinfo
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from functools import cache
from heapq import merge

from croniter import CroniterError, croniter
from dateutil.rrule import rruleset, rrulestr

FREQUENCIES = ("MINUTELY", "HOURLY", "DAILY", "WEEKLY", "MONTHLY", "YEARLY")
PARTS = {
    "FREQ",
    "INTERVAL",
    "COUNT",
    "UNTIL",
    "WKST",
    "BYMONTH",
    "BYMONTHDAY",
    "BYDAY",
    "BYSETPOS",
    "BYHOUR",
    "BYMINUTE",
}
PART = re.compile(r"[A-Z]+=[A-Z0-9,+-]+")
CRON_WORDS = re.compile(r"@[a-z]+|\S+(?:\s+\S+){4}")
WEEKDAYS = ("SU", "MO", "TU", "WE", "TH", "FR", "SA")
LONGEST = 500
NUMBERS = {"COUNT": (1, 10_000), "INTERVAL": (1, 10_000), "BYMONTH": (1, 12), "BYMONTHDAY": (1, 31), "BYHOUR": (0, 23),
           "BYMINUTE": (0, 59), "BYSETPOS": (1, 366)}  # fmt: skip
#: Those that may count from the end.
SIGNED = {"BYMONTHDAY", "BYSETPOS"}
#: As long as any clock ever moves, and a little more.
SHIFT = timedelta(hours=4)


def zone(name: str) -> str:
    """Return the name of a time zone; ValueError if there is none."""
    if name not in _zones():
        raise ValueError("must be a time zone such as Europe/Berlin or UTC")
    return name


@cache
def _zones() -> frozenset[str]:
    return frozenset(zoneinfo.available_timezones())


def rule(text: str) -> str:
    """Return the canonical rule of an RRULE or of a cron expression; several lines fire whenever one of them does."""
    text = text.strip()
    if len(text) > LONGEST:
        raise ValueError(f"must be at most {LONGEST} characters")
    if CRON_WORDS.fullmatch(text) and "=" not in text:
        return from_cron(text)
    lines = [_line(line.strip().removeprefix("RRULE:")) for line in text.splitlines() if line.strip()]
    if not 1 <= len(lines) <= 5:
        raise ValueError("must be a rule such as FREQ=DAILY;BYHOUR=3;BYMINUTE=30, or cron such as 30 3 * * *")
    return "\n".join(lines)


def _line(text: str) -> str:
    words = text.split(";")
    if not all(PART.fullmatch(word) for word in words):
        raise ValueError("must be a rule such as FREQ=DAILY;BYHOUR=3;BYMINUTE=30, or cron such as 30 3 * * *")
    parts = dict(word.split("=") for word in words)
    if len(parts) < len(words) or not parts.keys() <= PARTS:
        raise ValueError(f"must hold each of {', '.join(sorted(PARTS))} at most once, and nothing else")
    if parts.get("FREQ") not in FREQUENCIES:
        raise ValueError(f"FREQ must be one of {', '.join(FREQUENCIES)}")
    for name in parts.keys() & NUMBERS.keys():
        low, high = NUMBERS[name]
        # dateutil would search for the thirteenth month until the end of time.
        for number in parts[name].split(","):
            signed = number.removeprefix("-") if name in SIGNED else number
            if not signed.isdigit() or not low <= int(signed) <= high:
                raise ValueError(f"{name} must be from {low} to {high}")
    if "UNTIL" in parts and not re.fullmatch(r"[0-9]{8}(T[0-9]{6})?", parts["UNTIL"]):
        raise ValueError("UNTIL must be a local time such as 20271231T235959")
    _must_exist(parts)
    try:
        rrulestr(text, dtstart=datetime(2026, 1, 1))
    except (ValueError, TypeError, KeyError, IndexError, AttributeError) as error:
        raise ValueError(f"cannot be understood: {error}") from None
    return text


def _must_exist(parts: dict[str, str]) -> None:
    """Refuse days that no year has: they would be searched for until the end of time."""
    if not {"BYMONTH", "BYMONTHDAY"} <= parts.keys():
        return
    longest = [max(calendar.monthrange(year, month)[1] for year in (2024, 2025)) for month in range(1, 13)]
    months = [int(text) for text in parts["BYMONTH"].split(",")]
    days = [abs(int(text)) for text in parts["BYMONTHDAY"].split(",")]
    if not any(day <= longest[month - 1] for month in months for day in days):
        raise ValueError("names a day that does not exist")


def from_cron(text: str) -> str:
    """Return the rule of plain cron: five fields, or @daily and the like. As in cron, a day of the month and a weekday
    that are both given mean either."""
    try:
        fields, nth = croniter.expand(text)
    except (CroniterError, ValueError, KeyError, AttributeError) as error:
        raise ValueError(f"is no cron expression: {error}") from None
    plain = [[value for value in field if isinstance(value, int)] for field in fields]
    if nth or len(fields) != 5 or any(len(a) < len(b) and b != ["*"] for a, b in zip(plain, fields, strict=True)):
        raise ValueError("must be plain cron: five fields of numbers, names, lists, ranges and steps")
    minutes, hours, days, months, weekdays = plain
    frequency = "DAILY" if hours else "HOURLY" if minutes else "MINUTELY"
    common = [f"FREQ={frequency}"]
    for name, values in (("BYMONTH", months), ("BYHOUR", hours), ("BYMINUTE", minutes)):
        if values:
            common.append(f"{name}={','.join(map(str, sorted(values)))}")
    if hours and not minutes:
        common.append(f"BYMINUTE={','.join(map(str, range(60)))}")
    either = []
    if days:
        either.append(f"BYMONTHDAY={','.join(map(str, sorted(days)))}")
    if weekdays:
        either.append(f"BYDAY={','.join(WEEKDAYS[day % 7] for day in sorted(weekdays))}")
    lines = [";".join([*common, part]) for part in either] or [";".join(common)]
    for line in lines:
        _must_exist(dict(word.split("=") for word in line.split(";")))
    return "\n".join(lines)


def firings(text: str, zone_name: str, starts_at: datetime, after: datetime) -> Iterator[datetime]:
    """Yield the times (UTC) of a canonical rule behind ``after``, from ``starts_at`` on; they may end."""
    here = zoneinfo.ZoneInfo(zone_name)
    start = starts_at.astimezone(here).replace(tzinfo=None, fold=0)
    begin = max(after, starts_at - timedelta(microseconds=1))
    last = begin
    lines = [_firings(line, here, start, begin) for line in text.splitlines()]
    for moment in merge(*lines):
        if moment > last:
            last = moment
            yield moment


def _firings(line: str, here: zoneinfo.ZoneInfo, start: datetime, after: datetime) -> Iterator[datetime]:
    """Yield the times of one line in order."""
    local = after.astimezone(here).replace(tzinfo=None, fold=0) - SHIFT
    found = rrulestr(line, dtstart=_nearer(line, start, local))
    assert not isinstance(found, rruleset)  # noqa: S101 - of one line
    real = any(f"FREQ={name}" in line for name in ("HOURLY", "MINUTELY")) and "BYHOUR" not in line
    # Clocks put times out of order, but never by more than they move.
    waiting: list[datetime] = []
    for naive in found.xafter(local, inc=True):
        waiting += _moments(naive, here, real)
        settled = (naive - SHIFT).replace(tzinfo=here).astimezone(UTC)
        waiting.sort()
        while waiting and waiting[0] < settled:
            if (moment := waiting.pop(0)) > after:
                yield moment
    yield from (moment for moment in sorted(waiting) if moment > after)


def _moments(naive: datetime, here: zoneinfo.ZoneInfo, real: bool) -> list[datetime]:
    """Return the times (UTC) at which the clocks of a zone show a time: usually one."""
    first, second = (naive.replace(tzinfo=here, fold=fold) for fold in (0, 1))
    twice = first.utcoffset() != second.utcoffset()
    exists = first.astimezone(UTC).astimezone(here).replace(tzinfo=None) == naive
    if not twice or (exists and not real):
        return [first.astimezone(UTC)]
    if exists:
        return [first.astimezone(UTC), second.astimezone(UTC)]
    # By the offset of before the clocks moved, which is later by the clocks of after.
    return [] if real else [first.astimezone(UTC)]


def _nearer(line: str, start: datetime, local: datetime) -> datetime:
    """Return a start of the same times behind ``local`` that is near it: years of minutes must not be counted."""
    parts = dict(word.split("=") for word in line.split(";"))
    steps = {"MINUTELY": timedelta(minutes=1), "HOURLY": timedelta(hours=1), "DAILY": timedelta(days=1),
             "WEEKLY": timedelta(weeks=1)}  # fmt: skip
    if "COUNT" in parts or parts["FREQ"] not in steps or local <= start:
        return start
    step = steps[parts["FREQ"]] * int(parts.get("INTERVAL", "1"))
    return start + step * ((local - start) // step)


def preview(text: str, zone_name: str, starts_at: datetime, after: datetime, count: int) -> list[datetime]:
    """Return the next times (UTC) behind ``after``, at most ``count``."""
    found = firings(text, zone_name, starts_at, after)
    return [moment for moment, _ in zip(found, range(count), strict=False)]


def due(text: str, zone_name: str, starts_at: datetime, since: datetime, until: datetime) -> tuple[datetime, int]:
    """Return (latest, number) of the times from ``since``, which is one, to ``until``; far back they are not counted.

    At most as many are counted as lie in a day.
    """
    near = max(since - timedelta(microseconds=1), until - timedelta(days=1))
    latest, number = since, 0
    for moment in firings(text, zone_name, starts_at, near):
        if moment > until:
            break
        latest, number = moment, number + 1
    return latest, max(number, 1)
