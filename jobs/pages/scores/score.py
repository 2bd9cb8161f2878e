"""Scoring of pages: features stream as Arrow through a scorer into a staged file of predictions.

Reading, scoring and writing overlap (`jobs.scoring.stream`), and a handful of batches is all that is held of a page,
however large it is.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt

from jobs.models.columns.requirements import classes_of, quantiles_of
from jobs.models.kinds.figures import Target
from jobs.models.kinds.page_values import page_values
from warehouse.definitions import Product
from warehouse.errors import ScoringFailed
from warehouse.lake.registry import ARM_COLUMN, prediction_columns
from warehouse.ledger.records import ModelRecord
from warehouse.pages.lists.ranked import RankedLists
from warehouse.system_sql import exact_path, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.models.kinds.figures import Floats as Float64s
    from jobs.models.reasons.explaining import Reasons
    from jobs.scoring import Scorer
    from jobs.scoring.interface.scorer import Floats
    from warehouse.pages.profiling.in_passing import InPassing, Passing

#: Rows of a batch: small enough for the processor's caches, large enough to make the steps between cheap.
BATCH_ROWS = 65_536
#: How predictions are written that are published as they are, and candidates of lists, most of which go at once: to
#: write these and to read them again takes two thirds of the time.
_KEPT, SOON_READ = "zstd", "lz4"
#: So many rows are scored by the estimator too, before a version's compiled file is written.
SAMPLE_ROWS = 5_000


@dataclass(frozen=True)
class ScoredFile:
    """A staged file of predictions: its columns with their types.

    `crossed` counts by page the rows whose quantiles crossed, and were put in order. `n_rows` counts rows by page
    where lists were cut, so that it is not that of the features; None where it is. `files` are those that tasks have
    written; without any, it is the one file that was asked for. `relations` are what checks are to look at besides.
    """

    columns: dict[str, str]
    crossed: dict[datetime, int]
    n_rows: dict[datetime, int] | None = None
    files: tuple[Path, ...] = ()
    relations: Mapping[str, str] = field(default_factory=dict)


@dataclass
class Sifted:
    """Candidates of lists that were scored while they were made.

    Attributes
    ----------
    scorer
        What scored them; None as long as they did not all come through.
    relations
        What checks are to look at besides: where not all of them were staged, how many each list has.
    kept
        Where not all were staged, which of those that were are kept though they may not be listed. What is listed is
        noted there as it is ranked.
    """

    scorer: Scorer | None = None
    relations: dict[str, str] = field(default_factory=dict)
    kept: npt.NDArray[np.bool_] | None = None


def score_pages(
    cursor: duckdb.DuckDBPyConnection,
    product: Product,
    model: ModelRecord,
    scorer: Scorer,
    features: str,
    file: Path,
    constants: dict[str, Any],
    done: Callable[[int], None],
    reasons: Reasons | None = None,
    passing: InPassing | None = None,
    sifted: Sifted | None = None,
) -> ScoredFile:
    """Score every row of a relation and stage the predictions.

    Parameters
    ----------
    cursor
        Where `features` can be read.
    product, model, scorer
        Whose predictions, by which version, made ready how.
    features
        SQL of a relation of feature pages: keys, as_of, valid_until, and the model's features.
    file, constants
        The Parquet file to write, and columns that are the same on every row: run_id, published_at.
    done
        Told how many rows have been scored and written, batch by batch.
    reasons, passing
        What explains them, and what profiles the features as they are read, if either is wanted; of lists it does not.
    sifted
        Given if all that may be listed has been scored (`jobs.pages.scores.sifted`), and lies beside `file`.

    Raises
    ------
    ScoringFailed
        If the relation lacks one of the model's features, or the model refuses a row.
    """
    rows = prediction_rows(product, model, constants, reasons)
    wanted = list(dict.fromkeys([*rows.looked_up_by, *model.features]))

    def write(relation: str, to: Path, rows: PredictionRows, compression: str) -> None:
        _write(_read(cursor, model, wanted, relation, passing), scorer, rows, to, done, compression)

    n_rows = None
    passing = passing if product.ranking is None else None
    if product.ranking is None:
        write(features, file, rows, _KEPT)
    else:
        lists = RankedLists(cursor, product, product.ranking, file, sifted.kept if sifted is not None else None)
        if sifted is None:
            write(features, lists.scored, replace(rows, reasons=None), SOON_READ)
            lists.cut()
        if reasons is not None:
            # Only what is listed is explained, which takes much longer than to score it.
            write(lists.listed_of(features), lists.scored, rows, SOON_READ)
        n_rows = _write_listed(cursor, lists, rows, file)
    described = cursor.execute("DESCRIBE SELECT * FROM read_parquet($1)", [exact_path(file)]).fetchall()
    return ScoredFile({str(row[0]): str(row[1]) for row in described}, dict(rows.crossed), n_rows)


def _read(
    cursor: duckdb.DuckDBPyConnection,
    model: ModelRecord,
    wanted: Sequence[str],
    features: str,
    passing: InPassing | None,
) -> pa.RecordBatchReader | Passing:
    if passing is None:
        return _query(cursor, model, wanted, features).to_arrow_reader(BATCH_ROWS)
    more = passing.sql_of_more(wanted)
    return passing.counted(_query(cursor, model, wanted, features, more).to_arrow_reader(BATCH_ROWS), wanted)


def _write(
    reader: pa.RecordBatchReader | Passing,
    scorer: Scorer,
    rows: PredictionRows,
    file: Path,
    done: Callable[[int], None],
    compression: str,
) -> None:
    """Score a stream and write it as rows of the predictions table."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from jobs.models.reasons.column import encodings
    from jobs.scoring import score_stream

    nothing = pa.RecordBatch.from_pylist([], reader.schema)
    schema = rows.of(nothing, scorer.predict(nothing)).schema
    explains = rows.reasons is not None and rows.reasons.explainer is not None
    with (
        contextlib.closing(score_stream(reader, scorer, rows.of, done, 2 if explains else 1)) as batches,
        pq.ParquetWriter(file, schema, compression=compression, **encodings(schema)) as writer,
    ):
        for batch in batches:
            writer.write_batch(batch)


