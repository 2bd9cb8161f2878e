"""The estimators that product.yaml can name, and how each is made ready for a product's features.

A registered estimator is put behind the encoding that it needs: trees take numbers as they are and categories
as ordinals, linear models take imputed and scaled numbers and one-hot categories. An import path
`package.module:factory` gives an estimator of the suite's own, which is handed the features as they are (a
Polars frame of Float64 and String columns).
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from warehouse.definitions import Product
from warehouse.errors import DefinitionError


@dataclass(frozen=True)
class EstimatorSpec:
    """One registered estimator: where its class is, which labels it is for, and which encoding it needs."""

    path: str
    kind: Literal["binary", "regression"]
    encoding: Literal["ordinal", "one_hot"]
    #: Takes the positions of categorical columns, and needs no order among categories.
    native_categories: bool = False


ESTIMATORS: dict[str, EstimatorSpec] = {
    "hist_gradient_boosting_classifier": EstimatorSpec(
        "sklearn.ensemble:HistGradientBoostingClassifier", "binary", "ordinal", native_categories=True
    ),
    "hist_gradient_boosting_regressor": EstimatorSpec(
        "sklearn.ensemble:HistGradientBoostingRegressor", "regression", "ordinal", native_categories=True
    ),
    "random_forest_classifier": EstimatorSpec("sklearn.ensemble:RandomForestClassifier", "binary", "ordinal"),
    "random_forest_regressor": EstimatorSpec("sklearn.ensemble:RandomForestRegressor", "regression", "ordinal"),
    "extra_trees_classifier": EstimatorSpec("sklearn.ensemble:ExtraTreesClassifier", "binary", "ordinal"),
    "extra_trees_regressor": EstimatorSpec("sklearn.ensemble:ExtraTreesRegressor", "regression", "ordinal"),
    "logistic_regression": EstimatorSpec("sklearn.linear_model:LogisticRegression", "binary", "one_hot"),
    "ridge": EstimatorSpec("sklearn.linear_model:Ridge", "regression", "one_hot"),
}


def make_estimator(product: Product, features: Mapping[str, str], root: Path) -> Any:
    """Make an unfitted estimator or pipeline for a product.

    Parameters
    ----------
    product
        Whose `model` settings are read.
    features
        The model's features in order, with their DuckDB types.
    root
        The suite, where an import path may lead.

    Raises
    ------
    DefinitionError
        If the estimator is not known, cannot be imported, does not suit the label, or refuses a parameter.
    """
    settings = product.header.model
    where = product.yaml_where
    spec = ESTIMATORS.get(settings.estimator)
    if spec is None and ":" not in settings.estimator:
        near = difflib.get_close_matches(settings.estimator, ESTIMATORS, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise DefinitionError(
            f"{where}: there is no estimator `{settings.estimator}`.{hint} Allowed: {', '.join(ESTIMATORS)}, or an"
            " import path `package.module:factory`."
        )
    if spec is not None and spec.kind != product.header.label.kind:
        raise DefinitionError(
            f"{where}: `{settings.estimator}` is for {spec.kind} labels, and the label is {product.header.label.kind}."
        )
    factory = _import(spec.path if spec else settings.estimator, where, root)
    parameters = dict(settings.parameters)
    accepted = inspect.signature(factory).parameters
    if "random_state" in accepted:
        parameters.setdefault("random_state", settings.seed)
    categorical = [index for index, kind in enumerate(features.values()) if kind == "VARCHAR"]
    if spec is not None and spec.native_categories and categorical:
        # The encoding puts categories first, in order.
        parameters.setdefault("categorical_features", list(range(len(categorical))))
    try:
        estimator = factory(**parameters)
    except TypeError as error:
        raise DefinitionError(f"{where}: `{settings.estimator}` refuses model.parameters: {error}.") from error
    return _encoded(estimator, spec, list(features), categorical) if spec else estimator


def _import(path: str, where: str, root: Path) -> Any:
    module_name, _, name = path.partition(":")
    try:
        with importing_from(root):
            return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(f"{where}: the estimator `{path}` cannot be imported: {error}.") from error


@contextlib.contextmanager
def importing_from(root: Path) -> Iterator[None]:
    """Let modules of the suite in `root` be imported, before others of the same name."""
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))


def _encoded(estimator: Any, spec: EstimatorSpec, features: Sequence[str], categorical: Sequence[int]) -> Any:
    """Put an estimator behind the encoding of its features."""
    from sklearn.compose import ColumnTransformer
    from sklearn.impute import SimpleImputer
    from sklearn.pipeline import Pipeline
    from sklearn.preprocessing import OneHotEncoder, OrdinalEncoder, StandardScaler

    texts = [features[index] for index in categorical]
    numbers = [name for index, name in enumerate(features) if index not in set(categorical)]
    missing = float("nan")
    if spec.encoding == "ordinal":
        ordinal = OrdinalEncoder(
            handle_unknown="use_encoded_value", unknown_value=missing, encoded_missing_value=missing, dtype="float64"
        )
        steps = [("categories", ordinal, texts), ("numbers", "passthrough", numbers)]
    else:
        scaled = Pipeline([("impute", SimpleImputer(keep_empty_features=True)), ("scale", StandardScaler())])
        one_hot = OneHotEncoder(handle_unknown="ignore", sparse_output=False)
        steps = [("categories", one_hot, texts), ("numbers", scaled, numbers)]
    encoder = ColumnTransformer([step for step in steps if step[2]])
    return Pipeline([("encode", encoder), ("model", estimator)])
