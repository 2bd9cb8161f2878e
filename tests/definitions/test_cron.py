"""Cron grids against a second reading of the documented rule that shares no code with the first."""

from __future__ import annotations

import calendar
import functools
import importlib.resources
import itertools
import struct
import zoneinfo
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st

from warehouse.definitions.cron import Grid
from warehouse.definitions.product import PageSettings
from warehouse.definitions.zones import stretches
from warehouse.errors import DefinitionError, UsageError

MINUTE = timedelta(minutes=1)
MONTHS = ["JAN", "FEB", "MAR", "APR", "MAY", "JUN", "JUL", "AUG", "SEP", "OCT", "NOV", "DEC"]
DAYS = ["SUN", "MON", "TUE", "WED", "THU", "FRI", "SAT"]


# The brute-force reading: every minute of UTC, its local time, and each field's text, looked at as it stands.
def holds(field: str, value: int, high: int, names: list[str], first: int = 0) -> bool:
    def number(text: str) -> int:
        return names.index(text.upper()) + first if text.upper() in names else int(text)

    for term in field.split(","):
        body, _, step = term.partition("/")
        low, top = (first, high) if body == "*" else (number(body.split("-")[0]), number(body.split("-")[-1]))
        if low <= value <= top and (value - low) % int(step or 1) == 0:
            return True
    return False


def day_of_month_holds(field: str, day: date) -> bool:
    last = calendar.monthrange(day.year, day.month)[1]
    for term in field.split(","):
        if term == "L":
            if day.day == last:
                return True
        elif term == "LW":
            workdays = [d for d in range(1, last + 1) if date(day.year, day.month, d).isoweekday() <= 5]
            if day.day == workdays[-1]:
                return True
        elif holds(term, day.day, 31, [], first=1):
            return True
    return False


def weekday_holds(field: str, day: date) -> bool:
    for term in field.split(","):
        for number in {day.isoweekday(), day.isoweekday() % 7}:
            if term.endswith("L"):
                next_week = day + timedelta(days=7)
                if int(term[:-1]) == number and next_week.month != day.month:
                    return True
            elif "#" in term:
                which, nth = term.split("#")
                wanted = DAYS.index(which) if which in DAYS else int(which)
                if wanted == number and (day.day - 1) // 7 + 1 == int(nth):
                    return True
            elif holds(term, number, 7, DAYS):
                return True
    return False


def matches(cron: str, local: datetime) -> bool:
    minute, hour, *_ = cron.split()
    return minute_holds(minute, local.minute) and hour_holds(hour, local.hour) and day_holds(cron, local.date())


# Each question is asked thousands of times of one expression.
@functools.lru_cache(maxsize=10_000)
def minute_holds(field: str, minute: int) -> bool:
    return holds(field, minute, 59, [])


@functools.lru_cache(maxsize=10_000)
def hour_holds(field: str, hour: int) -> bool:
    return holds(field, hour, 23, [])


@functools.lru_cache(maxsize=10_000)
def day_holds(cron: str, day: date) -> bool:
    _, _, dom, month, dow = cron.split()
    if not holds(month, day.month, 12, MONTHS, first=1):
        return False
    by_dom, by_dow = day_of_month_holds(dom, day), weekday_holds(dow, day)
    return (by_dom and by_dow) if dom.startswith("*") or dow.startswith("*") else (by_dom or by_dow)


def brute_force(cron: str, zone: str, start: datetime, end: datetime) -> list[datetime]:
    tz = zoneinfo.ZoneInfo(zone)
    minute, hour = cron.split()[:2]
    happens_once = not minute.startswith("*") and not hour.startswith("*")
    found = []
    at = start.replace(second=0, microsecond=0) - timedelta(hours=26)
    wall_before = at.replace(tzinfo=UTC).astimezone(tz)
    while (at := at + MINUTE) < end:
        wall = at.replace(tzinfo=UTC).astimezone(tz)
        local, previous = wall.replace(tzinfo=None), wall_before.replace(tzinfo=None)
        if happens_once:
            skipped = int((local - previous) / MINUTE) - 1
            due = any(matches(cron, previous + k * MINUTE) for k in range(1, skipped + 1))
            due = due or (matches(cron, local) and wall.fold == 0)
        else:
            due = matches(cron, local)
        if due and at >= start:
            found.append(at)
        wall_before = wall
    return found


