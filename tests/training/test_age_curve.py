"""How the loss grows with a model's age: what is put into made worlds is found again, with honest intervals."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.training.age_curve import AgeCurve, Floats, age_curve, paired

CUTOFFS = np.array([0.0, 61.0, 111.0, 150.0, 178.0, 194.0])


def a_world(seed: int, slope: float, noise: float = 0.01) -> tuple[Floats, Floats]:
    """Pages of 200 days with seasons and autocorrelated levels of their own; versions grow worse by their age."""
    random = np.random.default_rng(seed)
    pages = np.arange(200.0)
    level = 0.5 + 0.1 * np.sin(pages / 30) + np.convolve(random.normal(0, 0.05, 206), np.ones(7) / 7, "valid")
    ages = pages[None] - CUTOFFS[:, None]
    losses = level + slope * np.minimum(np.maximum(ages, 0), 90) / 90 + random.normal(0, noise, ages.shape)
    return np.maximum(ages, 0), np.where(ages >= 0, losses, np.nan)


def curve_of(seed: int, slope: float, noise: float = 0.01) -> AgeCurve:
    found = age_curve(*a_world(seed, slope, noise), seed=seed)
    assert found is not None
    return found


def test_a_curve_that_is_put_in_is_found_whatever_the_pages_are() -> None:
    curve = curve_of(1, 0.2, noise=0.0)
    assert curve.knots.tolist() == [0, 7, 30, 90, 180, 199]
    assert curve.extra == pytest.approx([0, 0.2 * 7 / 90, 0.2 / 3, 0.2, 0.2, 0.2], abs=1e-9)
    # A training each month has half of what 30 days cost, on average.
    assert curve.mean_to(30)[0] == pytest.approx(0.1 / 3, abs=1e-9)
    assert curve.mean_to(365)[0] == pytest.approx(0.2 * (45 + 275) / 365, abs=1e-9)
    assert curve.saved(30, 365).value == pytest.approx(0.2 * 320 / 365 - 0.1 / 3, abs=1e-9)
    assert curve.saved(0, 7).value == pytest.approx(0.2 * 3.5 / 90, abs=1e-9)


def test_its_intervals_hold_what_is_true_about_as_often_as_they_say() -> None:
    truths = {"old": 0.05, "none": 0.0}
    held = dict.fromkeys(truths, 0)
    for seed in range(40):
        for name, slope in truths.items():
            one = curve_of(seed, slope, noise=0.03).at(3)
            held[name] += one.low <= slope <= one.high
    assert all(count >= 32 for count in held.values()), held


def test_of_one_version_or_of_pages_that_share_none_there_is_no_curve() -> None:
    ages, losses = a_world(1, 0.1)
    assert age_curve(ages[:1], losses[:1]) is None
    assert age_curve(ages, np.full_like(losses, np.nan)) is None
    alone = np.where(np.arange(6)[:, None] == 0, losses, np.nan)
    assert age_curve(ages, alone) is None


def test_a_paired_difference_has_the_page_as_unit() -> None:
    random = np.random.default_rng(3)
    of_page = random.normal(0.02, 0.05, 100)
    found = paired(np.tile(of_page, (5, 1)), seed=1)
    assert found is not None
    assert found.value == pytest.approx(of_page.mean())
    # Five versions on the same pages tell no more than one of them.
    once = paired(of_page[None], seed=1)
    assert once is not None
    assert (found.low, found.high) == pytest.approx((once.low, once.high))
    assert paired(np.full((2, 5), np.nan)) is None


def test_few_versions_bend_the_curve_less_and_no_bend_has_few_pages_behind_it() -> None:
    ages, losses = a_world(1, 0.2)
    three = age_curve(ages[[0, 2, 4]], losses[[0, 2, 4]])
    assert three is not None
    assert three.knots.tolist() == [0, 30, 199]
    # Of ages over 180 there are seven pages then.
    short = age_curve(ages[:, :188], losses[:, :188])
    assert short is not None
    assert short.knots.tolist() == [0, 7, 30, 90, 187]
