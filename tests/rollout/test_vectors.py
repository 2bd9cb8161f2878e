"""The figures that growthbook, spotify-confidence, confseq and scipy give, beside ours.

Peers give intervals at a fixed horizon, of independent rows. Ours belong to pages and to every look, so their forms are
computed here from the same sums, to show that what differs is the form and not the sums.
"""

from __future__ import annotations

import csv
import re
from pathlib import Path

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq
from scipy.special import betaln

from jobs.models.arms.assignment import BUCKETS, bucket_of
from jobs.monitoring.performance.evidence import log_e
from jobs.monitoring.slow import evidence_of
from jobs.rollout.inference.covariate import ArmSums, adjusted_difference
from jobs.rollout.inference.sample_ratio import log_ratio_e, sample_ratio

ROWS = list(csv.DictReader((Path(__file__).parent / "statistics.csv").read_text().splitlines()))
SHOWN = set[tuple[str, str, str]]()


def known(case: str, containing: str = "") -> dict[str, float]:
    """Give the figures of a case, and remember that they were held against ours."""
    found = [row for row in ROWS if row["case"] == case and containing in row["input"]]
    assert found, case
    SHOWN.update((case, row["input"], row["statistic"]) for row in found)
    return {row["statistic"]: float(row["value"]) for row in found}


def of_sums(n: int, total: float, square: float) -> ArmSums:
    return ArmSums(n, total, square, 0.0, 0.0, 0.0)


def of_counts(hits: int, n: int) -> tuple[float, float, int]:
    return hits / n, hits / n * (1 - hits / n), n


def of_means(sums: ArmSums) -> tuple[float, float, int]:
    return sums.y / sums.n, sums.variance_y(), sums.n


def peers(
    a: tuple[float, float, int], b: tuple[float, float, int], relative: bool = False
) -> tuple[float, float, float]:
    """Give the estimate, its standard error, and Welch's degrees of freedom."""
    (mean_a, var_a, n_a), (mean_b, var_b, n_b) = a, b
    square = var_a / n_a + var_b / n_b
    freedom = square**2 / ((var_a / n_a) ** 2 / (n_a - 1) + (var_b / n_b) ** 2 / (n_b - 1))
    if not relative:
        return mean_b - mean_a, square**0.5, freedom
    square = var_b / (mean_a**2 * n_b) + var_a * mean_b**2 / (mean_a**4 * n_a)
    return (mean_b - mean_a) / mean_a, square**0.5, freedom


def check_fixed(found: dict[str, float], estimate: float, error: float, freedom: float) -> None:
    width = stats.t.ppf(0.975, freedom) * error
    p_value = 2 * stats.t.sf(abs(estimate / error), freedom)
    ours = {"estimate": estimate, "standard_error": error, "ci_low": estimate - width, "ci_high": estimate + width}
    for name, value in (ours | {"p_value": p_value}).items():
        assert value == pytest.approx(found[name], rel=1e-8), name


A = of_sums(3407, 1396.87, 52377.9767)
SHORT_A = of_sums(3000, 1396.87, 52377.9767)
B = of_sums(3461, 2422.7, 134698.29)


def test_a_difference_of_means_is_growthbooks() -> None:
    ours = adjusted_difference(B, A)
    assert ours is not None
    found = known("welch_absolute")
    assert ours.difference == pytest.approx(found["estimate"], rel=1e-12)
    assert ours.standard_error == pytest.approx(found["standard_error"], rel=1e-12)
    check_fixed(found, *peers(of_means(A), of_means(B)))
    check_fixed(known("welch_relative"), *peers(of_means(A), of_means(B), relative=True))
    low, high = of_counts(1000, 10_000), of_counts(1150, 10_000)
    check_fixed(known("welch_proportion_absolute_mid"), *peers(low, high))
    check_fixed(known("proportion_relative"), *peers(of_counts(14, 28), of_counts(16, 30), relative=True))


def sequential(n: int, tuning: float, alpha: float, sides: int) -> float:
    """Give growthbook's asymptotic confidence sequence [Waudby-Smith et al.] in standard errors times sqrt(n)."""
    two = alpha if sides == 2 else 2 * alpha
    rho = (
        (2 * np.log(1 / two) + np.log(2 * np.log(1 / two) + 1)) ** 0.5 / tuning**0.5
        if sides == 1
        else _rho(tuning, two)
    )
    inside = n * rho**2 + 1
    if sides == 1:
        return float((2 * inside / (n * rho) ** 2 * np.log(1 + inside**0.5 / (2 * alpha))) ** 0.5)
    return float((2 * inside / (n * rho) ** 2 * np.log(inside**0.5 / alpha)) ** 0.5)


