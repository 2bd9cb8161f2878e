"""Reads the linear models of a compiled model's file."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from jobs.scoring.files.model_source import Source, chosen, finite, require
from jobs.scoring.files.tree_file import read_columns, read_link
from jobs.scoring.kernels.ensemble import Check
from jobs.scoring.kernels.model_data import LinearFeature, LinearModel
from jobs.scoring.kernels.operations import OPERATIONS, Operation

OPERATION_CODES = (
    "subtract",
    "add",
    "multiply",
    "divide",
    "cast_subtract",
    "cast_divide",
    "clip",
    "fill",
    "is_missing",
    "to_float64",
    "to_float32",
)
"""What `operation.name` counts. New names are added at the end."""


def linear_model(source: Source, described: Mapping[str, Any], prefix: str, kinds: Sequence[str]) -> LinearModel:
    """Read a linear model whose arrays' names begin with `prefix`, for features of these types."""
    columns = read_columns(source, prefix, kinds)
    coefficients = finite(source.take(f"{prefix}coefficients", np.float64, np.float32, n_dimensions=2), "coefficients")
    n_outputs, n_features = coefficients.shape
    require(n_outputs, "it has no outputs")
    intercept = finite(source.take(f"{prefix}intercept", coefficients.dtype, size=n_outputs), "intercept")
    column = source.take(f"{prefix}feature.column", np.int32, size=n_features)
    require(((column >= 0) & (column < len(kinds))).all(), "a feature is of no column")
    has_table = source.flags(f"{prefix}feature.has_table", n_features)
    size_of = {bins.column: bins.size for bins in columns}
    tabled = column[has_table].tolist()
    require(all(place in size_of for place in tabled), "a feature has a table, and its column no bins")
    require(all(kinds[place] != "text" for place in column[~has_table].tolist()), "a number is made of text")
    tables = source.take(f"{prefix}feature.tables", np.float64, size=sum(size_of[place] for place in tabled))
    operations = _operations(source, prefix, n_features)
    checks = _checks(source, prefix, [len(own) for own in operations])
    features, at = [], 0
    for place, is_tabled, own, tests in zip(column.tolist(), has_table.tolist(), operations, checks, strict=True):
        table = None
        if is_tabled:
            require(not own and not tests, "a feature has a table and operations")
            table = tables[at : at + size_of[place]]
            at += len(table)
        features.append(LinearFeature(place, own, tests, table))
    link = read_link(described.get("link"), n_outputs)
    return LinearModel(
        columns,
        tuple(features),
        chosen(described, "dtype", ("float64", "float32")),
        coefficients,
        intercept,
        link,
    )


def _operations(source: Source, prefix: str, n_features: int) -> list[tuple[Operation, ...]]:
    counts = source.counts(f"{prefix}feature.n_operations", np.int32, n_features)
    name = source.take(f"{prefix}operation.name", np.uint8, size=int(counts.sum()))
    require((name < len(OPERATION_CODES)).all(), "an operation is not known")
    is_float32 = source.flags(f"{prefix}operation.is_float32", len(name))
    n_numbers = [OPERATIONS[OPERATION_CODES[code]][0] for code in name.tolist()]
    numbers = source.take(f"{prefix}operation.numbers", np.float64, size=sum(n_numbers))
    require(not np.isnan(numbers).any(), "an operation's number is NaN")
    found, at = [], 0
    for code, size, small in zip(name.tolist(), n_numbers, is_float32.tolist(), strict=True):
        operand = numbers[at : at + size].astype(np.float32 if small else np.float64)
        found.append(Operation(OPERATION_CODES[code], operand))
        at += size
    ends = np.cumsum(counts).tolist()
    return [tuple(found[end - size : end]) for end, size in zip(ends, counts.tolist(), strict=True)]


def _checks(source: Source, prefix: str, n_operations: Sequence[int]) -> list[tuple[Check, ...]]:
    counts = source.counts(f"{prefix}feature.n_checks", np.int32, len(n_operations))
    after = source.counts(f"{prefix}check.after", np.int32, int(counts.sum())).tolist()
    passes = source.flags(f"{prefix}check.nan_passes", len(after)).tolist()
    found, at = [], 0
    for size, most in zip(counts.tolist(), n_operations, strict=True):
        own = tuple(
            Check(place, flag) for place, flag in zip(after[at : at + size], passes[at : at + size], strict=True)
        )
        require(all(check.after <= most for check in own), "a check comes after operations that are not there")
        found.append(own)
        at += size
    return found
