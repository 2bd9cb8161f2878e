"""Which aggregates can be put together from parts, and how.

Two ways. *Running*: what can be added and taken away again (counts, exact sums) is kept as a running total
per key, and a page's window is the difference of two totals. *Spread*: what cannot be taken away (smallest,
largest, quantiles, distinct counts) is computed by the same DuckDB aggregate over the same rows, each row
sent to the pages whose window holds it; the order of rows does not matter to any of them. Where a key has few rows
they stand in a list instead, and the aggregate is taken of a slice of it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from warehouse.batching.ranges.averages import quotient
from warehouse.batching.ranges.windows import Window
from warehouse.batching.syntax.shapes import NotUnderstood

Way = Literal["running", "spread"]

ALIASES = {
    "countif": "count_if",
    "mean": "avg",
    "quantile": "quantile_disc",
    "stddev": "stddev_samp",
    "variance": "var_samp",
}
SMALL_INTEGERS = frozenset({"TINYINT", "SMALLINT", "INTEGER"})
INTEGERS = SMALL_INTEGERS | {"BIGINT", "UTINYINT", "USMALLINT", "UINTEGER"}
# Equal values of these types are the same value, so it does not matter which row of a group is kept.
EXACT = INTEGERS | {
    *(
        "UBIGINT",
        "HUGEINT",
        "UHUGEINT",
        "BOOLEAN",
        "DATE",
        "TIME",
        "TIMESTAMP",
        "TIMESTAMP_S",
        "TIMESTAMP_MS",
    ),
    *("TIMESTAMP_NS", "TIMESTAMP WITH TIME ZONE", "VARCHAR", "UUID", "BLOB"),
}
FLOATS = frozenset({"FLOAT", "DOUBLE"})
# A sum of 10^11 values of 27 digits still fits DECIMAL(38).
WIDEST_RUNNING_DECIMAL = 27
# Beyond these, an unscaled sum may not fit the 64 bits of a long double, or a scaled count its 60.
WIDEST_DIVIDED_DECIMAL, FINEST_DIVIDED_DECIMAL = 18, 6
DEVIATIONS = {"var_samp": 1, "var_pop": 0, "stddev_samp": 1, "stddev_pop": 0}
SPREAD_OVER_FACTS = frozenset({"quantile_disc", "quantile_cont", "median"})
SPREAD_OVER_PARTS = frozenset({"min", "max", "bit_and", "bit_or", "bit_xor"})

# Any sum of 2^31 values of these fits BIGINT; what does not is an error, and the query is then made page by page.
_SUMMED_IN_BIGINT = SMALL_INTEGERS | {"BOOLEAN"}

# Measures: how many values are not NULL, how many are TRUE.
PRESENT = ("count({x})", "BIGINT")
TRUE = ("count(*) FILTER (WHERE {x})", "BIGINT")
# Of a list, 0.0 and -0.0 are two distinct values, and each NaN is one; their texts are not.
_DISTINCT_FLOATS = (
    "list_transform({x}, lambda value: CASE WHEN isnan(value) THEN 'nan' ELSE CAST(value + 0 AS VARCHAR) END)"
)


@dataclass(frozen=True)
class Call:
    """One aggregate as the author wrote it, taken apart.

    `argument` is SQL over the source's columns (None for count(*)), `argument_type` its DuckDB type,
    `options` the further arguments, `condition` the part of its FILTER that is free of `$as_of`, `type` the
    type that the author's query returns, `written` the author's text.
    """

    function: str
    argument: str | None
    argument_type: str
    options: str
    condition: str | None
    is_distinct: bool
    window: Window
    type: str
    written: str


@dataclass(frozen=True)
class Recipe:
    """How a call is made from parts.

    Parameters
    ----------
    way
        `running` or `spread`.
    input
        SQL over the source's columns that a fact contributes; None where the fact alone counts.
    measures
        Running: per part, an aggregate over the input `{x}` and the type of its running total. Spread
        over parts: the one partial aggregate. Spread over facts: none.
    value
        Running: SQL over the differences `{0}`, `{1}`, ... of the measures. Spread: the aggregate over
        `{x}`, an input or a measure.
    of_list
        Spread: SQL of the same over the list `{x}` of a window's inputs.
    is_approximate
        Whether the last bits of the author's query itself depend on the order of rows.
    """

    way: Way
    input: str | None
    measures: tuple[tuple[str, str], ...]
    value: str
    of_list: str = ""
    is_approximate: bool = False
    otherwise: str | None = None


def recipe(call: Call, divides_twice: bool) -> Recipe:
    """Choose how a call is put together.

    Parameters
    ----------
    call
        The aggregate.
    divides_twice
        Whether this platform's DuckDB divides as `averages.quotient` does; if not, avg is spread.

    Raises
    ------
    NotUnderstood
        If no way gives exactly what the author's query gives.
    """
    name = ALIASES.get(call.function, call.function)
    if call.is_distinct:
        if name != "count" or not _is_comparable(call.argument_type):
            raise NotUnderstood(f"{call.written} has DISTINCT")
        values = _DISTINCT_FLOATS if call.argument_type in FLOATS else "{x}"
        return _over_facts(call, "count(DISTINCT {x})", f"list_unique({values})::BIGINT", otherwise="0")
    if name in ("count_star", "count", "count_if"):
        return _counted(call, name)
    if name in ("bool_and", "bool_or"):
        total = "{1} = {0}" if name == "bool_and" else "{1} > 0"
        return Recipe("running", _filtered(call), (PRESENT, TRUE), f"CASE WHEN {{0}} > 0 THEN {total} END")
    if name in ("sum", "avg"):
        return _summed(call, name, divides_twice)
    if name in DEVIATIONS and call.argument_type in SMALL_INTEGERS:
        return _deviation(call, name)
    if name in SPREAD_OVER_FACTS and _is_comparable(call.argument_type):
        options = call.options.replace("{", "{{").replace("}", "}}")
        return _over_facts(call, f"{call.function}({{x}}{options})", _of_list(call.function, options))
    if name in SPREAD_OVER_PARTS and _is_comparable(call.argument_type) and not call.options:
        partial = f"{call.function}({{x}})"
        return Recipe("spread", _filtered(call), ((partial, call.type),), partial, _of_list(call.function))
    raise NotUnderstood(f"{call.written} over {call.argument_type} cannot be put together from parts exactly")


def is_key_type(kind: str) -> bool:
    """Say whether equal values of a type are the same value, as a group key has to be."""
    return kind in EXACT or kind.startswith("DECIMAL(")


def _is_comparable(kind: str) -> bool:
    # -0.0 and 0.0 are equal, and which of them the author's query answers depends on its threads.
    return is_key_type(kind) or kind in FLOATS


def _filtered(call: Call) -> str | None:
    if call.condition is None:
        return call.argument
    return f"CASE WHEN {call.condition} THEN {call.argument} END"


def _counted(call: Call, name: str) -> Recipe:
    if name == "count" and call.argument is not None:
        return Recipe("running", _filtered(call), (PRESENT,), "{0}")
    if name == "count_if":
        # DuckDB 1.5 sums the condition: NULL where it is never TRUE or FALSE.
        return Recipe("running", _filtered(call), (PRESENT, TRUE), "CASE WHEN {0} > 0 THEN {1} END")
    if call.condition is None:
        return Recipe("running", None, (("count(*)", "BIGINT"),), "{0}")
    return Recipe("running", call.condition, (TRUE,), "{0}")


def _summed(call: Call, name: str, divides_twice: bool) -> Recipe:
    kind = call.argument_type
    width, scale = _decimal(kind)
    if kind in FLOATS:
        raise NotUnderstood(f"{call.written} adds up {kind}, which depends on the order of the rows")
    total = ("sum({x})", call.type if width else "BIGINT" if kind in _SUMMED_IN_BIGINT else "HUGEINT")
    if name == "sum" and (kind in INTEGERS or kind == "BOOLEAN" or 0 < width <= WIDEST_RUNNING_DECIMAL):
        return Recipe("running", _filtered(call), (PRESENT, total), "CASE WHEN {0} > 0 THEN {1} END")
    if name == "avg" and kind in ("TINYINT", "SMALLINT"):
        value = "CASE WHEN {0} > 0 THEN {1}::DOUBLE / {0}::DOUBLE END"
        return Recipe("running", _filtered(call), (PRESENT, total), value)
    if name == "avg" and divides_twice and kind in ("INTEGER", "BIGINT"):
        return Recipe("running", _filtered(call), (PRESENT, total), quotient("{1}", "{0}"))
    if name == "avg" and divides_twice and 4 < width <= WIDEST_DIVIDED_DECIMAL and scale <= FINEST_DIVIDED_DECIMAL:
        unscaled = (f"sum(({{x}} * {10**scale})::HUGEINT)", "HUGEINT")
        return Recipe("running", _filtered(call), (PRESENT, unscaled), quotient("{1}", f"({{0}} * {10**scale})"))
    if width or kind in SMALL_INTEGERS | {"BIGINT", "HUGEINT"}:
        return _over_facts(call, f"{call.function}({{x}})", _of_list(call.function))
    raise NotUnderstood(f"{call.written} is over {kind}")


def _deviation(call: Call, name: str) -> Recipe:
    fewer = DEVIATIONS[name]
    square = ("sum({x}::BIGINT * {x}::BIGINT)", "HUGEINT")
    spread = "({0}::HUGEINT * {2} - {1}::HUGEINT * {1})::DOUBLE"
    value = f"{spread} / ({{0}}::DOUBLE * ({{0}} - {fewer})::DOUBLE)"
    if name.startswith("stddev"):
        value = f"sqrt({value})"
    return Recipe(
        "running",
        _filtered(call),
        (PRESENT, ("sum({x})", "BIGINT"), square),
        f"CASE WHEN {{0}} > {fewer} THEN {value} END",
        is_approximate=True,
    )


def _over_facts(call: Call, value: str, of_list: str, otherwise: str | None = None) -> Recipe:
    return Recipe("spread", _filtered(call), (), value, of_list, otherwise=otherwise)


def _of_list(function: str, options: str = "") -> str:
    return f"list_aggregate({{x}}, '{function}'{options})"


def _decimal(kind: str) -> tuple[int, int]:
    """Return width and scale of a DECIMAL type, (0, 0) for any other."""
    if not kind.startswith("DECIMAL("):
        return 0, 0
    width, scale = kind.removeprefix("DECIMAL(").removesuffix(")").split(",")
    return int(width), int(scale)