@functools.cache
def change_days(zone: str) -> list[date]:
    """Days from 1975 to 2035 on which the zone's clocks were or will be changed."""
    tz = zoneinfo.ZoneInfo(zone)
    days = [date(1975, 1, 1) + timedelta(days=k) for k in range(365 * 60)]
    offsets = [datetime(d.year, d.month, d.day, tzinfo=UTC).astimezone(tz).utcoffset() for d in days]
    return [day for day, a, b in zip(days, offsets, offsets[1:], strict=False) if a != b]


ZONES = sorted(zoneinfo.available_timezones() - {"localtime", "Factory"})
AWKWARD = [
    "America/New_York", "Europe/Berlin", "Australia/Lord_Howe", "Pacific/Apia", "America/Sao_Paulo",
    "Asia/Beirut", "America/Havana", "Africa/Casablanca", "Asia/Pyongyang", "Pacific/Kwajalein",
    "Antarctica/Troll", "America/Caracas", "Asia/Kathmandu", "Europe/Dublin", "UTC",
]  # fmt: skip


def spans(low: int, high: int, names: list[str] | None = None, first: int = 0) -> st.SearchStrategy[str]:
    number = st.integers(low, high)
    ends = st.tuples(number, number).map(sorted)
    plain = number.map(str)
    options = [plain, plain, ends.map(lambda e: f"{e[0]}-{e[1]}")]
    options.append(st.tuples(ends, st.integers(1, 8)).map(lambda e: f"{e[0][0]}-{e[0][1]}/{e[1]}"))
    if names:
        options.append(st.sampled_from(names))
    return st.lists(st.one_of(options), min_size=1, max_size=3).map(",".join)


def fields(low: int, high: int, names: list[str] | None = None) -> st.SearchStrategy[str]:
    starred = st.integers(1, high - low + 1).map(lambda step: f"*/{step}")
    return st.one_of(st.just("*"), st.just("*"), starred, spans(low, high, names))


@st.composite
def expressions(draw: st.DrawFn) -> str:
    dom = draw(st.one_of(fields(1, 31), st.sampled_from(["L", "LW", "15,L"])))
    dow = draw(st.one_of(fields(0, 7, DAYS), st.sampled_from(["5L", "1#2", "MON#1", "0#5", "7L,3"])))
    # The small hours matter most: that is when clocks are changed.
    hour = draw(st.one_of(fields(0, 23), spans(0, 3)))
    minute = draw(st.one_of(fields(0, 59), st.sampled_from(["0", "30", "0,30"])))
    return f"{minute} {hour} {dom} {draw(fields(1, 12, MONTHS))} {dow}"


@st.composite
def windows(draw: st.DrawFn) -> tuple[str, datetime, datetime]:
    zone = draw(st.one_of(st.sampled_from(AWKWARD), st.sampled_from(ZONES)))
    day = draw(st.dates(date(1975, 1, 1), date(2034, 1, 1)))
    if change_days(zone) and draw(st.integers(0, 3)):
        day = draw(st.sampled_from(change_days(zone)))
    start = datetime(day.year, day.month, day.day) - timedelta(hours=draw(st.integers(0, 30)))
    start += timedelta(seconds=draw(st.sampled_from([0, 0, 1, 59])))
    return zone, start, start + timedelta(hours=draw(st.integers(1, 50)))


@settings(max_examples=250, deadline=None)
@given(cron=expressions(), window=windows())
@example("0 0 * * mon", ("America/New_York", datetime(2013, 3, 10), datetime(2013, 3, 13)))
@example("* 0 * * *", ("America/Sao_Paulo", datetime(2013, 10, 19), datetime(2013, 10, 22)))
@example("*/10 5 * * *", ("Australia/Lord_Howe", datetime(2024, 4, 5), datetime(2024, 4, 8)))
@example("* * 1-1/1 * MON-1/2", ("UTC", datetime(2015, 12, 27), datetime(2015, 12, 29)))
@example("0 18 * * *", ("Pacific/Apia", datetime(2011, 12, 29), datetime(2012, 1, 2)))
def test_a_grid_agrees_with_looking_at_every_minute(cron: str, window: tuple[str, datetime, datetime]) -> None:
    zone, start, end = window
    try:
        grid = Grid.parse(cron, zone)
    except DefinitionError as refused:
        assume("names no day that exists" not in str(refused))
        raise
    expected = brute_force(cron, zone, start, end)
    assert list(grid.between(start, end)) == expected
    if expected:
        assert grid.latest(end - timedelta(microseconds=1)) == expected[-1]
        assert grid.latest(expected[0]) == expected[0]
        assert grid.next(start - timedelta(microseconds=1)) == expected[0]
        assert [grid.next(at) for at in expected[:-1]][:3] == expected[1:4]


