"""Models that were trained elsewhere: a file becomes an estimator of the library that wrote it, and nothing is run.

The first bytes of a file say what it is. A skops file is loaded if it holds none but types that model files here may
hold; LightGBM's text, XGBoost's JSON and trees in ONNX are parsed by their libraries. What a file does not say is asked
for or refused.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from jobs.models.artifacts import TRUSTED_TYPES, UNREADABLE
from jobs.models.estimators import is_ranker
from jobs.models.libraries.onnx_trees import OnnxClassifier, read_onnx
from jobs.scoring.readers.lightgbm import RANKING
from warehouse.errors import UsageError
from warehouse.without_pandas import let_pandas_in


@dataclass(frozen=True)
class Foreign:
    """An estimator that was read from a file.

    Attributes
    ----------
    library
        Whose format the file is of.
    columns
        The columns that it was trained on, in order, as the file names them; None where it names none.
    n_columns
        How many there are, None where that is not known either.
    classes
        Of a classifier, its classes in the order of its probabilities; None of a regressor.
    """

    estimator: Any
    library: str
    columns: list[str] | None
    n_columns: int | None
    classes: list[Any] | None

    @property
    def is_ranker(self) -> bool:
        """Whether its number puts the entries of a list in order, and says nothing else."""
        return is_ranker(self.estimator)


def read_foreign(path: Path) -> Foreign:
    """Read a model file of another origin.

    Raises
    ------
    UsageError
        If there is no such file, it is of no format that is read, holds what is not trusted, or is damaged.
    """
    try:
        data = path.read_bytes()
    except OSError as error:
        raise UsageError(f"the model file {path} cannot be read: {error}.") from error
    reader = _reader_of(path, data)
    try:
        return reader(data)
    except ImportError as error:
        raise UsageError(f"{path.name} is read by a library that is not installed here: {error}.") from error
    except UsageError:
        raise
    except (*UNREADABLE, RuntimeError) as error:
        raise UsageError(f"{path.name} cannot be read ({type(error).__name__}: {str(error)[:300]}).") from error
    except Exception as error:
        # LightGBM's and onnxruntime's own errors derive from nothing else.
        if type(error).__module__.partition(".")[0] not in ("lightgbm", "onnxruntime"):
            raise
        raise UsageError(f"{path.name} cannot be read ({str(error)[:300]}).") from error


def _reader_of(path: Path, data: bytes) -> Callable[[bytes], Foreign]:
    if data.startswith(b"PK"):
        return _skops
    if data.startswith(b"tree\n") or data.startswith(b"tree\r\n"):
        return _lightgbm
    if data.lstrip()[:1] == b"{":
        return _xgboost
    if path.suffix == ".onnx":
        return _onnx
    raise UsageError(
        f"{path.name} is no model that is read: a skops file, what save_model of LightGBM (text) or XGBoost (JSON)"
        " writes, or trees in ONNX (.onnx)."
        " Pickle and joblib files run code when they are read, and are not."
    )


def _skops(data: bytes) -> Foreign:
    let_pandas_in()
    from skops.io import get_untrusted_types, loads

    held = list(get_untrusted_types(data=data))
    if unknown := [kind for kind in held if kind not in TRUSTED_TYPES]:
        raise UsageError(f"the model file holds types that are not trusted: {', '.join(unknown)}. It is not loaded.")
    estimator = loads(data, trusted=held)
    if not hasattr(estimator, "predict"):
        raise UsageError(f"the model file holds a {type(estimator).__name__}, which predicts nothing.")
    names = getattr(estimator, "feature_names_in_", None)
    n_columns = getattr(estimator, "n_features_in_", None)
    classes = list(estimator.classes_.tolist()) if hasattr(estimator, "predict_proba") else None
    columns = None if names is None else [str(name) for name in names]
    return Foreign(estimator, "scikit-learn", columns, None if n_columns is None else int(n_columns), classes)


def _lightgbm(data: bytes) -> Foreign:
    from lightgbm import Booster, LGBMClassifier, LGBMRanker, LGBMRegressor

    booster = Booster(model_str=data.decode())
    if getattr(booster, "pandas_categorical", None):
        raise UsageError("the model was trained on pandas' categories, whose numbers the file's columns do not tell.")
    objective = str(_objective_of(data.decode()))
    n_classes = max(2, int(booster.num_model_per_iteration()))
    is_classifier = objective in ("binary", "multiclass", "multiclassova", "cross_entropy")
    kind = LGBMRanker if objective in RANKING else LGBMClassifier if is_classifier else LGBMRegressor
    model = kind(verbose=-1)
    own = {"_Booster": booster, "fitted_": True, "_best_iteration": -1, "_objective": objective}
    own |= {"_n_features": booster.num_feature(), "_n_features_in": booster.num_feature()}
    if is_classifier:
        own |= {"_classes": np.arange(n_classes), "_n_classes": n_classes}
    model.__dict__.update(own)
    names = [str(name) for name in booster.feature_name()]
    are_made_up = names == [f"Column_{place}" for place in range(len(names))]
    classes = list(range(n_classes)) if is_classifier else None
    return Foreign(model, "LightGBM", None if are_made_up else names, len(names), classes)


def _objective_of(text: str) -> str:
    """Give the objective that a LightGBM model's header names."""
    for line in text.partition("\nTree=")[0].splitlines():
        if line.startswith("objective="):
            return line.partition("=")[2].split(" ")[0]
    raise UsageError("the model names no objective, so that it is not known what it predicts.")


def _xgboost(data: bytes) -> Foreign:
    from xgboost import XGBClassifier, XGBRanker, XGBRegressor

    told = json.loads(data)
    objective = str(told["learner"]["objective"]["name"])
    is_classifier = objective.startswith(("binary:", "multi:"))
    if objective in ("multi:softmax", "binary:hinge", "binary:logitraw"):
        raise UsageError(f"the model's objective is {objective}, which gives neither probabilities nor a number.")
    ranks = objective.startswith("rank:")
    model = (XGBRanker if ranks else XGBClassifier if is_classifier else XGBRegressor)()
    model.load_model(bytearray(data))
    booster = model.get_booster()
    if any(kind == "c" for kind in booster.feature_types or []):
        raise UsageError("the model was trained on categories, whose numbers the file's columns do not tell.")
    classes = list(model.classes_.tolist()) if is_classifier else None
    names = None if booster.feature_names is None else [str(name) for name in booster.feature_names]
    return Foreign(model, "XGBoost", names, booster.num_features(), classes)


def _onnx(data: bytes) -> Foreign:
    model, names, n_columns = read_onnx(data)
    classes = list(model.classes_.tolist()) if isinstance(model, OnnxClassifier) else None
    return Foreign(model, "ONNX", names, n_columns, classes)


def columns_of(found: Foreign, given: Sequence[str] | None, file: str) -> list[str]:
    """Give the columns that the model reads, in its order: as its file names them, or else as they are given.

    Raises
    ------
    UsageError
        If neither names them, both do and differ, or their number is not the model's.
    """
    if found.columns is not None:
        if given is not None and list(given) != found.columns:
            raise UsageError(f"{file} names its columns itself: {', '.join(found.columns)}. Leave --columns out.")
        return found.columns
    if given is None:
        raise UsageError(
            f"{file} does not say in which order its {found.n_columns or ''} columns come. Give --columns a,b,c, in the"
            " order of the training."
        )
    if found.n_columns is not None and len(given) != found.n_columns:
        raise UsageError(f"{file} reads {found.n_columns} columns, and --columns names {len(given)}.")
    return list(given)
