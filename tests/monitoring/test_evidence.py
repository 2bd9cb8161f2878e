"""What probabilities expect, evidence of more loss, and estimates without labels: known numbers and known worlds."""

from __future__ import annotations

import csv
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.isotonic import IsotonicRegression

from jobs.monitoring.performance.alarms import alarms_in
from jobs.monitoring.performance.calibration import calibration_of
from jobs.monitoring.performance.cbpe import expected_class_metrics, expected_metrics
from jobs.monitoring.performance.estimate import estimate
from jobs.monitoring.performance.evidence import FEW, MARGIN, evidence_of, log_e, steps, variance_to_r
from jobs.monitoring.performance.losses import OfProbabilities, expectation, losses
from jobs.monitoring.performance.records import Performance
from tests.effort import times
from tests.monitoring.performance_worlds import excess, logistic, page

VECTORS = list(csv.DictReader((Path(__file__).parent / "statistics.csv").read_text().splitlines()))
BOUND = 365.0


def expected(case: str) -> dict[str, float]:
    return {row["statistic"]: float(row["value"]) for row in VECTORS if row["case"] == case}


def cbpe_samples() -> tuple[np.ndarray, ...]:
    rng = np.random.default_rng(11)
    p = logistic(rng.normal(-1.5, 1.2, 20_000))
    y = rng.random(20_000) < p
    p2 = logistic(rng.normal(-0.5, 1.2, 20_000))
    return p, y, p2, rng.random(20_000) < p2


def test_what_probabilities_expect_is_what_nannyml_estimates() -> None:
    known, (_, _, p, y) = expected("cbpe_raw"), cbpe_samples()
    found = expected_metrics(p)
    for name in ("roc_auc", "average_precision", "f1", "precision", "recall", "specificity", "accuracy"):
        assert found[name] == pytest.approx(known[f"estimated_{name}"], rel=2e-9)
    assert found["log_loss"] == pytest.approx(known["expected_log_loss"], rel=1e-12)
    assert found["brier"] == pytest.approx(known["expected_brier"], rel=1e-12)
    assert losses(y * 1.0, p, "binary").mean() == pytest.approx(known["realized_log_loss"], rel=1e-12)


def test_nannymls_own_estimate_differs_by_the_isotonic_calibration_that_it_does_first() -> None:
    known, (p, y, p2, _) = expected("cbpe_class"), cbpe_samples()
    calibrated = IsotonicRegression(out_of_bounds="clip", increasing=True).fit(p, y).predict(p2)
    found = expected_metrics(calibrated)
    assert found["roc_auc"] == pytest.approx(known["nannyml_CBPE_roc_auc"], rel=1e-3)
    # It takes rows by the uncalibrated probability.
    taken = p2 > 0.5
    hits, others = calibrated[taken].sum(), (1 - calibrated[~taken]).sum()
    assert (hits + others) / len(p2) == pytest.approx(known["nannyml_CBPE_accuracy"], rel=1e-9)
    f1 = 2 * hits / (taken.sum() + calibrated.sum())
    assert f1 == pytest.approx(known["nannyml_CBPE_f1"], rel=1e-9)


def test_two_classes_expect_what_a_binary_label_does() -> None:
    p = cbpe_samples()[2][:500]
    one, two = expected_metrics(p), expected_class_metrics(np.column_stack([1 - p, p]))
    assert two["log_loss"] == pytest.approx(one["log_loss"], rel=1e-12)
    assert two["brier"] == pytest.approx(2 * one["brier"], rel=1e-12)
    assert two["accuracy"] == pytest.approx(one["accuracy"], rel=1e-12)
    assert two["roc_auc"] == pytest.approx(one["roc_auc"], rel=1e-12)
    of_rows = OfProbabilities("binary")
    y = np.random.default_rng(2).random((4000, 500)) < p
    simulated = np.array([losses(one * 1.0, p, "binary") for one in y]).var(axis=0)
    assert of_rows.variance(p).mean() == pytest.approx(simulated.mean(), rel=0.05)


def test_the_evalue_is_the_one_sided_mixture_of_confseq_and_its_closed_form() -> None:
    # confseq takes twice the alpha for the best rho of one side: 15.80 where it is 12.60 for two.
    alpha, v = 2 * 0.05, 100.0
    rho = v / (2 * np.log(1 / alpha) + np.log(1 + 2 * np.log(1 / alpha)))
    known = expected("normal_mixture")["one_sided_log_mixture(s=10,v=100)"]
    assert float(log_e(np.array(10.0), np.array(v), rho)) == pytest.approx(known, abs=1e-5)
    d, r = np.random.default_rng(21).normal(0.01, 0.02, 30), 0.002
    for n_pages in (5, 10, 20, 30):
        s, own = d[:n_pages].sum(), (d[:n_pages] ** 2).sum()
        two_sided = expected("self_normalised")[f"log_e after page {n_pages}"]
        from scipy.stats import norm

        one_sided = two_sided + np.log(2) + norm.logcdf(s / np.sqrt(own + r))
        assert float(log_e(s, own, r)) == pytest.approx(one_sided, rel=1e-12)
    by_hand = sum(np.exp(log_e(d[s:].sum(), (d[s:] ** 2).sum(), r)) for s in range(30))
    assert evidence_of(d, r) == pytest.approx(by_hand, rel=1e-12)


