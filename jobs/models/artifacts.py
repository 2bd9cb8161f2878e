"""A model version on disk: a skops file and a manifest of what it must hash to.

Nothing is ever unpickled. A file is loaded only if the ledger's record, the manifest and the bytes agree, if
it was made by this suite, and if it holds none but the types listed here (and those of the module that the
product's own estimator comes from).
"""

from __future__ import annotations

import hashlib
import json
from pathlib import Path
from typing import Any

from jobs.models.estimators import importing_from
from warehouse.errors import ScoringFailed, UsageError
from warehouse.ledger import ModelRecord

MODEL_FILE, MANIFEST_FILE = "model.skops", "manifest.json"

#: What models hold besides the types that skops trusts of itself: plain numbers and arrays under the libraries' own
#: names. Fixed: a file cannot add to it.
TRUSTED_TYPES = frozenset(
    {
        "functools.partial",  # of check_array, below; skops asks for the function's name too
        "collections.OrderedDict",
        "collections.defaultdict",
        "numpy.dtype",
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
        "sklearn.calibration._CalibratedClassifier",
        "sklearn.calibration._SigmoidCalibration",
        "sklearn.compose._column_transformer._RemainderColsList",
        "sklearn.ensemble._hist_gradient_boosting.binning._BinMapper",
        "sklearn.ensemble._hist_gradient_boosting.predictor.TreePredictor",
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
)


def write_model(estimator: Any, directory: Path, name: str) -> None:
    """Write a fitted estimator into `directory`. This takes a while, so do it before the lake is locked.

    Parameters
    ----------
    estimator
        Fitted.
    directory
        Made if it is not there.
    name
        The estimator as product.yaml names it.

    Raises
    ------
    UsageError
        If it holds a type that would not be loaded again.
    """
    from skops.io import dump

    directory.mkdir(parents=True, exist_ok=True)
    dump(estimator, directory / MODEL_FILE)
    if unknown := untrusted_types(directory / MODEL_FILE, name):
        raise UsageError(
            f"the estimator `{name}` holds types that are not trusted in a model file: {', '.join(unknown)}. Give"
            " `model.estimator` an import path into the module that they come from, or use another estimator."
        )


def write_manifest(directory: Path, suite_id: str, product: str, version: str) -> str:
    """Write the manifest of a model that `write_model` has written; give its own SHA-256."""
    files = {MODEL_FILE: _sha256(directory / MODEL_FILE)}
    manifest = {"suite": suite_id, "product": product, "version": version, "files": files}
    text = json.dumps(manifest, indent=2, sort_keys=True)
    (directory / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return hashlib.sha256(text.encode()).hexdigest()


def read_artifact(record: ModelRecord, root: Path, suite_id: str) -> Any:
    """Load the estimator of a version, after every check; see `verify_artifact` and `load_estimator`."""
    verify_artifact(record, root, suite_id)
    return load_estimator(record, root)


def verify_artifact(record: ModelRecord, root: Path, suite_id: str) -> str:
    """Give the SHA-256 of a version's model file, which is the one that the ledger records.

    Parameters
    ----------
    record
        The version.
    root
        The lake's directory.
    suite_id
        The suite's, by the lake.

    Raises
    ------
    ScoringFailed
        If a file is missing or any byte of it has changed.
    UsageError
        If it was made by another suite.
    """
    name, directory = f"{record.product} {record.version}", root / record.artifact
    try:
        text = (directory / MANIFEST_FILE).read_text(encoding="utf-8")
        found = {MODEL_FILE: _sha256(directory / MODEL_FILE)}
    except OSError as error:
        raise ScoringFailed(f"the model {name} cannot be read: {error}. Restore {directory}, or train anew.") from error
    manifest = json.loads(text) if hashlib.sha256(text.encode()).hexdigest() == record.sha256 else {}
    if manifest.get("files") != found:
        raise ScoringFailed(
            f"the model {name} in {directory} is not the one that the ledger records: its bytes have changed."
            " Restore it from a copy, or train anew."
        )
    if manifest["suite"] != suite_id:
        raise UsageError(f"the model {name} was made by another suite; train one here.")
    return found[MODEL_FILE]


def load_estimator(record: ModelRecord, root: Path) -> Any:
    """Load the estimator of a version whose artifact was verified; see `verify_artifact`.

    Raises
    ------
    UsageError
        If it holds a type that is not trusted, or its module cannot be imported.
    """
    from skops.io import get_untrusted_types, load
    from skops.io.exceptions import UntrustedTypesFoundException

    name, file = f"{record.product} {record.version}", root / record.artifact / MODEL_FILE
    if unknown := untrusted_types(file, record.estimator):
        raise UsageError(f"the model {name} holds types that are not trusted: {', '.join(unknown)}. It is not loaded.")
    try:
        with importing_from(root.parent):
            return load(file, trusted=get_untrusted_types(file=file))
    except (UntrustedTypesFoundException, ImportError) as error:
        raise UsageError(f"the model {name} is not loaded: {error}.") from error


def untrusted_types(file: Path, estimator: str) -> list[str]:
    """Give the types in a model file that are neither trusted here nor the estimator's own module's.

    Parameters
    ----------
    file
        Written by `write_model`.
    estimator
        As product.yaml names it; of an import path, the module's types are trusted.
    """
    from skops.io import get_untrusted_types

    own = f"{estimator.partition(':')[0]}." if ":" in estimator else None
    held = get_untrusted_types(file=file)
    return [kind for kind in held if kind not in TRUSTED_TYPES and (own is None or not kind.startswith(own))]


def _sha256(path: Path) -> str:
    with path.open("rb") as stream:
        return hashlib.file_digest(stream, "sha256").hexdigest()