def local_ticks(cron: str, zone: str, first: date, days: int) -> list[str]:
    start = datetime(first.year, first.month, first.day)
    ticks = Grid.parse(cron, zone).between(start, start + timedelta(days=days))
    return [f"{t.replace(tzinfo=UTC).astimezone(zoneinfo.ZoneInfo(zone)):%a %d %H:%M %z}" for t in ticks]


def test_midnight_monday_after_the_change_to_summer_time_is_kept() -> None:
    # APScheduler 3.11's CronTrigger skips this one.
    assert list(Grid.parse("0 0 * * mon", "America/New_York").between(datetime(2013, 3, 4), datetime(2013, 3, 19))) == [
        datetime(2013, 3, 4, 5),
        datetime(2013, 3, 11, 4),
        datetime(2013, 3, 18, 4),
    ]


@pytest.mark.parametrize("weekday", ["0", "7", "SUN", "sun", "0,7"])
def test_weekday_0_and_7_are_sunday(weekday: str) -> None:
    ticks = Grid.parse(f"0 12 * * {weekday}", "UTC").between(datetime(2024, 3, 1), datetime(2024, 3, 12))
    assert [t.date() for t in ticks] == [date(2024, 3, 3), date(2024, 3, 10)]


def test_day_of_month_and_weekday_are_ored_when_both_are_restricted() -> None:
    ticks = Grid.parse("0 0 13 * 5", "UTC").between(datetime(2024, 9, 1), datetime(2024, 9, 21))
    assert [t.day for t in ticks] == [6, 13, 20]
    ticks = Grid.parse("0 0 14 * 5", "UTC").between(datetime(2024, 9, 1), datetime(2024, 9, 21))
    assert [t.day for t in ticks] == [6, 13, 14, 20]


def test_a_fixed_time_in_the_hour_that_does_not_exist_happens_once_at_the_change() -> None:
    ticks = local_ticks("30 2 * * *", "America/New_York", date(2013, 3, 9), 3)
    assert ticks == ["Sat 09 02:30 -0500", "Sun 10 03:00 -0400", "Mon 11 02:30 -0400"]
    ticks = local_ticks("0 2,3 10 3 *", "America/New_York", date(2013, 3, 10), 1)
    assert ticks == ["Sun 10 03:00 -0400"]


def test_a_fixed_time_in_the_hour_that_comes_twice_happens_at_the_first() -> None:
    ticks = local_ticks("30 1 * * *", "America/New_York", date(2013, 11, 2), 3)
    assert ticks == ["Sat 02 01:30 -0400", "Sun 03 01:30 -0400", "Mon 04 01:30 -0500"]


def test_wildcards_follow_the_wall_clock() -> None:
    spring = local_ticks("0 * 10 3 *", "America/New_York", date(2013, 3, 10), 1)
    assert [t[7:9] for t in spring[:4]] == ["00", "01", "03", "04"]
    autumn = local_ticks("*/30 1 3 11 *", "America/New_York", date(2013, 11, 3), 1)
    assert [t[7:] for t in autumn] == ["01:00 -0400", "01:30 -0400", "01:00 -0500", "01:30 -0500"]


def test_a_day_that_a_country_skipped() -> None:
    # Samoa went from 29 to 31 December 2011.
    ticks = local_ticks("0 18 * * *", "Pacific/Apia", date(2011, 12, 30), 3)
    assert ticks == ["Thu 29 18:00 -1000", "Sat 31 00:00 +1400", "Sat 31 18:00 +1400", "Sun 01 18:00 +1400"]


