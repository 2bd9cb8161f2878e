"""Looks after each of 60 pages, where the truth is known: how often they are wrong, and how soon they are right."""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime

import numpy as np
import pytest

from jobs.rollout.inference.acute_rules import DEVIATIONS, acute_loss, acute_shift, page_deviation
from jobs.rollout.inference.covariate import ArmSums, adjusted_difference
from jobs.rollout.inference.e_process import LEAST, Rules, evidence_of, paths
from jobs.rollout.inference.power import first_pages, pages_until, power
from jobs.rollout.inference.sample_ratio import sample_ratio
from jobs.rollout.inference.skewness import OF_WORSE, lessened, skewness
from jobs.rollout.inference.verdict import ArmFigures, StageFigures, decide
from tests.rollout.worlds_of_looks import (
    LIVE_DEVIATION,
    N_PAGES,
    N_TRIALS,
    WORLDS,
    excess_of,
    log_loss,
    lognormal,
    rows_of,
    skewed,
    slack,
)

PAGE = datetime(2026, 1, 1)


def world(name: str) -> tuple[np.ndarray, np.ndarray]:
    """Give differences of equal versions, and of each trial the live version's page deviation from 30 pages."""
    rng = np.random.default_rng(1)
    d = WORLDS[name](rng, N_TRIALS)
    validation = LIVE_DEVIATION * WORLDS[name](rng, N_TRIALS)[:, :30]
    return d, np.array([page_deviation(list(pages), 0.0) for pages in validation])


def share(first: np.ndarray) -> float:
    return float(np.isfinite(first).mean())


@pytest.mark.parametrize("margin", [0.0, 0.3])
@pytest.mark.parametrize("name", WORLDS)
def test_equal_versions_stay_and_those_at_the_margin_are_not_promoted(name: str, margin: float) -> None:
    d, deviation = world(name)
    rules = Rules(margin)
    acute = (d > DEVIATIONS * deviation[:, None]).any(axis=1)
    aborted = float((np.isfinite(first_pages(d, rules)[0]) | acute).mean())
    promoted = share(first_pages(d + margin, rules)[1])
    assert aborted <= 0.05 + slack(0.05, N_TRIALS)
    limit = 0.1 if name == "skewed" else 0.05
    assert promoted <= limit + slack(limit, N_TRIALS)
    print(f"{name}, margin {margin}: aborted {aborted:.3f} (acute {acute.mean():.3f}), promoted {promoted:.3f}")


@pytest.mark.parametrize("skewed_world", [skewed, lognormal])
def test_equal_versions_stay_whichever_way_pages_are_skewed(skewed_world: Callable[..., np.ndarray]) -> None:
    # Few pages much worse: the mean looks better than it is. Few pages much better: it looks worse.
    d, rules = skewed_world(np.random.default_rng(17), N_TRIALS), Rules(0.0)
    aborted, promoted = (share(first_pages(one, rules)[which]) for one, which in ((-d, 0), (d, 1)))
    assert aborted <= 0.05 + slack(0.05, N_TRIALS)
    assert promoted <= 0.1 + slack(0.1, N_TRIALS)
    found = share(first_pages(0.5 - d, rules)[0])
    whole = first_pages(1.0 - d, rules)[0]
    assert share(whole) >= 0.9
    print(
        f"{skewed_world.__name__}, mirrored: aborted {aborted:.3f}; it itself: promoted {promoted:.3f}; mirrored, half"
        f" a deviation: aborted {found:.3f}, a whole one {share(whole):.3f} ({np.median(whole):.0f})"
    )


def test_skewness_is_numpys_and_lessens_only_what_it_flatters() -> None:
    x = skewed(np.random.default_rng(19), 3)
    centred = x[:, :40] - x[:, :40].mean(axis=1, keepdims=True)
    expected = (centred**3).mean(axis=1) / (centred**2).mean(axis=1) ** 1.5
    assert skewness(x)[:, 39] == pytest.approx(expected)
    assert skewness(np.full((1, 5), 0.1)).tolist() == [[0.0] * 5]
    s, v, n = np.linspace(0.1, 8, 50), np.linspace(0.1, 8, 50) ** 2 / 20 + 5.0, np.full(50, 20.0)
    less = lessened(s, v, n, np.full(50, -1.5), OF_WORSE)
    assert (less < s).all()
    assert (np.diff(less) > 0).all()
    assert lessened(s, v, n, np.full(50, 1.5), OF_WORSE).tolist() == s.tolist()
    assert lessened(-s, v, n, np.full(50, -1.5), OF_WORSE).tolist() == (-s).tolist()


