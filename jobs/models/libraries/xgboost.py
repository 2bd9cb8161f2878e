"""XGBoost: gradient boosting by levels. The extra `xgboost`."""

from __future__ import annotations

from typing import Any

from jobs.models.libraries.library import EstimatorSpec, Floats, Library, both_kinds, more_trees


def _boost(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    from sklearn.base import clone

    booster = model.get_booster()
    following = clone(model).set_params(n_estimators=more_trees(booster.num_boosted_rounds(), share))
    return following.fit(rows, labels, xgb_model=booster)


XGBOOST = Library(
    name="xgboost",
    distributions=("xgboost",),
    estimators={
        **both_kinds(
            "xgboost", "xgboost:XGB", "ordinal", quantile=("quantile_alpha", {"objective": "reg:quantileerror"})
        ),
        "xgboost_ranker": EstimatorSpec("xgboost:XGBRanker", "ranking", "ordinal"),
    },
    # A Booster keeps its trees in its library's own format, which that library parses.
    trusted_types=frozenset(
        {
            "xgboost.core.Booster",
            "xgboost.sklearn.XGBClassifier",
            "xgboost.sklearn.XGBRanker",
            "xgboost.sklearn.XGBRegressor",
        }
    ),
    continues={"XGBClassifier": _boost, "XGBRegressor": _boost},
)
