"""Model libraries, each in one record: what can be trained, stored, gone on with, and told of it.

A new library is one file here and its name in `LIBRARIES`; that its trees are compiled is a reader of their own in
`jobs.scoring.readers`. Without one, the estimator scores for itself.
"""

from __future__ import annotations

from jobs.models.libraries.library import Continue, EstimatorSpec, Library
from jobs.models.libraries.lightgbm import LIGHTGBM
from jobs.models.libraries.scikit_learn import SCIKIT_LEARN
from jobs.models.libraries.xgboost import XGBOOST

LIBRARIES: tuple[Library, ...] = (SCIKIT_LEARN, LIGHTGBM, XGBOOST)
#: What product.yaml can name, of all libraries.
ESTIMATORS: dict[str, EstimatorSpec] = {name: spec for each in LIBRARIES for name, spec in each.estimators.items()}
#: How models go on with new rows, by class name.
CONTINUES: dict[str, Continue] = {name: way for each in LIBRARIES for name, way in each.continues.items()}

__all__ = ["CONTINUES", "ESTIMATORS", "LIBRARIES", "EstimatorSpec", "Library"]