def _rho(tuning: float, alpha: float) -> float:
    return float(((-2 * np.log(alpha) + np.log(-2 * np.log(alpha) + 1)) / tuning) ** 0.5)


def test_the_sequences_of_growthbook_are_of_rows_and_not_of_pages() -> None:
    assert _rho(5_000, 0.05) == pytest.approx(known("sequential_rho")["rho"], rel=1e-12)
    assert sequential(10_000, 5_000, 0.05, 2) == pytest.approx(known("sequential_halfwidth")["halfwidth"], rel=1e-12)
    cases = [
        ("seq_relative_t1000", peers(of_means(SHORT_A), of_means(B), relative=True), 1_000.0, 6461),
        ("seq_absolute_t5000", peers(of_means(SHORT_A), of_means(B)), 5_000.0, 6461),
        ("seq_proportion_relative", peers(of_counts(1396, 3000), of_counts(2422, 3461), relative=True), 5_000.0, 6461),
        ("seq_proportion_absolute_mid", peers(of_counts(1000, 10_000), of_counts(1150, 10_000)), 5_000.0, 20_000),
    ]
    for case, (estimate, error, _), tuning, n in cases:
        found = known(case)
        width = sequential(n, tuning, 0.05, 2) * error * n**0.5
        assert estimate == pytest.approx(found["estimate"], rel=1e-9)
        assert error == pytest.approx(found["standard_error"], rel=1e-9)
        assert (estimate - width, estimate + width) == pytest.approx((found["ci_low"], found["ci_high"]), rel=1e-8)
        assert _always_valid_p(estimate / error, n, _rho(tuning, 0.05)) == pytest.approx(found["p_value"], rel=1e-6)
    found = known("seq_greater_absolute")
    estimate, error, _ = peers(of_means(SHORT_A), of_means(B))
    width = sequential(6461, 5_000, 0.05, 1) * error * 6461**0.5
    assert estimate - width == pytest.approx(found["ci_low"], rel=1e-8)
    assert estimate == pytest.approx(found["estimate"])
    assert error == pytest.approx(found["standard_error"])


def _always_valid_p(z: float, n: int, rho: float) -> float:
    e = np.exp(n * rho**2 * z**2 / (2 * (n * rho**2 + 1))) / (n * rho**2 + 1) ** 0.5
    return float(min(1.0, 1.0 / e))


def cuped_arms() -> tuple[ArmSums, ArmSums]:
    rng = np.random.default_rng(5)

    def arm(shift: float) -> ArmSums:
        pre = rng.gamma(2, 2, 4000)
        post = 0.8 * pre + rng.normal(0, 2, 4000) + shift
        return ArmSums(4000, post.sum(), (post**2).sum(), pre.sum(), (pre**2).sum(), (pre * post).sum())

    live = arm(0.0)
    return arm(0.1), live


def test_cuped_is_growthbooks_and_takes_away_what_theory_says() -> None:
    arm, live = cuped_arms()
    ours = adjusted_difference(arm, live)
    assert ours is not None
    assert ours.slope == pytest.approx(known("cuped")["theta"], rel=1e-9)
    adjusted = [
        (
            one.y / one.n - ours.slope * one.x / one.n,
            one.variance_y() + ours.slope**2 * one.variance_x() - 2 * ours.slope * one.covariance(),
            one.n,
        )
        for one in (live, arm)
    ]
    found = known("cuped_absolute")
    assert ours.difference == pytest.approx(found["estimate"], rel=1e-9)
    assert ours.standard_error == pytest.approx(found["standard_error"], rel=1e-9)
    check_fixed(found, *peers(*adjusted))
    check_fixed(known("no_cuped_absolute"), *peers(of_means(live), of_means(arm)))
    # var(.8 gamma(2, 2)) = 5.12 of 9.12: the share that the covariate explains.
    assert ours.narrowed == pytest.approx(5.12 / 9.12, abs=0.02)
    relative = ours.difference / (live.y / live.n)
    check_fixed(known("cuped_relative"), relative, relative_error(arm, live, ours.slope), peers(*adjusted)[2])


def relative_error(arm: ArmSums, live: ArmSums, slope: float) -> float:
    """Give growthbook's standard error of an adjusted difference as a share of the live version's plain mean.

    The delta method: that mean divides too, so that its own rows count by the ratio of the plain means, and the
    covariate by 1. Our `standard_error`, divided by that mean, takes it for a constant, and is 1.3 % smaller here.
    """
    mean, ratio = live.y / live.n, (arm.y / arm.n) / (live.y / live.n)
    of_arm, of_live = (
        by**2 * one.variance_y() + slope**2 * one.variance_x() - 2 * slope * by * one.covariance()
        for one, by in ((arm, 1.0), (live, ratio))
    )
    return float((of_arm / arm.n + of_live / live.n) ** 0.5 / mean)


