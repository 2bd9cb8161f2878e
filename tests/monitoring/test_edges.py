"""Drift at the edges: pages without rows, columns that begin, other grids than daily ones, another version."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from jobs.monitoring.acute import LEAST
from jobs.monitoring.series import Series
from jobs.monitoring.watch import ACUTE_PAGES, SLOW_PAGES
from tests.monitoring.worlds import Integers, judged, number_series

WEEK = 168


def _sizes(n_pages: int, n_rows: int = 150) -> Integers:
    return np.full(n_pages, n_rows)


def _normal(name: str, sizes: Integers, seed: int, shift: float = 0.0, since: int = 0) -> Series:
    """A column of normal values, all of them moved by `shift` from the page `since` on."""
    of_page = np.repeat(np.arange(len(sizes)), sizes)
    values = np.random.default_rng(seed).normal(size=len(of_page)) + shift * (of_page >= since)
    return number_series(name, values, of_page, len(sizes), 0.0)


def test_a_page_behind_empty_ones_has_no_reference_and_no_evidence() -> None:
    sizes = _sizes(130)
    sizes[60:68] = 0  # with no season the last eight pages are the reference
    sizes[80] = 0
    found = judged([_normal("x", sizes, 1)], 130, season=1)
    (x,) = found.columns
    no_score = np.flatnonzero(np.isnan(x.score)).tolist()
    assert no_score == [*range(SLOW_PAGES), *range(60, 69), 80]
    assert np.isnan(found.evidence.p[0, no_score]).all()
    assert not any(flags.any() for flags in x.flags.values())
    # Empty pages are told by their size, until most of the last ones are so, and then the first ones with rows again.
    told = [page for page in range(130) if found.volume[page]]
    assert {*range(60, 65), 68, 80} <= set(told) <= {*range(60, 74), 80}


@pytest.mark.parametrize("season", [1, 7])
@pytest.mark.parametrize("is_empty", [True, False])
def test_one_faulty_page_flags_none_behind_it(season: int, is_empty: bool) -> None:
    sizes = _sizes(130)
    sizes[100] = 0 if is_empty else 150
    of_page = np.repeat(np.arange(130), sizes)
    values = np.random.default_rng(9).normal(size=len(of_page))
    values[np.flatnonzero(of_page == 100)[:90]] = np.nan  # 60 % are missing, if there are any
    found = judged([number_series("x", values, of_page, 130, 0.0)], 130, season=season)
    assert found.flagged == [100]
    assert found.volume[100] == is_empty
    assert found.columns[0].flags["missing"][100] != is_empty


def test_a_new_column_is_learnt_and_then_judged_as_any_other() -> None:
    sizes = _sizes(150)
    young = _normal("young", sizes, 2, shift=2.0, since=149)
    found = judged([_normal("old", sizes, 3), young.of(slice(60, None))], 150)
    old, new = found.columns
    # Four pages of a weekday are a reference, and 28 with a distance are a pool.
    first = 60 + 7 * SLOW_PAGES
    assert np.isnan(new.score[:first]).all()
    assert np.isfinite(new.score[first:]).all()
    assert new.is_learning[first : first + LEAST].all()
    assert not new.is_learning[first + LEAST :].any()
    # It weighs nothing until it has evidence, and as much as the other afterwards.
    assert (found.evidence.weights[1, : first + LEAST] == 0).all()
    assert found.evidence.weights[:, first + LEAST].tolist() == [0.5, 0.5]
    assert found.flagged == [149]
    assert new.flags["shape"][149]
    assert not old.flags["shape"].any()


def test_a_constant_column_weighs_nothing_and_hides_nothing() -> None:
    sizes = _sizes(100)
    of_page = np.repeat(np.arange(100), sizes)
    constant = number_series("constant", np.full(len(of_page), 5.0), of_page, 100, 5.0)
    of_the_day = number_series("as_of", of_page.astype(float), of_page, 100, 0.0)
    beside, alone = (
        judged(series, 100)
        for series in ([_normal("x", sizes, 4, 2.0, 99), constant, of_the_day], [_normal("x", sizes, 4, 2.0, 99)])
    )
    assert beside.flagged == alone.flagged == [99]
    assert np.array_equal(beside.evidence.product, alone.evidence.product, equal_nan=True)


@pytest.mark.parametrize(
    ("n_pages", "season", "first"),
    [
        (80, 1, SLOW_PAGES + LEAST),  # weekly pages, the last eight of which are alike
        (7 * WEEK, WEEK, 4 * WEEK + LEAST),  # hourly ones, alike at the same hour of the same weekday
    ],
)
def test_other_grids_are_judged_from_the_first_page_that_can_be(n_pages: int, season: int, first: int) -> None:
    fault = n_pages - 1
    rng, sizes = np.random.default_rng(5), _sizes(n_pages, 120)
    of_page = np.repeat(np.arange(n_pages), sizes)
    by_hour = 2 * rng.normal(size=season)[np.arange(n_pages) % season]  # as hours of the day differ
    values = rng.normal(size=len(of_page)) + by_hour[of_page] + 2.5 * (of_page == fault)
    series = [number_series("x", values, of_page, n_pages, 0.0), _normal("y", sizes, 6)]
    found = judged(series, n_pages, season=season)
    assert np.isnan(found.columns[0].bounds["score"][:first]).all()
    assert np.isfinite(found.columns[0].bounds["score"][first:]).all()
    assert len(found.evidence.alarms) == 0
    assert found.flagged[-1:] == [fault]
    assert len(found.flagged) <= 2
    assert found.columns[0].flags["shape"][fault]


def test_pages_of_few_rows_have_no_distribution_but_tell_of_their_gaps_and_size() -> None:
    sizes = _sizes(100, 30)
    sizes[99] = 3
    of_page = np.repeat(np.arange(100), sizes)
    values = np.random.default_rng(7).normal(size=len(of_page))
    values[np.flatnonzero(of_page == 98)[:20]] = np.nan
    found = judged([number_series("x", values, of_page, 100, 0.0)], 100)
    (x,) = found.columns
    assert np.isnan(x.score).all()
    assert np.isnan(found.evidence.p).all()
    assert x.flags["missing"][98]
    assert found.volume[99]
    assert found.flagged == [98, 99]


def test_predictions_of_another_version_are_another_series() -> None:
    sizes = _sizes(160)
    first, second = (replace(_normal("p", sizes, 8 + n, 3.0 * n), kind="predictions", version=f"v{n}") for n in (1, 2))
    found = judged([first.of(slice(0, 100)), second.of(slice(100, None))], 160)
    old, new = found.columns
    assert found.flagged == []  # they differ by three deviations, and nothing compares them
    assert np.isnan(new.score[: 100 + 7 * SLOW_PAGES]).all()
    assert np.isfinite(new.score[100 + 7 * SLOW_PAGES :]).all()
    assert np.isnan(old.score[100:]).all()
    assert ACUTE_PAGES == 8
