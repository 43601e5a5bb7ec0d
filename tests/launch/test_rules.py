"""When schedules fire: clocks that move, cron, long ranges, and rules that would never end."""

from __future__ import annotations

import time
import zoneinfo
from datetime import UTC, datetime, timedelta
from itertools import islice, pairwise

import pytest

from api.launch.rules import due, firings, preview, rule, zone

START = datetime(2026, 1, 1, tzinfo=UTC)


def local(text: str, zone_name: str, after: str, count: int) -> list[str]:
    moments = preview(rule(text), zone_name, START, datetime.fromisoformat(after), count)
    return [moment.astimezone(zoneinfo.ZoneInfo(zone_name)).strftime("%m-%d %H:%M%z") for moment in moments]


def test_a_time_that_does_not_exist_fires_once_and_later():
    assert local("30 2 * * *", "Europe/Berlin", "2026-03-28T00:00+00:00", 3) == [
        "03-28 02:30+0100",
        "03-29 03:30+0200",
        "03-30 02:30+0200",
    ]
    # Where clocks move by half an hour.
    assert local("15 2 * * *", "Australia/Lord_Howe", "2026-10-02T20:00+00:00", 2) == [
        "10-04 02:45+1100",
        "10-05 02:15+1100",
    ]


def test_a_time_that_comes_twice_fires_the_first_time():
    assert local("30 2 * * *", "Europe/Berlin", "2026-10-24T03:00+00:00", 2) == ["10-25 02:30+0200", "10-26 02:30+0100"]
    assert local("30 1 * * *", "America/New_York", "2026-10-31T12:00+00:00", 2) == [
        "11-01 01:30-0400",
        "11-02 01:30-0500",
    ]