def _write_listed(
    cursor: duckdb.DuckDBPyConnection, lists: RankedLists, rows: PredictionRows, file: Path
) -> dict[datetime, int]:
    """Write what is listed of what was scored, list by list, and count it by page."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from jobs.models.reasons.column import encodings

    listed = lists.listed()
    schema = rows.finished(pa.RecordBatch.from_pylist([], listed.schema)).schema
    with pq.ParquetWriter(file, schema, compression=_KEPT, **encodings(schema)) as writer:
        for batch in listed:
            writer.write_batch(rows.finished(batch))
    lists.scored.unlink()
    return dict(cursor.execute(system_sql("pages/staged"), [exact_path(file)]).fetchall())


def sample_rows(cursor: duckdb.DuckDBPyConnection, model: ModelRecord, features: str) -> pa.Table:
    """Give some rows of a relation of feature pages, with a model's features only: what its scorer is compared on."""
    return _query(cursor, model, model.features, f"{features} LIMIT {SAMPLE_ROWS}").to_arrow_table()


def sample_of(rows: pa.RecordBatch, model: ModelRecord) -> pa.Table:
    """Give such a sample of rows that were read already.

    Raises
    ------
    ScoringFailed
        If they lack one of the model's features.
    """
    import pyarrow as pa

    if missing := [name for name in model.features if name not in rows.schema.names]:
        raise ScoringFailed(
            f"{model.product} {model.version} needs features that the product no longer has: {missing}."
        )
    return pa.Table.from_batches([rows.select(list(model.features)).slice(0, SAMPLE_ROWS)])


def _query(
    cursor: duckdb.DuckDBPyConnection, model: ModelRecord, columns: Sequence[str], features: str, more: str = ""
) -> duckdb.DuckDBPyConnection:
    try:
        return cursor.execute(system_sql("pages/scored", columns=quote_all(columns) + more, features=features))
    except duckdb.BinderException as error:
        raise ScoringFailed(
            f"{model.product} {model.version} needs a feature that the product no longer has: {error}. Train a new"
            f" version: almanac train {model.product}"
        ) from error


def prediction_rows(
    product: Product, model: ModelRecord, constants: dict[str, Any], reasons: Reasons | None = None
) -> PredictionRows:
    """Give what makes rows of a version's predictions; see `score_pages` for what it takes."""
    learnt = classes_of(model), product.quantiles, quantiles_of(model)
    target = Target(product.kind.name, product.classes, *learnt)
    return PredictionRows(product, model, [*product.keys, "as_of", "valid_until"], constants, reasons, target)


@dataclass(frozen=True)
class PredictionRows:
    """Turns a batch of features and its predictions into rows of the predictions table."""

    product: Product
    model: ModelRecord
    looked_up_by: list[str]
    constants: dict[str, Any]
    reasons: Reasons | None
    target: Target
    crossed: Counter[datetime] = field(default_factory=Counter)

    def of(self, batch: pa.RecordBatch, predictions: Floats) -> pa.RecordBatch:
        """Put the rows together: what they are looked up by, the score, and what they come from.

        Of ranked lists that is left for `finished`, since few of all candidates are written.
        """
        self._count_crossed(batch, predictions)
        found = self.of_scores(batch, self.target.scores(predictions))
        return found if self.product.ranking is not None else self.finished(found)

    def of_scores(self, batch: pa.RecordBatch, score: Float64s) -> pa.RecordBatch:
        """Give what rows are looked up by, and what `Target.scores` says of them."""
        import pyarrow as pa

        values: dict[str, pa.Array] = {name: batch.column(name) for name in self.looked_up_by}
        values |= page_values(score, self.target)
        if self.reasons is not None:
            values["reasons"] = self.reasons.column(batch, score)
        return pa.record_batch(values)

    def finished(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Add to rows what they come from."""
        import pyarrow as pa

        from jobs.scoring.interface.arrow_functions import less

        values = dict(zip(batch.schema.names, batch.columns, strict=True))
        for name, value in {"model_version": self.model.version, **self.constants}.items():
            scalar = pa.scalar(value, pa.timestamp("us") if isinstance(value, datetime) else pa.string())
            values[name] = pa.repeat(scalar, batch.num_rows)
        cutoff = pa.scalar(self.model.writes_from, pa.timestamp("us"))
        values["hindsight"] = less(batch.column("as_of"), cutoff)
        names = [*self.product.keys, *prediction_columns(self.product.columns_of_kind, self.reasons is not None)]
        names += [name for name in ARM_COLUMN if name in self.constants]
        return pa.record_batch({name: values[name] for name in names if name in values})

    def _count_crossed(self, batch: pa.RecordBatch, predictions: Floats) -> None:
        """Note the rows whose quantiles cross, by page. One thread makes all rows, if there are no reasons (`_write`).

        Quantiles have none.
        """
        crossed = self.target.crossed(predictions)
        if crossed.any():
            import pyarrow as pa
            import pyarrow.compute as pc

            counts = pc.value_counts(batch.column("as_of").filter(pa.array(crossed))).to_pylist()
            self.crossed.update({row["values"]: row["counts"] for row in counts})