def test_a_ratio_of_sums_is_growthbooks() -> None:
    rng = np.random.default_rng(6)

    def arm(rate: float) -> tuple[float, float, int]:
        d = rng.poisson(5, 4000) + 1
        m = rng.binomial(d, rate)
        covariance = np.cov(m, d)
        mean_m, mean_d = m.mean(), d.mean()
        variance = (
            covariance[0, 0] / mean_d**2
            - 2 * covariance[0, 1] * mean_m / mean_d**3
            + covariance[1, 1] * mean_m**2 / mean_d**4
        )
        return mean_m / mean_d, float(variance), 4000

    a = arm(0.2)
    b = arm(0.21)
    found = known("ratio_absolute")
    assert a[1] == pytest.approx(found["variance_of_ratio_A"], rel=1e-9)
    check_fixed(found, *peers(a, b))
    check_fixed(known("ratio_relative"), *peers(a, b, relative=True))


def test_two_proportions_are_spotifys() -> None:
    for case, a, b in (("sp_ztest_us", (42, 104), (500, 1009)), ("sp_ztest_gb", (40, 100), (50, 100))):
        found = known(case)
        estimate, error, _ = peers(of_counts(*a), of_counts(*b))
        assert estimate == pytest.approx(found["difference"], abs=1e-6)
        width = stats.norm.ppf(0.975) * error
        assert (estimate - width, estimate + width) == pytest.approx((found["ci_low"], found["ci_high"]), abs=1e-6)
        table = [[a[0], a[1] - a[0]], [b[0], b[1] - b[0]]]
        assert stats.chi2_contingency(table, correction=False).pvalue == pytest.approx(found["p_value"], abs=1e-6)


def test_bayes_with_a_flat_prior_is_growthbooks() -> None:
    found = known("bayes_prop")
    estimate, error, _ = peers(of_counts(49, 100), of_counts(51, 100), relative=True)
    assert estimate == pytest.approx(found["expected"], rel=1e-12)
    width = stats.norm.ppf(0.975) * error
    assert (estimate - width, estimate + width) == pytest.approx((found["ci_low"], found["ci_high"]), rel=1e-6)
    assert stats.norm.sf(0, estimate, error) == pytest.approx(found["chance_to_win"], rel=1e-6)
    risk = error * stats.norm.pdf(estimate / error)
    assert risk - estimate * stats.norm.sf(estimate / error) == pytest.approx(found["risk_treatment"], rel=1e-6)
    assert risk + estimate * stats.norm.cdf(estimate / error) == pytest.approx(found["risk_control"], rel=1e-6)


def test_the_sample_ratio_is_the_closed_form_and_chi_squared_at_a_fixed_number_is_growthbooks() -> None:
    for counts in ((520, 480), (5200, 4800), (821588, 815482)):
        named = dict(zip("ab", counts, strict=True))
        found = known("srm_e", f"counts {counts[0]} {counts[1]}")["log_e"]
        assert log_ratio_e(named, {"a": 0.5, "b": 0.5}) == pytest.approx(found, rel=1e-9)
    for row in [row for row in ROWS if row["case"] == "srm"]:
        counts, weights = (eval(part) for part in row["input"].removeprefix("counts ").split(" weights "))
        expected = np.array(weights) * sum(counts)
        assert stats.chisquare(counts, expected).pvalue == pytest.approx(
            known("srm", row["input"])["p_value"], rel=1e-9
        )
    found = known("srm_zero_weight")["p_value"]
    assert stats.chi2.sf(stats.chisquare([1000, 1100]).statistic, 2) == pytest.approx(found, rel=1e-9)
    two, three = {"a": 1000, "b": 1100}, {"a": 1000, "b": 1100, "c": 0}
    assert log_ratio_e(three, {"a": 0.5, "b": 0.5, "c": 0.0}) == log_ratio_e(two, {"a": 0.5, "b": 0.5})
    assert sample_ratio({**three, "c": 1}, {"a": 0.5, "b": 0.5, "c": 0.0}).alarm


