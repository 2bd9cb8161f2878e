"""The compiled file of a model version: where it lies, how it is read, and how versions without one get theirs.

A version that was registered before there were such files gets one at its next scoring: it is compiled, compared with
its estimator on the rows to be scored, and recorded in the commit that publishes them.
"""

from __future__ import annotations

import hashlib
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import duckdb

from jobs.models.artifacts import COMPILED_FILE, artifact_bytes, manifest_files
from warehouse.errors import ScoringFailed
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.scoring import Scorer


@dataclass(frozen=True)
class CompiledRecord:
    """A compiled file that was written after its version was registered; `n_rows` were compared before."""

    TABLE: ClassVar[str] = "compiled_models"
    product: str
    version: str
    file: str
    sha256: str
    format: int
    n_rows: int
    run_id: str
    written_at: datetime
    snapshot_id: int


@dataclass(frozen=True)
class CompiledFile:
    """Where the compiled file of a version lies, beside its artifact, and what it hashes to."""

    name: str
    sha256: str


def compiled_file(
    connection: duckdb.DuckDBPyConnection, record: ModelRecord, lake_root: Path, suite_id: str
) -> CompiledFile | None:
    """Give the compiled file of a version, None if it has none.

    Raises
    ------
    ScoringFailed, UsageError
        The manifest is not the one that the ledger records; see `jobs.models.artifacts.read_artifact`.
    """
    files = manifest_files(record, lake_root, suite_id)
    if COMPILED_FILE in files:
        return CompiledFile(COMPILED_FILE, files[COMPILED_FILE])
    later = ledger.records_of(connection, CompiledRecord, "ledger/compiled_models", [record.product, record.version])
    return CompiledFile(later[-1].file, later[-1].sha256) if later else None


def verify_file(record: ModelRecord, lake_root: Path, file: CompiledFile) -> str:
    """Give the SHA-256 of a version's compiled file, which is the one that was recorded."""
    compiled_bytes(record, lake_root, file)
    return file.sha256


def compiled_bytes(record: ModelRecord, lake_root: Path, file: CompiledFile) -> bytes:
    """Give a version's compiled file, which is the one that was recorded.

    Raises
    ------
    ScoringFailed
        It is missing, or has changed.
    """
    data = artifact_bytes(record, lake_root, file.name)
    if hashlib.sha256(data).hexdigest() != file.sha256:
        raise ScoringFailed(
            f"the compiled file {record.artifact}/{file.name} of {record.product} {record.version} is not the one that"
            " was recorded: its bytes have changed. Restore it from a copy, or train anew."
        )
    return data


def read_compiled(record: ModelRecord, lake_root: Path, file: CompiledFile, load: Callable[[], Any]) -> Scorer:
    """Make the scorer of a version's compiled file, after every check.

    Parameters
    ----------
    record, lake_root, file
        Whose, and where.
    load
        Gives the version's estimator, for columns of types that the file was not written for.

    Raises
    ------
    ScoringFailed
        The file is missing, has changed, is damaged, or is of another version.
    """
    from jobs.scoring.compiled import scorer_of_file
    from jobs.scoring.files.tensors import DamagedModel

    where = f"{record.artifact}/{file.name}"
    data = compiled_bytes(record, lake_root, file)
    try:
        scorer = scorer_of_file(data, load)
    except DamagedModel as error:
        raise ScoringFailed(
            f"the compiled file {where} of {record.product} {record.version} is not read: {error}. Restore it from a"
            " copy, or train anew."
        ) from error
    if list(scorer.feature_names) != list(record.features):
        raise ScoringFailed(
            f"the compiled file {where} of {record.product} {record.version} is of another model: it reads"
            f" {', '.join(scorer.feature_names)}. Restore it from a copy, or train anew."
        )
    return scorer


@dataclass(frozen=True)
class LateFile:
    """A compiled file that is to be recorded with the next commit: its bytes, and on how many rows it was compared."""

    record: ModelRecord
    data: bytes
    n_rows: int

    def ahead(self, run_id: str, directory: Path) -> dict[str, Path]:
        """Stage the file in a directory, and name it for `Lake.commit`, which sends it ahead."""
        staged = directory / f"{self.record.version}-{_name(run_id)}"
        staged.write_bytes(self.data)
        return {f"{self.record.artifact}/{_name(run_id)}": staged}

    def commit(self, commit: Commit, lake_root: Path, run_id: str, now: datetime) -> None:
        """Put the file beside the version's artifact, and record it in a commit."""
        from jobs.scoring.files.model_file import VERSION

        name = _name(run_id)
        (lake_root / self.record.artifact / name).write_bytes(self.data)
        commit.turn.keep(f"{self.record.artifact}/{name}")
        digest = hashlib.sha256(self.data).hexdigest()
        product, version = self.record.product, self.record.version
        ledger.append(
            commit,
            [CompiledRecord(product, version, name, digest, VERSION, self.n_rows, run_id, now, commit.snapshot_id)],
        )


def _name(run_id: str) -> str:
    return f"compiled-{run_id}.safetensors"


def compile_late(record: ModelRecord, estimator: Any, sample: pa.Table) -> tuple[Scorer, LateFile | None]:
    """Compile a version that has no file, and compare it with its estimator.

    Parameters
    ----------
    record
        A version that was registered with a compiled scorer.
    estimator
        Its estimator.
    sample
        Rows to be scored.

    Returns
    -------
    tuple
        The scorer to use, and the file to commit; None where no file can hold the model, or it does not agree.
    """
    from jobs.scoring import ready_scorer

    with warnings.catch_warnings():
        warnings.simplefilter("default")
        scorer, report = ready_scorer(estimator, record.features, sample)
    filed = getattr(scorer, "filed", None)
    if filed is None or report is None:
        return scorer, None
    return scorer, LateFile(record, filed, report.rows)
