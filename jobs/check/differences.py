"""What differs between production's pages and the working copy's: columns, rows, labels and predictions.

The pages before are those at a snapshot of the scratch lake, the pages after those at its newest. Nothing but counts
and the rows that changed most comes to Python.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from datetime import datetime
from pathlib import Path

import duckdb

from jobs.check.results import ColumnChange, PredictionsChange, RowsChange
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.lake.lake import table_columns
from warehouse.pages.labels import compute_labels
from warehouse.pages.profiles import is_number
from warehouse.pages.side_by_side import SideBySide
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import exact_path, literal, quote, system_sql

_SHOWN_ROWS = 5
_INEXACT = ("DOUBLE", "FLOAT")
#: Sums of DOUBLE depend on the order of threads: closer than this, relative to the larger, is equal.
_TOLERANCE = "1e-9"
_NOT_FEATURES = ("as_of", "valid_until")


class PagesBothWays:
    """The same pages of a product, before and after, as SQL."""

    def __init__(
        self, connection: duckdb.DuckDBPyConnection, product: Product, pages: Sequence[datetime], snapshot_before: int
    ) -> None:
        self.connection, self.product = connection, product
        self._before = snapshot_before
        self._pages = ", ".join(timestamp_literal(page) for page in pages)

    @property
    def by(self) -> list[str]:
        """The columns by which rows are matched."""
        return [*self.product.keys, "as_of"]

    @property
    def match(self) -> str:
        """Give the condition by which they are."""
        return " AND ".join(f"before.{quote(name)} IS NOT DISTINCT FROM after.{quote(name)}" for name in self.by)

    def before(self, kind: str) -> str:
        """Give SQL of the rows before, of features or predictions."""
        table = f"{kind}.{quote(self.product.name)} AT (VERSION => {self._before})"
        return f"(SELECT * FROM {table} WHERE as_of IN ({self._pages}))"

    def after(self, kind: str) -> str:
        """Give SQL of the rows after."""
        return f"(SELECT * FROM {kind}.{quote(self.product.name)} WHERE as_of IN ({self._pages}))"

    def rows(self) -> RowsChange:
        """Count the entities that came and went."""
        query = system_sql("check/rows", before=self.before("features"), after=self.after("features"), match=self.match)
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return RowsChange(*row)

    def columns(self, before: Mapping[str, str], after: Mapping[str, str]) -> list[ColumnChange]:
        """Compare the columns of feature pages, the most changed first.

        Parameters
        ----------
        before, after
            Those that either set of definitions gives, with their types. The lake keeps columns that are gone.
        """
        own = {*self.product.keys, *_NOT_FEATURES}
        found = [ColumnChange(name, "added", after=kind) for name, kind in after.items() if name not in before]
        found += [ColumnChange(name, "removed", before=kind) for name, kind in before.items() if name not in after]
        both = [name for name in after if name in before and name not in own]
        found += [
            ColumnChange(name, "retyped", before[name], after[name]) for name in both if before[name] != after[name]
        ]
        stored = table_columns(self.connection, "features", self.product.name)
        return found + self._values([name for name in both if name in stored], stored)

    def _values(self, names: Sequence[str], stored: Mapping[str, str]) -> list[ColumnChange]:
        if not names:
            return []
        figures = ", ".join(_figures(name, stored[name]) for name in names)
        parts = {"before": self.before("features"), "after": self.after("features"), "match": self.match}
        row = self.connection.execute(system_sql("check/columns", figures=figures, **parts)).fetchone()
        assert row is not None
        n_rows, counts = row[0], list(zip(names, row[1::2], row[2::2], strict=True))
        changed = [
            ColumnChange(name, "values", n_rows=n, share=n / n_rows, largest=most) for name, n, most in counts if n
        ]
        return sorted(changed, key=lambda one: (-one.share, -(one.largest or 0.0), one.column))

    def predictions(self) -> PredictionsChange:
        """Compare what is predicted, the largest change first."""
        sides = self.before("predictions"), self.after("predictions")
        compared = SideBySide.of(self.connection, self.product, *sides, self.by)
        figures = compared.figures()
        n_all = sum(figures[name] for name in ("n_same", "n_changed", "n_came", "n_went"))
        n_other = n_all - figures["n_same"]
        listed = compared.listed("changed", _SHOWN_ROWS)
        first = [
            {name.removeprefix("almanac: "): value for name, value in row.items() if name != "almanac: what"}
            for row in listed
        ]
        return PredictionsChange(
            figures["n_same"],
            figures["n_changed"],
            figures["n_came"],
            figures["n_went"],
            n_other / n_all if n_all else 0.0,
            figures["largest_change"],
            figures["mean_change"],
            first,
        )

    def labels(self, before: Path, after: Path) -> RowsChange:
        """Compare labels, staged in files."""
        one, other = (f"(FROM read_parquet({literal(exact_path(file))}))" for file in (before, after))
        query = system_sql("check/labels", before=one, after=other, match=self.match)
        row = self.connection.execute(query).fetchone()
        assert row is not None
        return RowsChange(row[0], row[1], row[3], row[4], row[2])


def _figures(name: str, kind: str) -> str:
    """Give SQL of in how many rows a column differs, and by how much at most."""
    before, after = f"before.{quote(name)}", f"after.{quote(name)}"
    differs = f"{before} IS DISTINCT FROM {after}"
    if kind in _INEXACT:
        scale = f"{_TOLERANCE} * greatest(abs({before}), abs({after}))"
        differs += f" AND NOT coalesce(abs({before} - {after}) <= {scale}, false)"
    largest = f"max(abs({before}::DOUBLE - {after}::DOUBLE))" if is_number(kind) else "NULL::DOUBLE"
    return f"count(*) FILTER ({differs}), {largest}"


def stage_labels(suite: Suite, product: Product, pages: Sequence[datetime], file: Path) -> Path:
    """Work out the labels of some pages, as known now, under a suite's definitions; give the file."""
    with contextlib.closing(Sandbox(suite.lake)) as sandbox:
        compute_labels(sandbox, suite.definitions, product, pages, suite.clock(), file)
    return file
