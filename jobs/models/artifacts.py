"""A model version on disk: a skops file, its compiled file, what validation held out, and a manifest of their hashes.

Nothing is ever unpickled. A file is read once, into memory, and used only if the ledger's record, the manifest and
those bytes agree, if it was made by this suite for this version, and if it holds none but the types listed here
(and those of the modules that the product's own estimator and steps come from).
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from jobs.models.libraries import LIBRARIES
from jobs.models.pipelines import importing_from
from warehouse.errors import ScoringFailed, UsageError
from warehouse.lake.storage.choice import storage_of
from warehouse.ledger.records import ModelRecord
from warehouse.without_pandas import let_pandas_in

if TYPE_CHECKING:
    import pyarrow as pa

MODEL_FILE, HELD_OUT_FILE, MANIFEST_FILE = "model.skops", "held_out.parquet", "manifest.json"
#: What scores without scikit-learn, see docs/compiled_model.md. Models that cannot be compiled have none.
COMPILED_FILE = "compiled.safetensors"
#: The text of a version that is a rule in SQL; such a version has none of the others.
RULE_FILE = "rule.sql"

#: What registered estimators and steps hold besides the types that skops trusts of itself. Fixed: a file cannot add
#: to it.
TRUSTED_TYPES = frozenset(
    {
        "collections.OrderedDict",
        "collections.defaultdict",
        "functools.partial",  # of scikit-learn's check_array; skops asks for the function's name too
        "jobs.models.cleaning.Clip",  # where it was when earlier versions stored it
        "jobs.models.clipping.Clip",
        "jobs.models.libraries.onnx_trees.OnnxClassifier",
        "jobs.models.libraries.onnx_trees.OnnxRegressor",
        "jobs.models.quantile_models.ConformalQuantiles",
        "jobs.models.quantile_models.QuantileModels",
        "numpy.dtype",
    }
).union(*(library.trusted_types for library in LIBRARIES))

#: What zipfile, json and skops raise over a file that is not what they expect. Neither has one error of its own.
UNREADABLE = (
    zipfile.BadZipFile,
    ArithmeticError,
    AttributeError,
    EOFError,
    LookupError,
    NotImplementedError,
    OSError,
    TypeError,
    ValueError,
)


def write_model(
    estimator: Any,
    directory: Path,
    name: str,
    pipeline: str | None = None,
    held_out: pa.Table | None = None,
    compiled: bytes | None = None,
) -> None:
    """Write a fitted estimator into `directory`, its compiled file, and the predictions of what validation held out.

    This takes a while, so do it before the lake is locked.

    Parameters
    ----------
    estimator
        Fitted.
    directory
        Made if it is not there.
    name, pipeline
        The estimator as product.yaml names it, and the declared steps as the ledger keeps them.
    held_out
        Keys, as_of, label and score.
    compiled
        The bytes of the compiled file, None where there is none.

    Raises
    ------
    UsageError
        If it holds a type that would not be loaded again.
    """
    import pyarrow.parquet as pq
    from skops.io import dump

    directory.mkdir(parents=True, exist_ok=True)
    dump(estimator, directory / MODEL_FILE)
    if unknown := _untrusted(_held_types((directory / MODEL_FILE).read_bytes()), name, pipeline):
        raise UsageError(
            f"the estimator `{name}` holds types that are not trusted in a model file: {', '.join(unknown)}. Give"
            " `model.estimator` an import path into the module that they come from, or use another estimator."
        )
    if held_out is not None:
        pq.write_table(held_out, directory / HELD_OUT_FILE, compression="zstd")
    if compiled is not None:
        (directory / COMPILED_FILE).write_bytes(compiled)


def write_rule(text: str, directory: Path) -> None:
    """Write the text of a version that is a rule into `directory`, which is made if it is not there."""
    directory.mkdir(parents=True, exist_ok=True)
    (directory / RULE_FILE).write_text(text, encoding="utf-8")


def read_rule(record: ModelRecord, lake_root: Path, suite_id: str) -> str:
    """Read the text of a version that is a rule; see `read_artifact` for what is looked at, and what it raises."""
    return _verified(record, lake_root, suite_id, RULE_FILE).decode()


def write_manifest(directory: Path, suite_id: str, product: str, version: str) -> str:
    """Write the manifest of what `write_model` or `write_rule` has written; give its own SHA-256."""
    names = [name for name in (MODEL_FILE, COMPILED_FILE, HELD_OUT_FILE, RULE_FILE) if (directory / name).exists()]
    files = {name: _sha256((directory / name).read_bytes()) for name in names}
    manifest = {"suite": suite_id, "product": product, "version": version, "files": files}
    text = json.dumps(manifest, indent=2, sort_keys=True)
    (directory / MANIFEST_FILE).write_text(text, encoding="utf-8")
    return _sha256(text.encode())


def read_artifact(record: ModelRecord, lake_root: Path, suite_id: str) -> Any:
    """Load the estimator of a version from where the ledger says that it lies, after every check.

    Parameters
    ----------
    record
        The version.
    lake_root
        The lake's directory.
    suite_id
        The suite's, by the lake.

    Raises
    ------
    ScoringFailed
        If a file is missing, any byte of it has changed, or it is no skops file.
    UsageError
        If it was made by another suite or for another version, or holds a type that is not trusted or cannot be
        imported.
    """
    let_pandas_in()
    from skops.io import loads
    from skops.io.exceptions import UntrustedTypesFoundException

    name = f"{record.product} {record.version}"
    data = _verified(record, lake_root, suite_id, MODEL_FILE)
    try:
        found = _held_types(data)
        if unknown := _untrusted(found, record.estimator, record.pipeline):
            listed = ", ".join(unknown)
            raise UsageError(f"the model {name} holds types that are not trusted: {listed}. It is not loaded.")
        with importing_from(lake_root.parent):
            return loads(data, trusted=found)
    except (UntrustedTypesFoundException, ImportError) as error:
        raise UsageError(f"the model {name} is not loaded: {error}.") from error
    except UNREADABLE as error:
        raise ScoringFailed(
            f"the model {name} in {record.artifact} is no skops file that can be read here ({type(error).__name__}:"
            f" {error}). It is not loaded. Restore it from a copy, or train anew."
        ) from error


def verify_artifact(record: ModelRecord, lake_root: Path, suite_id: str) -> str:
    """Give the SHA-256 of a version's model file, which is the one that the ledger records; see `read_artifact`."""
    return _sha256(_verified(record, lake_root, suite_id, MODEL_FILE))


