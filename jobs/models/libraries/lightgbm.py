"""LightGBM: gradient boosting by leaves. The extra `lightgbm`."""

from __future__ import annotations

from typing import Any

from jobs.models.libraries.library import EstimatorSpec, Floats, Library, both_kinds, more_trees


def _boost(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    from lightgbm import Booster
    from sklearn.base import clone

    following = clone(model).set_params(n_estimators=more_trees(model.booster_.num_trees(), share))
    following.fit(rows, labels, init_model=model.booster_)
    # Without what it was begun with, which its trees include; it could not be stored.
    following._Booster = Booster(model_str=following.booster_.model_to_string())
    return following


LIGHTGBM = Library(
    name="lightgbm",
    distributions=("lightgbm",),
    estimators={
        **both_kinds(
            "lightgbm",
            "lightgbm:LGBM",
            "ordinal",
            defaults={"verbose": -1},
            quantile=("alpha", {"objective": "quantile"}),
        ),
        "lightgbm_ranker": EstimatorSpec("lightgbm:LGBMRanker", "ranking", "ordinal", defaults={"verbose": -1}),
    },
    # A Booster keeps its trees in its library's own format, which that library parses.
    trusted_types=frozenset(
        {
            "lightgbm.basic.Booster",
            "lightgbm.sklearn.LGBMClassifier",
            "lightgbm.sklearn.LGBMRanker",
            "lightgbm.sklearn.LGBMRegressor",
        }
    ),
    continues={"LGBMClassifier": _boost, "LGBMRegressor": _boost},
)
