"""Works out expressions over the columns of one row, as DuckDB does, by Python's standard library alone.

A feature group that is keyed by the entity itself can be worked out from what a request gives. The bundle has its
expressions as lists, an operation and what it is of; `jobs.export.row_wise` makes them of those queries alone that
every reader repeats to the last bit. Whole numbers are exact and held to the width of their type, DOUBLE is finite,
instants are microseconds since 1970; what is not is refused. NULL is None.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from datetime import datetime, timedelta
from typing import Any

from jobs.bundles.key_columns import KeyRefused

Expression = Sequence[Any]
#: Of each span by which differences of instants are counted: its microseconds.
_SPANS = {"second": 10**6, "minute": 60 * 10**6, "hour": 3600 * 10**6, "day": 86_400 * 10**6}
_LAST_INSTANT = 253_402_300_800 * 10**6


def value_of(expression: Expression, row: Mapping[str, Any]) -> Any:
    """Work an expression out.

    Parameters
    ----------
    expression
        An operation by its name, and what it is of.
    row
        The columns that it reads: int, float, bool, str or None.

    Raises
    ------
    KeyRefused
        A whole number does not fit into its type, a DOUBLE is not finite, or an instant is before 1970.
    """
    operation, *of = expression
    if operation in _LAZY:
        return _LAZY[operation](of, row)
    if operation in _WITH_SETTING:
        setting, *of = of
        values = [value_of(each, row) for each in of]
        return None if None in values else _WITH_SETTING[operation](setting, *values)
    values = [value_of(each, row) for each in of]
    return None if None in values else _STRICT[operation](*values)


def _case(of: Sequence[Any], row: Mapping[str, Any]) -> Any:
    *checks, otherwise = of
    for when, then in checks:
        if value_of(when, row):
            return value_of(then, row)
    return value_of(otherwise, row)


def _coalesce(of: Sequence[Any], row: Mapping[str, Any]) -> Any:
    return next((found for each in of if (found := value_of(each, row)) is not None), None)


def _and(of: Sequence[Any], row: Mapping[str, Any]) -> Any:
    values = [value_of(each, row) for each in of]
    return False if False in values else None if None in values else True


def _or(of: Sequence[Any], row: Mapping[str, Any]) -> Any:
    values = [value_of(each, row) for each in of]
    return True if True in values else None if None in values else False


def _fitting(bits: int, number: int) -> int:
    if not -(2 ** (bits - 1)) <= number < 2 ** (bits - 1):
        raise KeyRefused("a whole number that is worked out of the request does not fit into its type")
    return number


def _finite(number: float) -> float:
    if not math.isfinite(number):
        raise KeyRefused("a number that is worked out of the request is not finite")
    return number


def _quotient(one: float, other: float) -> float:
    return _finite(one / other if other else math.inf)


def _whole_quotient(bits: int, one: int, other: int) -> int | None:
    """Divide towards zero; NULL by zero, as DuckDB has it."""
    return _fitting(bits, abs(one) // abs(other) * (1 if (one < 0) == (other < 0) else -1)) if other else None


def _remainder(bits: int, one: int, other: int) -> int | None:
    return _fitting(bits, abs(one) % abs(other) * (-1 if one < 0 else 1)) if other else None


def _instant(at_us: int) -> int:
    """Refuse instants before 1970, of which parts and spans round the other way, and those after the year 9999."""
    if not 0 <= at_us < _LAST_INSTANT:
        raise KeyRefused("an instant of which something is worked out is before 1970 or after 9999")
    return at_us


def _part(name: str, at_us: int) -> int:
    at = datetime(1970, 1, 1) + timedelta(microseconds=_instant(at_us))
    if name in ("year", "month", "day", "hour", "minute", "second"):
        return int(getattr(at, name))
    if name == "doy":
        return at.timetuple().tm_yday
    return at.isoweekday() % 7 if name == "dow" else at.isoweekday()


def _difference(span: str, one: int, other: int) -> int:
    return _instant(other) // _SPANS[span] - _instant(one) // _SPANS[span]


#: What looks at NULLs, or not at everything, by itself.
_LAZY: Mapping[str, Callable[[Sequence[Any], Mapping[str, Any]], Any]] = {
    "column": lambda of, row: row[of[0]],
    "integer": lambda of, row: int(of[0]),
    "double": lambda of, row: float(of[0]),
    "text": lambda of, row: of[0],
    "boolean": lambda of, row: of[0],
    "null": lambda of, row: None,
    "case": _case,
    "coalesce": _coalesce,
    "and": _and,
    "or": _or,
    "is_null": lambda of, row: value_of(of[0], row) is None,
}
#: What has, before what it is of, a setting: the width of a type in bits, or the name of a part or span.
_WITH_SETTING: Mapping[str, Callable[..., Any]] = {
    "add": lambda bits, one, other: _fitting(bits, one + other),
    "subtract": lambda bits, one, other: _fitting(bits, one - other),
    "multiply": lambda bits, one, other: _fitting(bits, one * other),
    "whole_divide": _whole_quotient,
    "remainder": _remainder,
    "absolute": lambda bits, one: _fitting(bits, abs(one)),
    "part": _part,
    "difference": _difference,
}
#: What is NULL where anything that it is of is NULL.
_STRICT: Mapping[str, Callable[..., Any]] = {
    "to_double": float,
    "to_integer": int,
    "add_double": lambda one, other: _finite(one + other),
    "subtract_double": lambda one, other: _finite(one - other),
    "multiply_double": lambda one, other: _finite(one * other),
    "divide": _quotient,
    "negate_double": lambda one: -one,
    "absolute_double": abs,
    "equal": lambda one, other: one == other,
    "less": lambda one, other: one < other,
    "not": lambda one: not one,
    "join": lambda one, other: one + other,
}