@pytest.mark.parametrize("name", WORLDS)
def test_half_a_pages_deviation_is_decided_within_sixty_pages(name: str) -> None:
    d, rules = world(name)[0], Rules(0.2)
    limit = 0.35 if name == "correlated" else 0.8
    worse, good = first_pages(d + 0.2 + 0.5, rules)[0], first_pages(d + 0.2 - 0.5, rules)[1]
    for first in (worse, good):
        assert share(first) >= limit - slack(limit, N_TRIALS)
        assert first.min() >= LEAST
    soon = [first_pages(d + 0.2 + 1.0, rules)[0], first_pages(d + 0.2 - 1.0, rules)[1]]
    print(
        f"{name}: worse {share(worse):.3f} (median {np.median(worse):.0f}), good {share(good):.3f} (median"
        f" {np.median(good):.0f}); a whole one {share(soon[0]):.3f} ({np.median(soon[0]):.0f}), {share(soon[1]):.3f}"
        f" ({np.median(soon[1]):.0f})"
    )


@pytest.mark.parametrize("name", WORLDS)
def test_what_is_simulated_is_what_a_rollout_decides_look_by_look(name: str) -> None:
    rules = Rules(0.2)
    d = world(name)[0][:2] + np.array([[1.2], [-0.7]])
    worse, good = first_pages(d, rules)
    for trial in range(2):
        actions = []
        for n in range(1, N_PAGES + 1):
            stage = StageFigures("shadow", n, LEAST, n, is_last=False)
            (look,), decision = decide(rules, stage, [ArmFigures("v2", list(d[trial, :n]))])
            actions.append(decision.action)
            assert look.decision.action == decision.action
        for action, first in (("abort", worse[trial]), ("advance", good[trial])):
            assert (actions.index(action) + 1 if action in actions else np.inf) == first
    assert np.isfinite(worse[0])
    assert np.isfinite(good[1])


def test_several_challengers_and_guardrails_share_the_level() -> None:
    rng = np.random.default_rng(3)
    rules = Rules(0.0, n_challengers=3, n_guardrails=2)
    assert (rules.bound, rules.guardrail_bound) == (60, 120)
    arms = [WORLDS["heavy"](rng, N_TRIALS) for _ in range(3)]
    aborted = np.any([np.isfinite(first_pages(arm, rules)[0]) for arm in arms], axis=0).mean()
    promoted = np.any([np.isfinite(first_pages(arm, rules)[1]) for arm in arms], axis=0).mean()
    rails = [paths(WORLDS["heavy"](rng, N_TRIALS), 0.0).log_worse for _ in range(6)]
    railed = np.any([(one >= np.log(rules.guardrail_bound)).any(axis=1) for one in rails], axis=0).mean()
    assert max(aborted, promoted, railed) <= 0.05 + slack(0.05, N_TRIALS)
    print(f"three challengers: aborted {aborted:.3f}, promoted {promoted:.3f}; six guardrails: {railed:.3f}")


@pytest.mark.parametrize("name", WORLDS)
def test_an_interval_excludes_the_margin_exactly_when_the_evidence_reaches_its_bound(name: str) -> None:
    d = world(name)[0][:3] + np.array([[0.5], [0.0], [-0.5]])
    told = 0
    for series in d:
        for n in (8, 12, 20, 33, 60):
            one = evidence_of(list(series[:n]), 0.1, 20.0)
            assert one.worse == (one.low is not None and one.low > 0.1)
            assert one.good == (one.high is not None and one.high < 0.1)
            told += one.worse + one.good
    assert told


