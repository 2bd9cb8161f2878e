"""Aggregates over DOUBLE: sums whose last digits depend on the order in which threads come to add.

DuckDB adds INTEGER and DECIMAL exactly, and FLOAT and DOUBLE in the order in which rows come along, which differs
from run to run where several threads scan. Which type an aggregate is given is asked of DuckDB's own binder
(`json_serialize_plan`); what it is made of is not second-guessed.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import duckdb

from warehouse.errors import DefinitionError
from warehouse.queries.checked_query import CheckedQuery

_FLOATING = frozenset({"FLOAT", "DOUBLE"})
#: Aggregates that add up. Those that pick a value (min, max, quantiles) or count do not depend on an order.
_ADDING = frozenset(
    """
    sum avg mean fsum sumkahan kahan_sum favg sum_no_overflow product geomean geometric_mean stddev stddev_pop
    stddev_samp variance var_pop var_samp sem covar_pop covar_samp corr skewness kurtosis kurtosis_pop regr_avgx
    regr_avgy regr_intercept regr_r2 regr_slope regr_sxx regr_sxy regr_syy
    """.split()
)
#: Those that add up DOUBLE inside, whatever they are given.
_ADDING_INSIDE = frozenset({"entropy"})


@dataclass(frozen=True)
class InexactSum:
    """A column that a query adds up as FLOAT or DOUBLE, and the aggregates that do."""

    column: str
    functions: tuple[str, ...]

    def in_words(self, where: str) -> str:
        """Say of a file what it does, and what to do."""
        return (
            f"{where}: {', '.join(self.functions)} of {self.column} add up DOUBLE, so that the last digits depend on"
            " the order of threads. Where INTEGER or DECIMAL does, cast to it before adding up."
        )


def inexact_sums(connection: duckdb.DuckDBPyConnection, query: CheckedQuery) -> list[InexactSum]:
    """Give the columns that a query adds up as FLOAT or DOUBLE, by name.

    Parameters
    ----------
    connection
        Holds the tables that the query reads, which may be empty; tables in memory, whose scans can be written down.
    query
        It is bound, and not run.

    Raises
    ------
    DefinitionError
        If DuckDB cannot write its plan down, so that nothing can be told.
    """
    text = _with_instants(query.text)
    row = connection.execute("SELECT json_serialize_plan($1, optimize := false)", [text]).fetchone()
    plan = json.loads(row[0]) if row else {"error": True}
    if plan.get("error"):
        why = str(plan.get("error_message", "")).splitlines()[:1]
        raise DefinitionError(f"{query.where}: whether its sums are exact cannot be told: {' '.join(why)}")
    functions: dict[str, set[str]] = {}
    for column, function in _sums_in(plan["plans"]):
        functions.setdefault(column, set()).add(function)
    return [InexactSum(column, tuple(sorted(functions[column]))) for column in sorted(functions)]


def _with_instants(text: str) -> str:
    """Put an instant where the query has a parameter: DuckDB 1.5.5 fails to write plans with unbound ones down."""
    from sqlglot.dialects.duckdb import DuckDB

    tokens = DuckDB().tokenize(text)
    for sign, name in reversed(list(itertools.pairwise(tokens))):
        if sign.token_type.name == "PARAMETER" and sign.end + 1 == name.start:
            text = f"{text[: sign.start]}TIMESTAMP '2000-01-01'{text[name.end + 1 :]}"
    return text


def _sums_in(node: Any) -> Iterator[tuple[str, str]]:
    """Give each column that is added up, and the aggregate."""
    if isinstance(node, list):
        for item in node:
            yield from _sums_in(item)
    if not isinstance(node, dict):
        return
    if node.get("expression_class") in ("BOUND_AGGREGATE", "BOUND_WINDOW"):
        yield from _sum_of(node)
    for value in node.values():
        if isinstance(value, dict | list):
            yield from _sums_in(value)


def _sum_of(node: dict[str, Any]) -> Iterator[tuple[str, str]]:
    of = node.get("aggregate") or node  # a window's own children are what its aggregate is given
    name = str(of.get("name", "")).lower()
    given = {argument.get("id") for argument in of.get("arguments", [])}
    if (name in _ADDING and given & _FLOATING) or name in _ADDING_INSIDE:
        for column in sorted(set(_columns_in(node.get("children", [])))) or ["an expression"]:
            yield column, name


def _columns_in(node: Any) -> Iterator[str]:
    if isinstance(node, list):
        for item in node:
            yield from _columns_in(item)
    elif isinstance(node, dict):
        if node.get("expression_class") in ("BOUND_REF", "BOUND_COLUMN_REF") and node.get("alias"):
            yield str(node["alias"])
        for key in ("child", "children", "left", "right", "case_checks", "when_expr", "then_expr", "else_expr"):
            yield from _columns_in(node.get(key))