def test_the_mixture_is_confseqs() -> None:
    found = known("normal_mixture", "v_opt=100")
    for sides, alpha in ((2, 0.05), (1, 0.1)):
        two = 2 * np.log(1 / alpha)
        rho = 100 / (two + np.log(1 + two))
        log_two_sided = 0.5 * np.log(rho / (100 + rho)) + 100 / (2 * (100 + rho))
        if sides == 2:
            assert rho == pytest.approx(found["two_sided_best_rho(v_opt=100,alpha_opt=.05)"], abs=1e-5)
            assert log_two_sided == pytest.approx(found["two_sided_log_mixture(s=10,v=100)"], abs=1e-6)
            bound = ((100 + rho) * (np.log((100 + rho) / rho) + 2 * np.log(1 / 0.05))) ** 0.5
            assert bound == pytest.approx(found["two_sided_bound(v=100,alpha=.05)"], abs=1e-5)
            continue
        assert float(log_e(10.0, 100.0, rho)) == pytest.approx(found["one_sided_log_mixture(s=10,v=100)"], abs=1e-5)
        at = found["one_sided_bound(v=100,alpha=.05)"]
        assert float(log_e(at, 100.0, rho)) == pytest.approx(np.log(20), abs=1e-5)
    ours = known("normal_mixture", "rho=12.60056")
    assert all(
        value in (pytest.approx(-0.6510051906547085), pytest.approx(30.352089899803588)) for value in ours.values()
    )
    low, high = _bernoulli(700, 1000, 100, 0.05)
    found = known("bernoulli_cs")
    assert (low, high) == pytest.approx((found["low"], found["high"]), abs=1e-5)


def test_the_evidence_of_thirty_pages_is_the_closed_form_of_one_side() -> None:
    d, found = np.random.default_rng(21).normal(0.01, 0.02, 30), known("self_normalised")
    for n in (5, 10, 20, 30):
        s, v, r = d[:n].sum(), (d[:n] ** 2).sum(), 0.002
        one_sided = found[f"log_e after page {n}"] + np.log(2) + stats.norm.logcdf(s / (v + r) ** 0.5)
        assert float(log_e(s, v, r)) == pytest.approx(one_sided, rel=1e-12)


def test_ranks_become_evidence_as_in_ville() -> None:
    for row in [row for row in ROWS if row["case"].startswith("p_to_e")]:
        p = float(row["input"].split(",")[0].removeprefix("p=").split()[0])
        (expected,) = known(row["case"], row["input"].split(",")[0]).values()
        assert float(evidence_of(np.array([p]))[0]) == pytest.approx(expected, rel=1e-12)
    m, found = 0.0, known("shiryaev_roberts")
    for page, e in enumerate(evidence_of(np.array([0.001, 0.004, 0.03, 0.5, 0.02, 0.2])), 1):
        m = float(e) * (1 + m)
        assert m == pytest.approx(found[f"M after page {page}"], rel=1e-12)
    e, alpha = np.array([50, 30, 12, 4, 1, 0.2]), 0.2
    (row,) = [row for row in ROWS if row["case"] == "e_bh"]
    SHOWN.add(("e_bh", row["input"], row["statistic"]))
    n_rejected = max(k for k in range(1, 7) if e[k - 1] >= 6 / (k * alpha))
    assert re.findall(r"int64\((\d)\)", row["value"]) == ["1"] * n_rejected + ["0"] * (6 - n_rejected)


def test_growthbooks_hash_is_another_one() -> None:
    def fnv(text: str) -> int:
        found = 0x811C9DC5
        for byte in text.encode():
            found = (found ^ byte) * 0x01000193 % 2**32
        return found

    for row in [row for row in ROWS if row["case"] == "growthbook_hash"]:
        seed, value, version = re.fullmatch(r"seed='(.*)' value='(.*)' version (\d)", row["input"]).groups()
        bucket = fnv(str(fnv(seed + value))) % 10_000 / 10_000 if version == "2" else fnv(value + seed) % 1_000 / 1_000
        assert [bucket] == list(known("growthbook_hash", row["input"]).values())
        assert bucket_of(seed, [value]) / BUCKETS != bucket


def _bernoulli(hits: int, n: int, t_opt: float, alpha: float) -> tuple[float, float]:
    """Give confseq's beta-binomial confidence sequence of a rate."""

    def log_e_of(p: float) -> float:
        two = 2 * np.log(1 / 0.05)
        r = t_opt * p * (1 - p) / (two + np.log(1 + two)) - p * (1 - p)
        a, b = r / p, r / (1 - p)
        likelihood = hits * np.log(p) + (n - hits) * np.log(1 - p)
        return float(betaln(a + n - hits, b + hits) - betaln(a, b) - likelihood - np.log(1 / alpha))

    return float(brentq(log_e_of, 0.01, hits / n)), float(brentq(log_e_of, hits / n, 0.99))


def test_every_vector_that_belongs_to_rollouts_is_shown_somewhere() -> None:
    # Runs after those above, in the same file: what they asked for is what they showed.
    elsewhere = {"hash_bucket", "interleaving"}
    assert {row["case"] for row in ROWS} - elsewhere == {case for case, _, _ in SHOWN}