def _seeds() -> range:
    return range(min(times(6), 50))


@pytest.mark.parametrize("day", [0.1, 0.3, 0.5])
def test_harder_rows_alone_raise_no_alarm(day: float) -> None:
    for seed in _seeds():
        rng = np.random.default_rng(seed)
        r = variance_to_r(excess(rng, 53, day), 0.0)
        shifted = excess(rng, 120, day, mean=lambda n: -1.5 + 1.2 * (n >= 60))
        assert not any(step.alarm for step in steps(shifted.tolist(), r, MARGIN * 0.45, BOUND)), seed


@pytest.mark.parametrize("day", [0.1, 0.3])
def test_half_a_logit_is_found_within_thirty_pages(day: float) -> None:
    found = []
    for seed in _seeds():
        rng = np.random.default_rng(seed)
        r = variance_to_r(excess(rng, 53, day), 0.0)
        shifted = excess(rng, 90, day, shift=lambda n: 0.5 * (n >= 60))
        alarms = [n for n, step in enumerate(steps(shifted.tolist(), r, MARGIN * 0.45, BOUND)) if step.alarm]
        found.append(bool(alarms) and alarms[0] >= 60)
    assert np.mean(found) >= 0.95


def test_a_storm_weighs_little_and_says_so_and_an_alarm_ends_when_the_world_is_as_before() -> None:
    rng = np.random.default_rng(4)
    quiet = rng.normal(0, 0.05, 200)
    r = variance_to_r(rng.normal(0, 0.05, 50), 0.0)
    storm = quiet.copy()
    storm[100:103] = [5.0, 4.5, 5.5]
    assert not any(step.alarm for step in steps(storm.tolist(), r, 0.005, BOUND))
    lasting = quiet + 0.06 * ((np.arange(200) >= 80) & (np.arange(200) < 110))
    going = steps(lasting.tolist(), r, 0.005, BOUND)
    first = next(n for n, step in enumerate(going) if step.alarm)
    assert 80 < first < 110
    assert 0 < (going[first].largest_share or 0) < 0.6
    assert FEW * BOUND < (going[first].without_three or 0) < (going[first].without_largest or 0) < going[first].evidence
    assert going[first].is_open
    assert not going[-1].is_open
    # However strong a change is, if it goes on it is not the work of few pages.
    for shift, bound in ((0.1, BOUND), (1.0, BOUND), (30.0, 435.0), (3000.0, 518.0)):
        begun = [step for step in steps([0.0] * 5 + [shift] * 60, r, 0.005, bound) if step.alarm]
        assert begun[-1].evidence >= bound
        assert all((step.without_three or 0) > FEW * bound for step in begun if step.evidence >= bound)
    closed = next(n for n in range(first, 200) if not going[n].is_open)
    assert all(step.evidence < 0.1 * BOUND for step in going[closed - 27 : closed + 1])


def test_an_alarm_is_one_from_its_first_page_to_its_last_and_names_few_pages() -> None:
    def judged(day: int, **figures: Any) -> Performance:
        made = {"is_mature": True, "n_rows": 9, "n_labelled": 9, "evidence": 1.0, "bound": 100.0, **figures}
        return Performance("p", datetime(2026, 1, day), "v1", datetime(2026, 3, 1), "r", "r", **made)

    few = judged(2, alarm=True, alarm_open=True, evidence=120.0, without_three=9.0, largest_share=0.8)
    again = judged(3, alarm=True, alarm_open=True, evidence=110.0, without_three=9.0)
    rows = [judged(1, alarm=False), few, again, judged(4, alarm_open=False)]
    (alarm,) = alarms_in([*rows, judged(5, segment="c", segment_value="x", alarm=True)])
    assert (alarm.first_page.day, alarm.last_page.day, alarm.state, alarm.flags) == (2, 3, "closed", ["few pages"])
    assert "80% of it by one page. It is the work of few pages" in alarm.message
    assert [one.state for one in alarms_in(rows[:3])] == ["open"]
    assert not alarms_in([])
    # What is far off from one page on begins as the work of few pages, and is so no more when it goes on.
    rows[2] = judged(3, alarm=True, alarm_open=True, evidence=110.0, without_three=60.0)
    (alarm,) = alarms_in(rows)
    assert (alarm.first_page.day, alarm.last_page.day, alarm.flags, alarm.evidence) == (2, 3, [], 110.0)
    assert "few pages" not in alarm.message
    (alarm,) = alarms_in([rows[0], few, judged(3, alarm=False, alarm_open=True, without_three=60.0)])
    assert alarm.flags == ["few pages"]