def test_a_confidence_sequence_holds_the_truth_at_all_looks() -> None:
    missed = []
    for series in WORLDS["independent"](np.random.default_rng(5), max(20, N_TRIALS // 5)):
        looks = [evidence_of(list(series[:n] + 3.0), 0.0, 20.0) for n in range(10, N_PAGES + 1, 5)]
        missed.append(any(one.low is not None and not one.low <= 3.0 <= (one.high or 0.0) for one in looks))
    assert np.mean(missed) <= 0.1


def test_a_model_whose_probabilities_are_turned_round_is_out_after_one_page_and_an_equal_one_is_not() -> None:
    rng = np.random.default_rng(7)
    deviation = page_deviation([excess_of(*rows_of(rng)) for _ in range(30)], 0.0)
    for _ in range(20):
        p, came = rows_of(rng)
        other = 1 / (1 + (1 / p - 1) * np.exp(rng.normal(0, 0.2, len(p))))
        assert acute_loss(PAGE, log_loss(1 - p, came), log_loss(p, came), deviation)
        assert not acute_loss(PAGE, log_loss(other, came), log_loss(p, came), deviation)
        turned = acute_shift(PAGE, float((1 - p).mean()), float(p.mean()))
        assert turned
        assert "2026-01-01 00:00" in turned.words()
        assert not acute_shift(PAGE, float(other.mean()), float(p.mean()))
    # A version with few validation pages is judged by what independent rows would vary by, nine times.
    assert page_deviation([0.1], 0.0001) == pytest.approx(0.03)


def test_a_covariate_narrows_the_interval_by_what_theory_says() -> None:
    rng, rho = np.random.default_rng(9), 0.8
    ratios, narrowed = [], []
    for _ in range(11):
        plain, adjusted = [], []
        for _ in range(N_PAGES):
            sums = []
            for n in (60, 140):
                x = rng.normal(size=n)
                y = rho * x + (1 - rho**2) ** 0.5 * rng.normal(size=n)
                sums.append(ArmSums(n, y.sum(), (y * y).sum(), x.sum(), (x * x).sum(), (x * y).sum()))
            one = adjusted_difference(*sums)
            assert one
            plain.append(sums[0].y / 60 - sums[1].y / 140)
            adjusted.append(one.difference)
            narrowed.append(one.narrowed)
        both = [evidence_of(d, 0.0, 20.0) for d in (adjusted, plain)]
        ratios.append(np.divide(*((one.high or 0.0) - (one.low or 0.0) for one in both)))
    assert np.mean(narrowed) == pytest.approx(rho**2, abs=0.02)
    assert np.median(ratios) == pytest.approx((1 - rho**2) ** 0.5, abs=0.06)
    constant = ArmSums(2, 1.0, 1.0, 6.0, 18.0, 3.0)
    assert adjusted_difference(constant, constant) is not None
    assert adjusted_difference(ArmSums(1, 1.0, 1.0, 1.0, 1.0, 1.0), constant) is None


def test_lost_rows_of_one_segment_are_found_and_equal_arms_are_not_told_apart() -> None:
    rng, shares = np.random.default_rng(11), {"v1": 0.9, "v2": 0.1}
    segments = ("AA", "DL", "UA", "WN")
    false, found = [], []
    for trial in range(N_TRIALS):
        arrived = rng.binomial(250, 0.1, size=(20, len(segments)))
        for lost in (False, True) if trial < 20 else (False,):
            kept = arrived.copy()
            if lost:
                kept[:, 2] = rng.binomial(kept[:, 2], 0.6)
            totals = kept.cumsum(axis=0)
            whole = (np.arange(1, 21) * 250)[:, None] - arrived.cumsum(axis=0)
            alarms = [
                sample_ratio({"v1": int(whole[page, place]), "v2": int(totals[page, place])}, shares, name, 5).alarm
                for page in range(4, 20, 5)
                for place, name in enumerate(segments)
            ]
            (found if lost else false).append(any(alarms))
    assert np.mean(false) <= 0.001
    assert np.mean(found) == 1.0
    one = sample_ratio({"v1": 5000, "v2": 300}, shares, "UA")
    assert one.alarm
    assert "v2 300 for 530" in one.words()


def test_power_from_history_is_what_rollouts_then_show() -> None:
    rng, rules = np.random.default_rng(13), Rules(0.2)
    history = WORLDS["independent"](rng, 1)[0]
    rows = power(history, [0.1, 0.5, 1.0], rules, n_trials=200)
    then = share(first_pages(WORLDS["independent"](rng, 200) * history.std() - 0.3, rules)[1])
    assert rows[1].decided == pytest.approx(then, abs=0.12)
    assert rows[0].median_page is None
    assert LEAST <= (rows[2].median_page or 0) < (rows[1].median_page or 0) < N_PAGES
    expected = pages_until(1.0, float(history.var()), rules.bound)
    assert expected == pytest.approx(rows[2].median_page, abs=3)
    assert pages_until(0.0, 1.0, 20.0) is None
    assert power(history[:8], [1.0], rules) == []
