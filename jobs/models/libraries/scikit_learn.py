"""scikit-learn: trees, linear models, neighbours and networks, and what stands before any model."""

from __future__ import annotations

from typing import Any

from jobs.models.libraries.library import EstimatorSpec, Floats, Library, both_kinds, more_trees


def _more_trees_of_a_forest(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    """Grow trees on the new rows beside those that are there; each votes alike."""
    model.set_params(warm_start=True, n_estimators=model.n_estimators + more_trees(model.n_estimators, share))
    fitted = model.fit(rows, labels)
    return fitted.set_params(warm_start=False)


def _boost_from_predictions(model: Any, rows: Any, labels: Floats, share: float) -> Any:
    """Boost on from what the model says; it stays inside, frozen, as what the new one begins with."""
    from sklearn.base import clone
    from sklearn.frozen import FrozenEstimator

    following = clone(model).set_params(init=FrozenEstimator(model), n_estimators=more_trees(model.n_estimators, share))
    return following.fit(rows, labels)


SCIKIT_LEARN = Library(
    name="sklearn",
    distributions=("scikit-learn", "numpy", "scipy"),
    estimators={
        **both_kinds(
            "hist_gradient_boosting",
            "sklearn.ensemble:HistGradientBoosting",
            "ordinal",
            native_categories=True,
            quantile=("quantile", {"loss": "quantile"}),
        ),
        **both_kinds("random_forest", "sklearn.ensemble:RandomForest", "ordinal"),
        **both_kinds("extra_trees", "sklearn.ensemble:ExtraTrees", "ordinal"),
        **both_kinds(
            "gradient_boosting",
            "sklearn.ensemble:GradientBoosting",
            "one_hot",
            quantile=("alpha", {"loss": "quantile"}),
        ),
        **both_kinds("mlp", "sklearn.neural_network:MLP", "one_hot"),
        "sgd_classifier": EstimatorSpec(
            "sklearn.linear_model:SGDClassifier", "binary", "one_hot", defaults={"loss": "log_loss"}
        ),
        "sgd_regressor": EstimatorSpec("sklearn.linear_model:SGDRegressor", "regression", "one_hot"),
        "naive_bayes": EstimatorSpec("sklearn.naive_bayes:GaussianNB", "binary", "one_hot"),
        "logistic_regression": EstimatorSpec("sklearn.linear_model:LogisticRegression", "binary", "one_hot"),
        "ridge": EstimatorSpec("sklearn.linear_model:Ridge", "regression", "one_hot"),
        # Its own default is a penalty under which most coefficients are 0.
        "quantile_regressor": EstimatorSpec(
            "sklearn.linear_model:QuantileRegressor",
            "regression",
            "one_hot",
            defaults={"alpha": 0.0},
            quantile=("quantile", {}),
        ),
    },
    trusted_types=frozenset(
        {
            "sklearn._loss.link.HalfLogitLink",
            "sklearn._loss.link.IdentityLink",
            "sklearn._loss.link.Interval",
            "sklearn._loss.link.LogLink",
            "sklearn._loss.link.LogitLink",
            "sklearn._loss.link.MultinomialLogit",
            "sklearn._loss.loss.AbsoluteError",
            "sklearn._loss.loss.HalfBinomialLoss",
            "sklearn._loss.loss.HalfGammaLoss",
            "sklearn._loss.loss.HalfMultinomialLoss",
            "sklearn._loss.loss.HalfPoissonLoss",
            "sklearn._loss.loss.HalfSquaredError",
            "sklearn._loss.loss.PinballLoss",
            "sklearn.compose._column_transformer._RemainderColsList",
            "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
            "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
            "sklearn.calibration._CalibratedClassifier",
            "sklearn.calibration._SigmoidCalibration",
            "sklearn.feature_selection._mutual_info.mutual_info_classif",
            "sklearn.feature_selection._mutual_info.mutual_info_regression",
            "sklearn.feature_selection._univariate_selection.f_classif",
            "sklearn.feature_selection._univariate_selection.f_regression",
            "sklearn.metrics._dist_metrics.EuclideanDistance64",
            "sklearn.metrics._dist_metrics.ManhattanDistance64",
            "sklearn.metrics._dist_metrics.MinkowskiDistance64",
            "sklearn.neighbors._ball_tree.BallTree",
            "sklearn.neighbors._kd_tree.KDTree",
            "sklearn.neural_network._stochastic_optimizers.AdamOptimizer",
            "sklearn.neural_network._stochastic_optimizers.SGDOptimizer",
            "sklearn.tree._tree.Tree",
            "sklearn.utils._bunch.Bunch",
            "sklearn.utils.validation.check_array",
        }
    ),
    continues={
        "RandomForestClassifier": _more_trees_of_a_forest,
        "RandomForestRegressor": _more_trees_of_a_forest,
        "ExtraTreesClassifier": _more_trees_of_a_forest,
        "ExtraTreesRegressor": _more_trees_of_a_forest,
        "GradientBoostingClassifier": _boost_from_predictions,
        "GradientBoostingRegressor": _boost_from_predictions,
    },
    is_optional=False,
)
