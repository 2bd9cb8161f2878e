"""Durations, as people write them."""

from __future__ import annotations

from datetime import timedelta

import pytest

from warehouse.definitions.durations import duration_text, parse_duration

READ = {
    "90 s": timedelta(seconds=90),
    "1 second": timedelta(seconds=1),
    "15 min": timedelta(minutes=15),
    "2 minutes": timedelta(minutes=2),
    "36h": timedelta(hours=36),
    "1.5 hours": timedelta(minutes=90),
    "90d": timedelta(days=90),
    "3 days": timedelta(days=3),
    "2w": timedelta(days=14),
    "1 week": timedelta(days=7),
    "6 weeks": timedelta(days=42),
    "1 day 6 hours": timedelta(hours=30),
    "36525 days": timedelta(days=36_525),
    "0": timedelta(),
}


@pytest.mark.parametrize("text", READ)
def test_a_duration_is_read_as_it_is_meant(text: str) -> None:
    assert parse_duration(text) == READ[text]


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("1 month", "use seconds"),
        ("soon", "not a duration"),
        ("3", "not a duration"),
        ("200000 weeks", "hundred years"),
        ("36525 days 1 s", "hundred years"),
    ],
)
def test_what_is_no_duration_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        parse_duration(text)


@pytest.mark.parametrize(
    ("value", "text"),
    [(timedelta(days=14), "14 days"), (timedelta(hours=30), "30 hours"), (timedelta(minutes=90), "90 minutes")],
)
def test_a_duration_is_written_in_its_largest_whole_unit(value: timedelta, text: str) -> None:
    assert duration_text(value) == text
    assert parse_duration(text) == value
