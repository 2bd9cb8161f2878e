"""The estimators that product.yaml can name, and how each is made ready for a product's features.

A registered estimator is put behind the encoding that it needs: trees take numbers as they are and categories
as ordinals, the others imputed and scaled numbers and one-hot categories; product.yaml can declare other steps. An
import path `package.module:factory` gives an estimator of the suite's own, which is handed the features as they are
(a Polars frame of Float64 and String columns), unless steps are declared.
"""

from __future__ import annotations

import difflib
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from jobs.models.libraries import ESTIMATORS, EstimatorSpec
from jobs.models.pipelines import imported, keeps_categories, make_steps
from jobs.scoring.interface.scorer import final_step
from warehouse.definitions import Product
from warehouse.definitions.pipeline import PipelineSettings
from warehouse.errors import DefinitionError

#: What stands before a registered estimator, unless product.yaml declares a pipeline.
ENCODINGS = {
    "ordinal": PipelineSettings.model_validate({"categories": ["ordinal"]}),
    "one_hot": PipelineSettings.model_validate({"categories": ["one_hot"], "numbers": ["impute", "standard_scale"]}),
}


def make_estimator(product: Product, features: Mapping[str, str], root: Path, classes: Sequence[str] = ()) -> Any:
    """Make an unfitted estimator or pipeline for a product.

    Parameters
    ----------
    product
        Whose `model` settings are read.
    features
        The model's features in order, with their DuckDB types.
    root
        The suite, where an import path may lead.
    classes
        Of a label with classes, those that occur, in the order of their numbers.

    Raises
    ------
    DefinitionError
        If the estimator is not known, cannot be imported, does not suit the label, or refuses a parameter.
    """
    from sklearn.pipeline import Pipeline

    settings = product.header.model
    where = product.yaml_where
    spec = _registered(product)
    factory = imported(spec.path if spec else settings.estimator, where, root)
    parameters = {**(spec.defaults if spec else {}), **settings.parameters}
    quantile = _quantile_parameter(spec, parameters, product)
    n_texts = sum(kind == "VARCHAR" for kind in features.values())
    if spec is not None and spec.native_categories and n_texts and keeps_categories(settings.pipeline):
        # The encoding puts categories first, in order.
        parameters.setdefault("categorical_features", list(range(n_texts)))
    if classes and isinstance(parameters.get("class_weight"), Mapping):
        parameters["class_weight"] = _weights(parameters["class_weight"], product, classes)
    try:
        estimator = factory(**parameters)
    except TypeError as error:
        raise DefinitionError(f"{where}: `{settings.estimator}` refuses model.parameters: {error}.") from error
    if hasattr(estimator, "get_params") and estimator.get_params(deep=False).get("random_state", 0) is None:
        estimator.set_params(random_state=settings.seed)
    if quantile is not None:
        from jobs.models.quantile_models import QuantileModels

        estimator = QuantileModels(estimator, list(product.quantiles), quantile)
    declared = settings.pipeline or (ENCODINGS[spec.encoding] if spec else None)
    if declared is not None:
        estimator = Pipeline([*make_steps(declared, product, features, root), ("model", estimator)])
    if product.quantiles and quantile is None:
        from jobs.models.quantile_models import ConformalQuantiles

        return ConformalQuantiles(estimator, list(product.quantiles))
    return estimator


def require_estimator(product: Product, root: Path) -> None:
    """See that a product's estimator is one, suits its label and is installed; `root` is its suite.

    Raises
    ------
    DefinitionError
        If it does not.
    """
    spec = _registered(product)
    imported(spec.path if spec else product.header.model.estimator, product.yaml_where, root)


def is_ranker(estimator: Any) -> bool:
    """Tell whether an estimator, or the model at the end of a pipeline, learns from whole lists."""
    return type(final_step(estimator)).__name__.endswith("Ranker")


def _registered(product: Product) -> EstimatorSpec | None:
    """Give what is registered under the name of a product's estimator; None of an import path."""
    settings, where = product.header.model, product.yaml_where
    spec = ESTIMATORS.get(settings.estimator)
    if spec is None and ":" not in settings.estimator:
        near = difflib.get_close_matches(settings.estimator, ESTIMATORS, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        raise DefinitionError(
            f"{where}: there is no estimator `{settings.estimator}`.{hint} Allowed: {', '.join(ESTIMATORS)}, or an"
            " import path `package.module:factory`."
        )
    if spec is not None and spec.kind not in (product.kind.learnt_by, product.kind.name):
        raise DefinitionError(
            f"{where}: `{settings.estimator}` is for {spec.kind} labels, and the label is {product.header.label.kind}."
        )
    return spec


def _quantile_parameter(spec: EstimatorSpec | None, parameters: dict[str, Any], product: Product) -> str | None:
    """Let an estimator that can be fitted to a quantile be so, and name its parameter for it; None of others.

    Nor does one whose parameters ask for another loss get such models: it gets intervals, as others do.
    """
    if spec is None or spec.quantile is None or not product.quantiles:
        return None
    parameter, loss = spec.quantile
    if parameters.keys() & loss.keys():
        return None
    if parameter in parameters:
        raise DefinitionError(
            f"{product.yaml_where}: model.parameters gives `{parameter}`, which comes from label.quantiles:"
            f" {', '.join(f'{each:g}' for each in product.quantiles)}. Leave it out."
        )
    parameters |= loss
    return parameter


def _weights(given: Mapping[Any, float], product: Product, classes: Sequence[str]) -> dict[int, float]:
    """Give the weights of classes by their numbers; product.yaml gives them by name, and 1 to those that it leaves out.

    Raises
    ------
    DefinitionError
        If it names what is no class.
    """
    if unknown := [name for name in given if name not in product.classes]:
        raise DefinitionError(
            f"{product.yaml_where}: class_weight names {unknown}; label.classes has {', '.join(product.classes)}."
        )
    return {number: float(given.get(name, 1.0)) for number, name in enumerate(classes)}