def read_held_out(record: ModelRecord, lake_root: Path, suite_id: str) -> pa.Table | None:
    """Read what a version's validation held out: keys, as_of, label and score; None if it held nothing out.

    Raises
    ------
    ScoringFailed, UsageError
        As `read_artifact`.
    """
    import pyarrow.parquet as pq

    if HELD_OUT_FILE not in _manifest(record, lake_root, suite_id)["files"]:
        return None
    return pq.read_table(io.BytesIO(_verified(record, lake_root, suite_id, HELD_OUT_FILE)))


def manifest_files(record: ModelRecord, lake_root: Path, suite_id: str) -> dict[str, str]:
    """Give the SHA-256 of each of a version's files by its name, of its manifest; see `read_artifact`."""
    return dict(_manifest(record, lake_root, suite_id)["files"])


def _manifest(record: ModelRecord, lake_root: Path, suite_id: str) -> dict[str, Any]:
    """Read a version's manifest, if it is the one that the ledger records and belongs to this suite and version."""
    text = artifact_bytes(record, lake_root, MANIFEST_FILE)
    if _sha256(text) != record.sha256:
        raise _changed(record)
    manifest = dict(json.loads(text))
    name = f"{record.product} {record.version}"
    if manifest["suite"] != suite_id:
        raise UsageError(f"the model {name} was made by another suite; train one here.")
    if (manifest["product"], manifest["version"]) != (record.product, record.version):
        found = f"{manifest['product']} {manifest['version']}"
        raise UsageError(f"the artifact of {name} is that of {found}. It is not loaded; train anew.")
    return manifest


def _verified(record: ModelRecord, lake_root: Path, suite_id: str, file: str) -> bytes:
    """Give the bytes of one of a version's files, which are those that the manifest names."""
    expected = _manifest(record, lake_root, suite_id)["files"].get(file)
    data = artifact_bytes(record, lake_root, file)
    if _sha256(data) != expected:
        raise _changed(record)
    return data


def artifact_bytes(record: ModelRecord, lake_root: Path, file: str) -> bytes:
    """Read a file, if it lies where artifacts lie: neither the ledger's path nor a link leads elsewhere."""
    home = (lake_root / "artifacts" / record.product).resolve()
    name = f"{record.product} {record.version}"
    try:
        path = (lake_root / record.artifact / file).resolve()
        if not path.is_relative_to(home) or path.name != file:
            raise UsageError(
                f"the model {name} is said to lie in {record.artifact}, which leads out of {home}. It is not loaded;"
                " train anew."
            )
        storage_of(lake_root).fetch(f"{record.artifact}/{file}")
        return path.read_bytes()
    except (OSError, ValueError) as error:
        raise ScoringFailed(
            f"the model {name} cannot be read: {error}. Restore {record.artifact}, or train anew."
        ) from error


def _changed(record: ModelRecord) -> ScoringFailed:
    return ScoringFailed(
        f"the model {record.product} {record.version} in {record.artifact} is not the one that the ledger records: its"
        " bytes have changed. Restore it from a copy, or train anew."
    )


def _held_types(data: bytes) -> list[str]:
    """Name the types in a model file that skops does not trust of itself."""
    from skops.io import get_untrusted_types

    return list(get_untrusted_types(data=data))


def _untrusted(held: Iterable[str], estimator: str, pipeline: str | None) -> list[str]:
    """Leave out the types that are trusted here, and those of modules that the product itself names."""
    own = tuple(f"{module}." for module in _own_modules(estimator, pipeline))
    return [kind for kind in held if kind not in TRUSTED_TYPES and not kind.startswith(own)]


def _own_modules(estimator: str, pipeline: str | None) -> Iterable[str]:
    declared = json.loads(pipeline) if pipeline else None
    if isinstance(declared, str):
        steps = [declared]
    else:
        steps = [step["step"] for part in (declared or {}).values() for step in part]
    for path in (estimator, *steps):
        if ":" in path:
            yield path.partition(":")[0]


def _sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()