def test_the_interval_covers_nine_stretches_in_ten_also_in_a_world_that_changes() -> None:
    inside = []
    for seed in range(times(10)):
        rng = np.random.default_rng(seed)
        days = rng.normal(0, 0.1, 300) + 0.15 * ((np.arange(300) > 150) & (np.arange(300) < 190))
        for start in range(60, 293, 7):
            one = estimate(np.full(7, 0.4), np.full(7, 900.0), days[: start - 2])
            assert one is not None
            inside.append(one.low <= 0.4 + days[start : start + 7].mean() <= one.high)
    assert 0.9 <= np.mean(inside) <= 0.99
    assert estimate(np.array([0.4]), np.array([9.0]), np.zeros(4)) is None


def test_calibration_is_found_and_its_interval_takes_pages_as_the_unit() -> None:
    def fitted(day: float, slope: float, n_pages: int = 40):
        rng, parts = np.random.default_rng(2), []
        for n in range(n_pages):
            p, _ = page(rng, 900, 0.0)
            x = np.log(p / (1 - p))
            y = rng.random(900) < logistic(slope * x + rng.normal(0, day))
            parts.append((np.full(900, n), x, np.ones(900), y * 1.0))
        return calibration_of(*(np.concatenate(each) for each in zip(*parts, strict=True)))

    flat = fitted(0.0, 0.6)
    assert flat.slope_low < 0.6 < flat.slope_high < 1
    assert fitted(0.0, 1.0).intercept_low < 0 < fitted(0.0, 1.0).intercept_high
    narrow, wide = fitted(0.0, 1.0), fitted(0.6, 1.0)
    assert wide.intercept_high - wide.intercept_low > 3 * (narrow.intercept_high - narrow.intercept_low)
    assert fitted(0.3, 1.0, n_pages=7) is None


def test_numbers_expect_the_errors_that_validation_made() -> None:
    rng = np.random.default_rng(0)
    said = rng.gamma(2, 1, 20_000)
    came = said + rng.normal(0, said)
    known = expectation("regression", came, said)
    assert known is not None
    harder = rng.gamma(4, 1, 5_000)
    error = losses(harder + rng.normal(0, harder), harder, "regression").mean()
    assert known.loss(harder).mean() == pytest.approx(error, rel=0.25)
    assert known.loss(harder).mean() > 2 * known.loss(said).mean()
    assert expectation("regression", came[:40], said[:40]) is None
    levels = (0.1, 0.5, 0.9)
    quantiles = np.column_stack([said * 0.5, said, said * 1.5])
    of_quantiles = expectation("quantiles", came, quantiles, levels)
    assert of_quantiles is not None
    expected_loss = losses(came, quantiles, "quantiles", levels).mean()
    assert of_quantiles.metrics(quantiles)["pinball"] == pytest.approx(expected_loss, rel=1e-9)


def test_what_is_a_thousand_times_too_much_is_told_on_the_fourth_page_and_goes_on() -> None:
    rng = np.random.default_rng(3)
    quiet, r = rng.normal(0, 1, 40), variance_to_r(rng.normal(0, 1, 50), 0.0)
    broken = np.concatenate([quiet, 1e6 + rng.normal(0, 1e3, 60), np.zeros(40)])
    found = steps(broken.tolist(), r, 0.1, BOUND)
    assert next(n for n, step in enumerate(found) if step.alarm) == 43
    assert found[43].evidence < 1
    assert [step.is_open for step in found] == [43 <= n < 100 + 27 for n in range(140)]
    # Three pages that are far off are a storm.
    storm = np.concatenate([quiet, [50.0, 80.0, 60.0], quiet])
    assert not any(step.alarm for step in steps(storm.tolist(), r, 0.1, BOUND))
    first = datetime(2026, 1, 1)
    rows = [
        Performance(
            *("p", first + timedelta(days=n), "v1", datetime(2026, 9, 1), "r", "r", 9, 9, True),
            expected_loss=2.0,
            excess=excess_of_page,
            bound=BOUND,
            evidence=step.evidence,
            alarm=step.alarm,
            alarm_open=step.is_open,
        )
        for n, (excess_of_page, step) in enumerate(zip(broken.tolist(), found, strict=True))
    ]
    (alarm,) = alarms_in(rows)
    assert "4 pages in turn are each more than 6 times as far off" in alarm.message
    assert (alarm.first_page, alarm.state, alarm.flags) == (rows[43].as_of, "closed", [])
