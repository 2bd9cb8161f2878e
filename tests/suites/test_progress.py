"""How long a job still takes is told from what was measured of this kind of work."""

from __future__ import annotations

import pytest

from jobs.cli.output.console import Lines, seconds_left


def test_past_runs_count_most_in_the_beginning() -> None:
    first_page_took_s, pages, whole_s = 20.0, 7644, 13.0
    left = seconds_left(first_page_took_s, 1, pages, whole_s)
    assert left is not None
    assert left < 60, "the first page alone would say 152,860 s"
    assert seconds_left(whole_s / 2, pages // 2, pages, whole_s) == pytest.approx(whole_s / 2, rel=0.1)


def test_a_run_that_is_slower_than_those_before_is_believed_more_and_more() -> None:
    left = [seconds_left(done * 2.0, done, 100, 100.0) for done in (10, 50, 90)]
    assert left == [pytest.approx(each, rel=0.25) for each in (99, 75, 19)]


def test_without_past_runs_nothing_is_said_of_the_first_units() -> None:
    assert seconds_left(20, 1, 7644, None) is None
    assert seconds_left(20, 2, 10, None) is None
    assert seconds_left(10, 5, 10, None) == 10
    assert seconds_left(10, 0, 10, 5) is None
    assert seconds_left(10, 10, 10, 5) is None
    assert seconds_left(10, 5, None, 5) is None


def test_what_is_expected_is_of_the_first_step_alone(capsys: pytest.CaptureFixture[str]) -> None:
    lines = Lines(1000.0)
    for _ in range(2):
        lines.start("backfill", 100)
        lines.advance(1)
        lines.finish()
    first, second = capsys.readouterr().err.splitlines()
    assert "about 980 s left" in first
    assert "left" not in second
