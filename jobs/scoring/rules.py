"""A scorer that is a text of SQL: one expression over each row of a page, asked of DuckDB batch by batch.

The text was checked to look at no other row (`warehouse.queries.row_wise`). That it gives each row of a batch its own
answer is seen again at each batch: the keys that it returns have to be those that it was given, in their order.
"""

from __future__ import annotations

import contextlib
from collections.abc import Sequence
from functools import cache
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa

from jobs.scoring.interface.arrow_input import Batch, column_named
from jobs.scoring.interface.scorer import Floats
from warehouse.errors import ScoringFailed


@cache
def _instance() -> Any:
    """Give a DuckDB that holds nothing and reaches nothing."""
    connection = duckdb.connect(":memory:")
    for setting in ("TimeZone = 'UTC'", "threads = 1", "enable_external_access = false", "lock_configuration = true"):
        connection.execute(f"SET {setting}")
    return connection


class RuleScorer:
    """Scores rows by a SELECT over `page` that gives the keys and the score.

    Parameters
    ----------
    text
        The SELECT.
    where
        What it is called in messages.
    feature_names
        The columns that it reads, the keys first.
    keys, score
        The columns of its result: which row, and what is said of it.
    is_probability
        Whether the score is the probability of a 1.
    """

    kind = "sql"
    why = "It is a text of SQL, which DuckDB works out for each row."

    def __init__(
        self,
        text: str,
        where: str,
        feature_names: Sequence[str],
        keys: Sequence[str],
        score: str,
        *,
        is_probability: bool,
    ) -> None:
        self.text, self.where = text, where
        self.feature_names = tuple(feature_names)
        self.keys, self.score, self.is_probability = tuple(keys), score, is_probability

    def raw(self, batch: Batch) -> Floats:
        """Return the score of each row, (n_rows,).

        Raises
        ------
        ScoringFailed
            The text cannot be worked out for the rows, gives a row no score, or a probability outside [0, 1].
        """
        given = pa.table({name: column_named(batch, name) for name in self.feature_names})
        found = self._answer(given)
        for key in self.keys:
            if not found.column(key).combine_chunks().equals(given.column(key).combine_chunks()):
                raise ScoringFailed(f"{self.where} gave other rows than it was asked for. Nothing was scored.")
        column = found.column(self.score)
        if column.null_count:
            raise ScoringFailed(
                f"{self.where} gives {column.null_count} of {given.num_rows} rows no {self.score}: it is NULL. Give"
                " every row a number, such as coalesce(..., 0.5)."
            )
        scores: Floats = np.asarray(column.to_numpy(), np.float64)
        wrong = ~np.isfinite(scores) if not self.is_probability else ~((scores >= 0) & (scores <= 1))
        if wrong.any():
            expected = "a probability lies within [0, 1]" if self.is_probability else "a prediction is a finite number"
            raise ScoringFailed(f"{self.where} gives a row {self.score} {scores[wrong][0]}: {expected}.")
        return scores

    def predict(self, batch: Batch) -> Floats:
        """Return (n_rows, 2) probabilities of 0 and 1, or (n_rows,) predicted values."""
        scores = self.raw(batch)
        return np.column_stack([1 - scores, scores]) if self.is_probability else scores

    def _answer(self, given: pa.Table) -> pa.Table:
        with contextlib.closing(_instance().cursor()) as cursor:
            try:
                cursor.register("page", given)
                return cursor.execute(self.text).to_arrow_table()
            except duckdb.Error as error:
                raise ScoringFailed(f"{self.where} cannot be worked out: {str(error).splitlines()[0]}") from error
