"""Drift: worlds of known truth, in which little may be found, and faults, which must be."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest

from jobs.monitoring import slow
from jobs.monitoring.scores import last_pages, psi_and_score
from tests.monitoring.worlds import (
    WORLDS,
    World,
    Year,
    category_series,
    centre_of,
    change_unit,
    judged,
    lose,
    number_series,
    rename,
    year_of,
)

WORLD = {world.name: world for world in WORLDS}


@pytest.mark.parametrize("name", ["independent", "season and day effects", "yearly wave"])
def test_a_world_in_which_nothing_breaks_hardly_alarms(name: str) -> None:
    found = year_of(WORLD[name], seed=1, n_pages=200).judged()
    assert len(found.evidence.alarms) <= 1
    assert len(found.flagged) <= 3
    assert np.nanmax(found.evidence.product) > 0


@pytest.mark.parametrize(
    ("fault", "column", "rows"),
    [
        (lose, "near 1000 #1", 30),
        (lose, "near 1000 #1", 900),
        (rename, "category", 100),
        (change_unit, "skewed #6", 100),
    ],
)
def test_a_fault_is_found_on_its_page(fault: Callable[[Year, int], None], column: str, rows: int) -> None:
    world = World("small", WORLD["day effects"].shifts, lambda rng, n_pages: np.full(n_pages, rows))
    year = year_of(world, seed=2, n_pages=100)
    fault(year, 99)
    found = year.judged()
    assert 99 in found.flagged
    flagged = {one.series.column for one in found.columns if any(flags[99] for flags in one.flags.values())}
    assert column in flagged


def test_a_fault_is_found_among_pages_of_any_size() -> None:
    year = year_of(WORLD["pages of 30 to 3,000 rows"], seed=2, n_pages=150)
    sizes = np.bincount(year.of_page)
    small = next(page for page in range(140, 150) if 100 <= sizes[page] < 400)
    rename(year, small)
    change_unit(year, small)
    flagged = {column: year.judged(small + 1, column).flagged for column in ("category", "skewed #6")}
    assert all(pages[-1:] == [small] for pages in flagged.values())


def test_one_value_far_away_moves_the_score_by_less_than_a_hundredth() -> None:
    rng = np.random.default_rng(4)
    of_page = np.repeat(np.arange(40), 900)
    values = rng.normal(size=40 * 900)
    scores = []
    for far in (values[-1], 1e9):
        values[-1] = far
        series = number_series("x", values, of_page, 40, 0.0)
        scores.append(psi_and_score(series, last_pages(series, np.arange(40) % 7, 8)[0])[0][-1])
    assert abs(scores[1] - scores[0]) < 0.01


def test_a_steady_shift_comes_together_as_evidence_and_is_named() -> None:
    year = year_of(WORLD["independent"], seed=5, n_pages=160)
    moved = [name for name in year.values if name.startswith(("normal", "near 1000"))]
    for name in moved:
        year.values[name][year.of_page >= 120] += 0.4
    found = year.judged()
    first = found.evidence.alarms[0]
    assert 120 < first.page < 145
    assert {found.columns[row].series.column for row in first.columns} <= set(moved)
    assert 115 <= first.since <= first.page
    assert found.evidence.is_resting[first.page + 1 : first.page + 1 + slow.REST].all()


def test_frozen_columns_are_found_on_the_second_page_and_one_that_is_stuck_on_the_fourth() -> None:
    for names, page_found in ((["normal #0", "skewed #6"], 91), (["normal #0"], 93)):
        year = year_of(WORLD["day effects"], seed=6, n_pages=97)
        for name in names:
            last = year.values[name][year.rows(89)]
            for page in range(90, 97):
                year.values[name][year.rows(page)] = last if len(names) == 2 else 7.0
        found = year.judged()
        stale = [page for page in range(97) if any(one.flags["stale"][page] for one in found.columns)]
        assert stale[0] == page_found


def test_the_day_a_column_tells_of_is_judged_by_its_level() -> None:
    rng = np.random.default_rng(7)
    of_page = np.repeat(np.arange(120), 300)
    weather = np.round(10 + 3 * rng.normal(size=(120, 3)), 2)
    weather[110] += 40
    values = weather[of_page, np.tile(np.arange(3), 12_000)]
    found = judged([number_series("temperature", values, of_page, 120, 10.0)], 120)
    assert found.columns[0].is_level[110]
    assert [page for page in range(28, 120) if found.columns[0].flags["level"][page]] == [110]


def test_what_has_no_distribution_has_no_evidence() -> None:
    of_page = np.repeat(np.arange(90), 200)
    rng = np.random.default_rng(8)
    constant, lost = np.full(18_000, 5.0), np.full(18_000, np.nan)
    begun = np.where(of_page < 80, np.nan, rng.normal(size=18_000))
    series = [
        number_series(name, values, of_page, 90, 0.0)
        for name, values in (("constant", constant), ("lost", lost), ("begun", begun))
    ]
    found = judged(series, 90)
    for one, row in zip(found.columns[:2], range(2), strict=True):
        assert np.isnan(one.score).all()
        assert np.isnan(found.evidence.p[row]).all()
        assert not any(flags.any() for flags in one.flags.values())
    # A column that begins to have values is told once it does.
    assert found.flagged[0] == 80
    empty = number_series("x", np.array([]), np.array([], np.int64), 40, 0.0)
    assert judged([empty], 40).flagged == []
    assert np.isnan(judged([empty], 40).evidence.product).all()


def test_names_that_never_come_again_are_not_told_apart() -> None:
    of_page = np.repeat(np.arange(60), 900)
    names = np.where(np.arange(54_000) % 10 < 4, 0, np.arange(54_000))
    found = judged([category_series("session", names, of_page, 60)], 60)
    assert found.columns[0].series.counts.shape == (60, 2)
    assert np.isfinite(found.columns[0].score[28:]).all()
    assert found.flagged == []


def test_an_empty_page_is_told_by_its_size_and_hides_nothing() -> None:
    year = year_of(WORLD["independent"], seed=9, n_pages=100)
    kept = ~year.rows(95)
    year.of_page, year.categories = year.of_page[kept], year.categories[kept]
    year.values = {name: values[kept] for name, values in year.values.items()}
    found = year.judged()
    assert found.volume[95]
    assert found.flagged == [95]
    assert all(np.isnan(one.score[95]) for one in found.columns)


def test_a_page_is_judged_by_those_before_it_alone() -> None:
    year = year_of(WORLD["season and day effects"], seed=10, n_pages=150)
    whole, part = year.judged(), year.judged(120)
    for long, short in zip(whole.columns, part.columns, strict=True):
        assert np.array_equal(long.score[:120], short.score, equal_nan=True)
        assert all(np.array_equal(flags[:120], short.flags[rule]) for rule, flags in long.flags.items())
    assert np.array_equal(whole.evidence.product[:120], part.evidence.product, equal_nan=True)


def test_weekly_pages_have_one_season_and_hourly_ones_many() -> None:
    year = year_of(WORLD["day effects"], seed=11, n_pages=60)
    series = [
        number_series(name, values, year.of_page, 60, centre_of(name)) for name, values in list(year.values.items())[:4]
    ]
    assert np.isfinite(judged(series, 60, season=1).columns[0].score[4:]).all()
    hourly = judged(series, 60, season=24).columns[0].score
    assert np.isnan(hourly).all()  # there are not yet four pages of any hour


def test_evidence_is_fair_where_ranks_are_uniform() -> None:
    p = np.arange(1, 20_001) / 20_000
    assert slow.evidence_of(p).mean() <= 1.0
    assert slow.evidence_of(np.array([1.0]))[0] == 0.5
