"""What is kept of the candidates of ranked lists: those that are listed, and all of a sample of the lists.

A list of the sample is kept whole, so that a version can be trained on it, and be measured on it as if it had written
it. Which lists these are depends on page and keys alone, by a hash that is the same in any version of DuckDB: not on
who wrote the page, nor on when.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import duckdb
import numpy as np
import numpy.typing as npt

from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.pages.profiling.in_passing import InPassing
from warehouse.pages.publishing import StagedRows
from warehouse.system_sql import exact_path, literal, parquet, quote_all, system_sql

_PARTS = 1_000_000
#: Rows of a row group, before they are cut.
_ROWS_AT_A_TIME = 131_072


def is_kept_whole(product: Product) -> str:
    """Give SQL of whether a row, which has the product's keys and `as_of`, is of a list that is kept whole."""
    ranking = product.ranking
    if ranking is None or ranking.keep >= 1:
        return "TRUE"
    text = f"concat_ws('|', as_of, {quote_all(ranking.keys)})"
    return f"md5_number_lower({text}) % {_PARTS} < {round(ranking.keep * _PARTS)}"


def keep_lists(
    cursor: duckdb.DuckDBPyConnection,
    product: Product,
    staged: Sequence[StagedRows],
    beside: Sequence[Path] = (),
    kept: npt.NDArray[np.bool_] | None = None,
    passing: InPassing | None = None,
) -> list[StagedRows]:
    """Cut staged feature pages to what is kept of them; they are written anew.

    Parameters
    ----------
    staged
        Feature pages, and predictions from them if there are any.
    beside
        Files of what arms list and do not serve: it may be given back, and then readers see it.
    kept
        Of the rows of the only staged feature page, in their order, which are kept, where that is known already.
    passing
        What profiles those that are kept, if it is wanted.

    Raises
    ------
    RunFailed
        If it is said of other rows.
    """
    if not product.keeps_part or product.ranking is None:
        return list(staged)
    listed = [*(file for rows in staged if rows.kind == "predictions" for file in rows.files), *beside]
    return [
        rows
        if rows.kind != "features"
        else _cut(cursor, product, rows, listed)
        if kept is None
        else _take(rows, kept, passing)
        for rows in staged
    ]


def _take(rows: StagedRows, kept: npt.NDArray[np.bool_], passing: InPassing | None) -> StagedRows:
    """Write those rows anew that are kept."""
    import pyarrow as pa
    import pyarrow.parquet as pq

    from warehouse.arrow_rows import chosen_rows

    file = rows.file.with_suffix(".kept.parquet")
    (page,) = rows.pages
    pages = [replace(page, n_rows=int(kept.sum()))]

    def chosen(staged: pq.ParquetFile) -> Iterator[pa.RecordBatch]:
        first = 0
        for batch in staged.iter_batches(_ROWS_AT_A_TIME):
            yield chosen_rows(batch, kept[first : first + batch.num_rows])
            first += batch.num_rows

    with pq.ParquetFile(rows.file) as staged:
        if staged.metadata.num_rows != len(kept):
            raise RunFailed(f"{rows.file.name} has {staged.metadata.num_rows} rows, and {len(kept)} were looked at.")
        texts = [field.name for field in staged.schema_arrow if pa.types.is_string(field.type)]
        with pq.ParquetWriter(file, staged.schema_arrow, compression="zstd", use_dictionary=texts) as writer:
            for batch in chosen(staged) if passing is None else passing.kept(pages, chosen(staged)):
                writer.write_batch(batch)
    rows.file.unlink()
    return replace(rows, file=file, pages=pages)


def _cut(cursor: duckdb.DuckDBPyConnection, product: Product, rows: StagedRows, listed: Sequence[Path]) -> StagedRows:
    assert product.ranking is not None
    file = rows.file.with_suffix(".kept.parquet")
    keys = quote_all(product.keys)
    shown = [f"SELECT as_of, {keys} FROM {parquet([each])}" for each in listed]
    statement = system_sql(
        "pages/kept",
        features=parquet(rows.files),
        list=quote_all(product.ranking.keys),
        keys=keys,
        is_kept=is_kept_whole(product),
        order="ORDER BY as_of" if len(rows.pages) > 1 else "",
        listed=" UNION ALL ".join(shown) or f"SELECT as_of, {keys} FROM features WHERE FALSE",
        file=literal(str(file)),
    )
    cursor.execute(statement)
    n_rows = dict(cursor.execute(system_sql("pages/staged"), [exact_path(file)]).fetchall())
    for each in rows.files:
        each.unlink()
    pages = [replace(page, n_rows=n_rows.get(page.as_of, 0)) for page in rows.pages]
    return replace(rows, file=file, others=(), held=None, pages=pages)