@pytest.mark.parametrize(
    ("cron", "zone", "first", "expected"),
    [
        # Lord Howe changes by half an hour: 02:00 to 02:30, and 02:00 back to 01:30.
        ("15 2 * * *", "Australia/Lord_Howe", date(2024, 10, 5), ["Sun 06 02:30 +1100"]),
        ("45 1 * * *", "Australia/Lord_Howe", date(2024, 4, 6), ["Sun 07 01:45 +1100"]),
        ("*/15 1 * * *", "Australia/Lord_Howe", date(2024, 4, 6), [
            "Sun 07 01:00 +1100", "Sun 07 01:15 +1100", "Sun 07 01:30 +1100", "Sun 07 01:45 +1100",
            "Sun 07 01:30 +1030", "Sun 07 01:45 +1030",
        ]),
        # Morocco goes back for Ramadan, and forward after it.
        ("30 2 * * *", "Africa/Casablanca", date(2024, 3, 9), ["Sun 10 02:30 +0100"]),
        ("30 2 * * *", "Africa/Casablanca", date(2024, 4, 13), ["Sun 14 03:00 +0100"]),
        ("30 * * * *", "Africa/Casablanca", date(2024, 4, 14), [f"Sun 14 {h:02}:30 +0000" for h in (0, 1)] + [
            f"Sun 14 {h:02}:30 +0100" for h in range(3, 24)
        ]),
        # Brazil skipped midnight, and Lebanon does.
        ("0 0 * * *", "America/Sao_Paulo", date(2013, 10, 19), ["Sun 20 01:00 -0200"]),
        ("10 0 * * *", "Asia/Beirut", date(2024, 3, 30), ["Sun 31 01:00 +0300"]),
        # Troll changes by two hours.
        ("30 2 * * *", "Antarctica/Troll", date(2024, 3, 30), ["Sun 31 03:00 +0200"]),
        # Venezuela went half an hour forward on a day of its own.
        ("45 2 * * *", "America/Caracas", date(2016, 4, 30), ["Sun 01 03:00 -0400"]),
    ],
)  # fmt: skip
def test_a_change_of_the_clock(cron: str, zone: str, first: date, expected: list[str]) -> None:
    ticks = local_ticks(cron, zone, first, 3)
    assert [tick for tick in ticks if tick[:6] == expected[0][:6]] == expected


