"""Gates judged on made-up predictions: at the bound, on too few pages, and where an interval reaches too far."""

from __future__ import annotations

import numpy as np
import pytest

from jobs.models.gates import GateResult, Judged, judge
from jobs.models.kinds.page_metrics import Scored
from warehouse.definitions.gates import Bound, GateSettings, NotWorse

PAGES, ROWS = 12, 50


def scored(noise: float, *, n_pages: int = PAGES, off_on: int | None = None) -> Scored:
    """Predictions that are better the less noise they have; on one page they may be far off."""
    rng = np.random.default_rng(5)
    labels = (rng.random(n_pages * ROWS) < 0.3).astype(np.float64)
    pages = np.repeat(np.arange(n_pages), ROWS)
    scores = np.clip(0.3 + 0.3 * (labels - 0.3) + noise * rng.normal(size=len(labels)), 0.01, 0.99)
    if off_on is not None:
        scores = np.where(pages == off_on, 1 - labels * 0.98 - 0.01, scores)
    return Scored(labels, scores, pages, n_pages)


def judged(rows: Scored, live: Scored | None = None) -> Judged:
    pair = (rows, live) if live is not None else None
    return Judged(rows, pair, None if live is None else "v1", {}, None, None)


def gate(settings: GateSettings, of: Judged) -> GateResult:
    return judge(settings, "binary", of)[0]


def test_a_figure_just_at_its_bound_passes_and_one_beyond_it_does_not() -> None:
    rows = scored(0.1)
    found = gate(GateSettings(metrics={"brier": Bound(at_most=1.0)}), judged(rows)).figure
    assert found is not None
    for bound, passes in ((found, True), (np.nextafter(found, 0), False)):
        result = gate(GateSettings(metrics={"brier": Bound(at_most=float(bound))}), judged(rows))
        assert (result.passed, result.n_pages, result.n_rows) == (passes, PAGES, PAGES * ROWS)


@pytest.mark.parametrize(("n_pages", "passes"), [(4, False), (5, True)])
def test_fewer_pages_than_are_wanted_pass_nothing(n_pages: int, passes: bool) -> None:
    result = gate(GateSettings(metrics={"brier": Bound(at_most=1.0)}), judged(scored(0.1, n_pages=n_pages)))
    assert result.passed == passes
    assert passes or "4 labelled pages made without hindsight; 5 are needed" in result.message


@pytest.mark.parametrize("metric", ["roc_auc", "brier"])
def test_what_may_be_worse_by_more_than_the_margin_does_not_pass_though_on_average_it_is_not(metric: str) -> None:
    """On eleven pages better than the live version, on one far worse: the interval reaches beyond the margin."""
    ours, live = scored(0.1, off_on=3), scored(0.25)
    settings = GateSettings(not_worse=NotWorse(metric=metric, margin=0.001))
    result = gate(settings, judged(ours, live))
    assert result.low is not None
    assert result.high is not None
    assert result.figure is not None
    assert result.low < result.figure < result.high
    assert not result.passed
    assert gate(settings, judged(scored(0.1), live)).passed
    assert not gate(settings, judged(scored(0.25), scored(0.1))).passed
