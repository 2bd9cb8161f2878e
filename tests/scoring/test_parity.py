"""A scorer that refuses what its estimator scores, or scores what it refuses, does not agree with it."""

from __future__ import annotations

from typing import Any

import numpy as np
from sklearn.ensemble import HistGradientBoostingClassifier
from sklearn.linear_model import LogisticRegression

from jobs.scoring import check_parity, compile_model
from tests.scoring.models import fitted, outcome, random_rows
from warehouse.errors import ScoringFailed


def test_a_scorer_that_refuses_more_than_the_estimator_does_not_agree() -> None:
    rows = random_rows(300, 2)
    model = fitted(HistGradientBoostingClassifier(max_iter=3), rows, outcome(rows))
    scorer = compile_model(model, rows.column_names)
    assert check_parity(scorer, model, rows).equal
    answer = scorer.raw

    def refuses_some(batch: Any) -> Any:
        if np.isnan(batch.column("x0").to_numpy(zero_copy_only=False)).any():
            raise ScoringFailed("a value is missing")
        return answer(batch)

    scorer.raw = refuses_some  # type: ignore[method-assign]
    report = check_parity(scorer, model, rows)
    assert not report.equal
    assert report.difference is not None
    assert report.difference.startswith("only the scorer refuses")


def test_a_scorer_that_scores_what_the_estimator_refuses_does_not_agree() -> None:
    rows = random_rows(300, 2, missing=0.0)
    model = fitted(LogisticRegression(), rows, outcome(rows))
    scorer = compile_model(model, rows.column_names)
    agreed = check_parity(scorer, model, rows)
    assert agreed.equal
    assert agreed.refused > 0
    answer = scorer.raw

    def takes_all(batch: Any) -> Any:
        try:
            return answer(batch)
        except ScoringFailed:
            return np.zeros(batch.num_rows)

    scorer.raw = takes_all  # type: ignore[method-assign]
    report = check_parity(scorer, model, rows)
    assert not report.equal
    assert report.difference is not None
    assert report.difference.startswith("only the estimator refuses")