@pytest.mark.parametrize(
    ("cron", "said"),
    [
        ("0 18 * *", "has 4 fields: expected five"),
        ("0 0 18 * * *", "has 6 fields"),
        ("@daily", "has 1 fields"),
        ("60 * * * *", "'60' is not understood as its minute; allowed are *, 0 to 59"),
        ("* 24 * * *", "as its hour"),
        ("* * 0 * *", "as its day of month"),
        ("* * * 13 *", "as its month"),
        ("* * * * 8", "0 to 7 (0 and 7 are Sunday)"),
        ("* * * * FUN", "'FUN' is not understood"),
        ("*/90 * * * *", "the step '90' is not from 1 to 60"),
        ("*/0 * * * *", "the step '0'"),
        ("5/15 * * * *", "write 5-59/15"),
        ("* * * * FRI-MON", "runs backward"),
        ("1,,2 * * * *", "'' is not understood"),
        ("-1 * * * *", "'-1' is not understood"),
        ("١ * * * *", "is not understood"),
        ("L * * * *", "'L' is not understood"),
        ("0 0 30 2 *", "names no day that exists"),
        ("0 0 */31 * 5#5", "names no day that exists"),
    ],
)
def test_a_wrong_expression_is_refused_with_what_is_allowed(cron: str, said: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Grid.parse(cron, "UTC")
    assert said in str(caught.value)


def test_every_problem_of_an_expression_is_told_at_once() -> None:
    with pytest.raises(DefinitionError) as caught:
        Grid.parse("61 25 * JANUARY *", "UTC")
    assert len(caught.value.problems) == 3


@pytest.mark.parametrize(
    ("zone", "hint"),
    [
        ("America/New York", "did you mean 'America/New_York'?"),
        ("europe/berlin", "did you mean 'Europe/Berlin'?"),
        ("localtime", "expected a name of the IANA database"),
        ("../etc/passwd", "unknown time zone"),
        ("America", "unknown time zone"),
        ("", "unknown time zone"),
    ],
)
def test_an_unknown_zone_is_refused_with_the_nearest(zone: str, hint: str) -> None:
    with pytest.raises(DefinitionError) as caught:
        Grid.parse("0 0 * * *", zone)
    assert hint in str(caught.value)


def test_rare_and_far_occurrences_are_found() -> None:
    leap = Grid.parse("0 0 29 2 *", "UTC")
    assert leap.next(datetime(2096, 2, 29)) == datetime(2104, 2, 29)
    assert leap.latest(datetime(2104, 2, 28)) == datetime(2096, 2, 29)
    assert leap.latest(datetime(2, 1, 1)) is None
    with pytest.raises(UsageError, match="no occurrence after"):
        leap.next(datetime(9999, 6, 1))
    with pytest.raises(UsageError, match="naive UTC"):
        leap.latest(datetime(2024, 1, 1, tzinfo=UTC))


def test_grids_of_equal_text_are_equal() -> None:
    assert Grid.parse(" 0  18 * * * ", "UTC") == Grid.parse("0 18 * * *", "UTC")
    assert len({Grid.parse("0 18 * * *", "UTC"), Grid.parse("0 18 * * *", "UTC")}) == 1


def changes_in_the_database(zone: str) -> list[tuple[int, int]]:
    """Every listed change of the zone's offset, read from the compiled file (RFC 8536): (instant, offset)."""
    # Where zoneinfo itself looks: the system's files first, then those of the tzdata package.
    system = [Path(folder) / zone for folder in zoneinfo.TZPATH if (Path(folder) / zone).is_file()]
    package = importlib.resources.files("tzdata").joinpath("zoneinfo", *zone.split("/"))
    data = system[0].read_bytes() if system else package.read_bytes()
    isut, isstd, leap, times, types, chars = struct.unpack(">6l", data[20:44])
    at = 44 + times * 5 + types * 6 + chars + leap * 8 + isstd + isut
    times, types = struct.unpack(">2l", data[at + 32 : at + 40])
    at += 44
    instants = struct.unpack(f">{times}q", data[at : at + 8 * times])
    indices = data[at + 8 * times : at + 9 * times]
    at += 9 * times
    offsets = [struct.unpack(">l", data[at + 6 * k : at + 6 * k + 4])[0] for k in range(types)]
    found, current = [], offsets[0]
    for instant, index in zip(instants, indices, strict=True):
        if offsets[index] != current:
            current = offsets[index]
            found.append((instant, current))
    return found


def test_no_zone_changes_twice_within_the_time_that_is_probed() -> None:
    gaps = []
    for zone in ZONES:
        instants = [instant for instant, _ in changes_in_the_database(zone)]
        gaps += [b - a for a, b in itertools.pairwise(instants)]
    assert min(gaps) > 48 * 3600


@pytest.mark.parametrize("zone", AWKWARD)
def test_every_change_in_the_database_is_a_border_between_stretches(zone: str) -> None:
    start, end = datetime(1970, 1, 1), datetime(2030, 1, 1)
    epoch = datetime(1970, 1, 1)
    listed = [
        (epoch + timedelta(seconds=instant), timedelta(seconds=offset))
        for instant, offset in changes_in_the_database(zone)
        if start < epoch + timedelta(seconds=instant) < end
    ]
    found = list(stretches(zone, start, end))
    assert (found[0].start, found[-1].end) == (start, end)
    assert all(a.end == b.start for a, b in itertools.pairwise(found))
    assert [(s.start, s.offset) for s in found[1:]][: len(listed)] == listed


def test_a_time_that_the_clocks_skip_happens_in_a_range_that_begins_at_the_change() -> None:
    change = datetime(2013, 3, 10, 7)
    grid = Grid.parse("30 2 * * *", "America/New_York")
    assert list(grid.between(change, change + timedelta(hours=1))) == [change]
    assert list(grid.between(change + timedelta(microseconds=1), change + timedelta(hours=1))) == []


@pytest.mark.parametrize(
    ("every", "cron"),
    [
        ("5 minutes", "*/5 * * * *"),
        ("1 minute", "*/1 * * * *"),
        ("1 hour", "0 */1 * * *"),
        ("6h", "0 */6 * * *"),
        ("1 day", "0 0 * * *"),
    ],
)
def test_a_page_grid_may_say_every_so_often(every: str, cron: str) -> None:
    found = PageSettings.model_validate({"every": every, "since": "2026-01-01"})
    assert (found.cron, found.zone) == (cron, "UTC")


@pytest.mark.parametrize("every", ["7 minutes", "0", "90 minutes", "5 hours", "2 days", "30 seconds", "often"])
def test_a_page_grid_that_would_not_be_the_same_each_day_is_refused(every: str) -> None:
    with pytest.raises(ValueError, match=r"does not divide|not a duration"):
        PageSettings.model_validate({"every": every, "since": "2026-01-01"})
    with pytest.raises(ValueError, match="not both"):
        PageSettings.model_validate({"every": "1 hour", "cron": "0 * * * *", "since": "2026-01-01"})
