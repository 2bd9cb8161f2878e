"""Distances that Evidently and NannyML publish, from ours: theirs differ by bins, logarithms and units alone."""

from __future__ import annotations

import csv
from pathlib import Path

import numpy as np
import pytest
from scipy import stats

from jobs.monitoring import distances

VECTORS = [
    (row["case"], row["statistic"], float(row["value"]))
    for row in csv.DictReader((Path(__file__).parent / "statistics.csv").read_text().splitlines())
    if row["case"].startswith(("n_", "ln_", "c_"))
]
NUMBERS = ("n_same", "n_shift", "ln_scale", "n_shift_one_outlier")


def known(case: str, statistic: str) -> float:
    return next(value for of, name, value in VECTORS if (of, name) == (case, statistic))


def numbers(case: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    if case == "ln_scale":
        return rng.lognormal(0, 1, 5000), rng.lognormal(0, 1.3, 2000)
    reference = rng.normal(0, 1, 5000)
    page = rng.normal({"n_same": 0.0, "n_shift": 0.3, "n_shift_one_outlier": 1.0}[case], 1, 2000)
    if case == "n_shift_one_outlier":
        page[0] = 1e9
    return reference, page


def categories(case: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    reference = rng.choice(list("abcd"), 5000, p=[0.4, 0.3, 0.2, 0.1])
    if case == "c_shift":
        return reference, rng.choice(list("abcd"), 2000, p=[0.3, 0.3, 0.25, 0.15])
    return reference, rng.choice(list("abcde"), 2000, p=[0.39, 0.3, 0.2, 0.1, 0.01])


def filled(shares: np.ndarray) -> np.ndarray:
    """Evidently: an empty bin gets 0.0001, or a millionth of the least share where that is smaller."""
    least = shares[shares > 0].min()
    return np.where(shares == 0, 0.0001 if least > 0.0001 else least / 1e6, shares)


@pytest.mark.parametrize("case", NUMBERS)
def test_evidently_bins_reference_and_page_together_and_divides_by_the_deviation(case: str) -> None:
    reference, page = numbers(case)
    edges = np.histogram_bin_edges(np.concatenate([reference, page]), "sturges")
    there, here = (np.histogram(x, edges)[0] / len(x) for x in (reference, page))
    psi = distances.population_stability_index(filled(here), filled(there))
    assert psi == pytest.approx(known(case, "psi"), rel=1e-6)
    js = distances.jensen_shannon_distance(here, there)
    assert js == pytest.approx(known(case, "js_distance_natural_log"), rel=1e-6)
    # Ours are of bins; of every value a bin of its own they are scipy's.
    places = np.unique(np.concatenate([reference, page]))
    shares = [np.bincount(np.searchsorted(places, x), minlength=len(places)) / len(x) for x in (page, reference)]
    apart = distances.wasserstein_distance(places, *shares)
    assert apart == pytest.approx(known(case, "wasserstein"), rel=1e-6)
    assert apart == pytest.approx(known(case, "nannyml_wasserstein"), rel=1e-6)
    assert apart / reference.std() == pytest.approx(known(case, "wasserstein_over_std_ref"), rel=1e-6)
    ks = distances.kolmogorov_smirnov(*shares)
    assert ks == pytest.approx(known(case, "ks_statistic"), rel=1e-9)
    assert ks == pytest.approx(known(case, "nannyml_kolmogorov_smirnov"), rel=1e-9)
    assert stats.ks_2samp(reference, page).pvalue == pytest.approx(known(case, "ks_pvalue"), rel=1e-6)


@pytest.mark.parametrize("case", ["c_shift", "c_new"])
def test_categories_are_those_of_other_tools(case: str) -> None:
    reference, page = categories(case)
    names = np.unique(np.concatenate([reference, page]))
    there, here = (np.array([(x == name).mean() for name in names]) for x in (reference, page))
    psi = distances.population_stability_index(filled(here), filled(there))
    assert psi == pytest.approx(known(case, "psi"), rel=1e-6)
    js = distances.jensen_shannon_distance(here, there)
    assert js == pytest.approx(known(case, "js_distance_natural_log"), rel=1e-6)
    assert np.abs(here - there).max() == pytest.approx(known(case, "nannyml_l_infinity"), rel=1e-9)
    base_two = js / np.sqrt(np.log(2))
    assert base_two == pytest.approx(known(case, "nannyml_jensen_shannon"), rel=1e-6)
