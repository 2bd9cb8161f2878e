"""The steps between a product's features and its estimator: registered ones, or a factory of the suite's own.

They are fitted with the estimator, stored with the version in one artifact, and applied by the same object when
pages are scored, so that training and scoring cannot part ways. What the scorers understand of them is compiled
(`jobs.scoring.steps.pipeline`); with anything else the estimator scores itself, and the version says so.
"""

from __future__ import annotations

import contextlib
import difflib
import importlib
import inspect
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from warehouse.definitions import Product
from warehouse.definitions.pipeline import PipelineSettings, StepSettings
from warehouse.errors import DefinitionError

_MISSING = float("nan")


@dataclass(frozen=True)
class StepSpec:
    """One registered step: where its class is, and the parameters that it has unless product.yaml gives others."""

    path: str
    defaults: Mapping[str, Any] = field(default_factory=dict)


STEPS: dict[str, StepSpec] = {
    "clip": StepSpec("jobs.models.clipping:Clip"),
    "impute": StepSpec("sklearn.impute:SimpleImputer", {"keep_empty_features": True}),
    "ordinal": StepSpec(
        "sklearn.preprocessing:OrdinalEncoder",
        {
            "handle_unknown": "use_encoded_value",
            "unknown_value": _MISSING,
            "encoded_missing_value": _MISSING,
            "dtype": "float64",
        },
    ),
    "one_hot": StepSpec("sklearn.preprocessing:OneHotEncoder", {"handle_unknown": "ignore", "sparse_output": False}),
    "standard_scale": StepSpec("sklearn.preprocessing:StandardScaler"),
    "min_max_scale": StepSpec("sklearn.preprocessing:MinMaxScaler"),
    "max_abs_scale": StepSpec("sklearn.preprocessing:MaxAbsScaler"),
    "robust_scale": StepSpec("sklearn.preprocessing:RobustScaler"),
    "drop_constant": StepSpec("sklearn.feature_selection:VarianceThreshold"),
    "select_best": StepSpec("sklearn.feature_selection:SelectKBest"),
    "select_percentile": StepSpec("sklearn.feature_selection:SelectPercentile"),
    "pca": StepSpec("sklearn.decomposition:PCA"),
    "truncated_svd": StepSpec("sklearn.decomposition:TruncatedSVD"),
}
#: What selection may score columns by: functions of sklearn.feature_selection, by the kind of label they are for.
_SCORES = {
    "f_classif": "binary",
    "mutual_info_classif": "binary",
    "f_regression": "regression",
    "mutual_info_regression": "regression",
}


def make_steps(
    settings: PipelineSettings | str, product: Product, features: Mapping[str, str], root: Path
) -> list[tuple[str, Any]]:
    """Make the unfitted steps that stand before a product's estimator.

    Parameters
    ----------
    settings
        The steps, or the import path of a factory that is called with the features and gives a transformer.
    product
        Whose label and seed they are made for.
    features
        The model's features in order, with their DuckDB types.
    root
        The suite, where import paths may lead.

    Raises
    ------
    DefinitionError
        If a step is not known, cannot be imported, or refuses a parameter.
    """
    from sklearn.compose import ColumnTransformer

    if isinstance(settings, str):
        return [("own", imported(settings, product.yaml_where, root)(dict(features)))]
    texts = [name for name, kind in features.items() if kind == "VARCHAR"]
    numbers = [name for name in features if name not in set(texts)]
    if texts and not settings.categories:
        raise DefinitionError(
            f"{product.yaml_where}: model.pipeline says nothing of the columns of text {texts}. Give"
            " `categories: [ordinal]` or `[one_hot]`, or name them in model.leave_out."
        )
    sides = (("categories", settings.categories, texts), ("numbers", settings.numbers, numbers))
    parts = [(name, _in_a_row(steps, product, root), columns) for name, steps, columns in sides if columns]
    together = [(_name(place, step), _make(step, product, root)) for place, step in enumerate(settings.together)]
    return [("encode", ColumnTransformer(parts)), *together]


def _in_a_row(steps: Sequence[StepSettings], product: Product, root: Path) -> Any:
    from sklearn.pipeline import Pipeline

    made = [(_name(place, step), _make(step, product, root)) for place, step in enumerate(steps)]
    if not made:
        return "passthrough"
    return made[0][1] if len(made) == 1 else Pipeline(made)


def _name(place: int, step: StepSettings) -> str:
    return f"{place}_{step.step.replace(':', '_').replace('.', '_')}"


def keeps_categories(settings: PipelineSettings | str | None) -> bool:
    """Tell whether categories reach the estimator as ordinals, first and in order, as where no pipeline is declared."""
    if isinstance(settings, PipelineSettings):
        return [step.step for step in settings.categories] == ["ordinal"] and not settings.together
    return settings is None


def _make(settings: StepSettings, product: Product, root: Path) -> Any:
    where, name = product.yaml_where, settings.step
    if ":" in name:
        factory, parameters = imported(name, where, root), dict(settings.parameters)
    else:
        spec = STEPS.get(name)
        if spec is None:
            near = difflib.get_close_matches(name, STEPS, n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            raise DefinitionError(
                f"{where}: there is no step `{name}`.{hint} Allowed: {', '.join(STEPS)}, or an import path"
                " `package.module:factory`."
            )
        factory, parameters = imported(spec.path, where, root), {**spec.defaults, **settings.parameters}
    accepted = inspect.signature(factory).parameters
    if "random_state" in accepted:
        parameters.setdefault("random_state", product.header.model.seed)
    if "score_func" in accepted and ":" not in name:
        parameters["score_func"] = _score_function(parameters.get("score_func"), product)
    try:
        return factory(**parameters)
    except TypeError as error:
        raise DefinitionError(f"{where}: the step `{name}` refuses its parameters: {error}.") from error


def _score_function(name: str | None, product: Product) -> Any:
    kind = product.kind.learnt_by
    chosen = name or ("f_classif" if kind == "binary" else "f_regression")
    if _SCORES.get(chosen) != kind:
        allowed = ", ".join(known for known, of in _SCORES.items() if of == kind)
        raise DefinitionError(f"{product.yaml_where}: score_func `{chosen}`: of a {kind} label there is {allowed}.")
    return getattr(importlib.import_module("sklearn.feature_selection"), chosen)


def imported(path: str, where: str, root: Path) -> Any:
    """Import what a path `package.module:name` leads to, in the suite or installed.

    Raises
    ------
    DefinitionError
        If it cannot be imported.
    """
    module_name, _, name = path.partition(":")
    try:
        with importing_from(root):
            return getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise DefinitionError(f"{where}: `{path}` cannot be imported: {error}.") from error


@contextlib.contextmanager
def importing_from(root: Path) -> Iterator[None]:
    """Let modules of the suite in `root` be imported, before others of the same name."""
    sys.path.insert(0, str(root))
    try:
        yield
    finally:
        sys.path.remove(str(root))