@pytest.mark.parametrize(
    "zone_name", ["Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "UTC"]
)
@pytest.mark.parametrize(("text", "step"), [("0 * * * *", 3600), ("*/30 * * * *", 1800), ("FREQ=MINUTELY", 60)])
def test_every_hour_is_every_hour_of_the_year(zone_name, text, step):
    count = min(366 * 86_400 // step, 20_000)
    for begin in ("2026-03-01T00:00+00:00", "2026-10-01T00:00+00:00"):
        found = list(islice(firings(rule(text), zone_name, START, datetime.fromisoformat(begin)), count))
        gaps = {(after - before).total_seconds() for before, after in pairwise(found)}
        if zone_name == "Australia/Lord_Howe" and step == 3600:
            # Clocks that move by half an hour show a full hour half an hour sooner or later.
            assert gaps <= {1800, 3600, 5400}
        else:
            assert gaps == {step}


@pytest.mark.parametrize("zone_name", ["Europe/Berlin", "America/Sao_Paulo", "Pacific/Apia", "Africa/Casablanca"])
def test_every_day_fires_once_a_day_for_years(zone_name):
    found = list(islice(firings(rule("30 2 * * *"), zone_name, START, START), 4000))
    days = [moment.astimezone(zoneinfo.ZoneInfo(zone_name)).date() for moment in found]
    assert len(set(days)) == 4000 and (days[-1] - days[0]).days == 3999


CRON = {
    "30 3 * * *": "FREQ=DAILY;BYHOUR=3;BYMINUTE=30",
    "*/20 * * * *": "FREQ=HOURLY;BYMINUTE=0,20,40",
    "* * * * *": "FREQ=MINUTELY",
    "@weekly": "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYDAY=SU",
    "0 9-17/4 * 1,jul mon-wed": "FREQ=DAILY;BYMONTH=1,7;BYHOUR=9,13,17;BYMINUTE=0;BYDAY=MO,TU,WE",
    "0 0 1 * 5": "FREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYMONTHDAY=1\nFREQ=DAILY;BYHOUR=0;BYMINUTE=0;BYDAY=FR",
    "0 0 29 2 *": "FREQ=DAILY;BYMONTH=2;BYHOUR=0;BYMINUTE=0;BYMONTHDAY=29",
}


@pytest.mark.parametrize("text", CRON)
def test_cron_becomes_a_rule_that_fires_as_croniter_says(text):
    from croniter import croniter

    assert rule(text) == CRON[text]
    assert rule(rule(text)) == CRON[text]
    theirs = croniter(text, datetime(2026, 1, 1))
    ours = preview(rule(text), "UTC", START, START, 50)
    expected = [theirs.get_next(datetime).replace(tzinfo=UTC) for _ in ours]
    assert ours == expected


BAD = ["", "* * *", "* * * * * *", "60 * * * *", "0 0 l * *", "0 0 * * 5#2", "@reboot", "0 0 30 2 *", "FREQ=SECONDLY",
       "FREQ=DAILY;BYSECOND=1", "FREQ=DAILY;BYEASTER=1", "INTERVAL=2", "FREQ=DAILY;INTERVAL=0", "FREQ=DAILY;COUNT=x",
       "FREQ=DAILY;BYMONTH=13", "FREQ=DAILY;BYMONTH=-1", "FREQ=DAILY;BYMONTHDAY=0",
       "FREQ=DAILY;BYDAY=XX", "FREQ=WEEKLY;BYDAY=", "RRULE:FREQ=DAILY\nEXDATE:20260101",
       "FREQ=DAILY;BYMONTH=4;BYMONTHDAY=31", "x" * 501, "\n".join(["FREQ=DAILY"] * 6)]  # fmt: skip


@pytest.mark.parametrize("text", BAD)
def test_what_is_no_rule_is_refused(text):
    with pytest.raises(ValueError):
        rule(text)


@pytest.mark.parametrize("text", ["", "Berlin", "../../etc/passwd", "/etc/localtime", "+01:00", "CEST"])
def test_what_is_no_zone_is_refused(text):
    with pytest.raises(ValueError):
        zone(text)


def test_intervals_and_counts_are_from_the_start():
    begin = datetime(2026, 1, 5, 10, 0, tzinfo=UTC)
    third = preview("FREQ=DAILY;INTERVAL=3", "UTC", begin, begin + timedelta(days=365), 2)
    assert third == [begin + timedelta(days=366), begin + timedelta(days=369)]
    assert len(preview("FREQ=DAILY;COUNT=5", "UTC", begin, begin + timedelta(days=2), 10)) == 2
    assert preview("FREQ=DAILY;COUNT=5", "UTC", begin, begin + timedelta(days=9), 10) == []
    assert preview("FREQ=DAILY;UNTIL=20260107T090000", "UTC", begin, begin, 10) == [begin + timedelta(days=1)]
    assert preview("FREQ=DAILY", "UTC", begin, begin - timedelta(days=9), 1) == [begin]


def test_decades_of_minutes_are_not_counted():
    old, now = datetime(1980, 1, 1, tzinfo=UTC), datetime(2026, 6, 1, 12, 0, 30, tzinfo=UTC)
    began = time.process_time()
    assert preview("FREQ=MINUTELY", "Europe/Berlin", old, now, 1) == [datetime(2026, 6, 1, 12, 1, tzinfo=UTC)]
    assert due("FREQ=MINUTELY", "Europe/Berlin", old, old, now)[0] == datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    assert time.process_time() - began < 2


def test_due_tells_the_latest_and_how_many():
    since = datetime(2026, 6, 1, 12, 0, tzinfo=UTC)
    assert due("FREQ=HOURLY", "UTC", START, since, since + timedelta(seconds=30)) == (since, 1)
    later = since + timedelta(hours=3)
    assert due("FREQ=HOURLY", "UTC", START, since, later + timedelta(minutes=1)) == (later, 4)
    assert due("FREQ=YEARLY", "UTC", START, START, START + timedelta(days=40)) == (START, 1)
