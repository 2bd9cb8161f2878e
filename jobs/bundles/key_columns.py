"""Columns that rows of a bundle are looked up by: what a request gives becomes what SQLite keeps, exactly as in SQL.

A value that the column's type cannot hold is in no row, as `flight = 1.5` is true of none; one that is not of the type
at all is refused. NULL equals nothing.
"""

from __future__ import annotations

import functools
import json
import math
import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from typing import Any

_EPOCH = datetime(1970, 1, 1)
_MOST_DIGITS = 60
#: Whole numbers up to here are what they are for every reader of JSON.
_EXACT = 2**53
_TEXT = json.JSONEncoder(ensure_ascii=False).encode


class BundleRefused(Exception):
    """The bundle is not one to look up in; the message says why."""


class KeyRefused(ValueError):
    """A key is not what the product's is; the message names the column and what was expected, not the value."""


class _Nowhere:
    """Stands for a value that the column's type cannot hold, so that no row has it."""


NOWHERE = _Nowhere()


def _number(value: Any) -> Any:
    """Give a number (a Decimal) that is written as one, in text or JSON; None if it is none.

    What has more digits than a column can have is NOWHERE, and would take long to write out.
    """
    if isinstance(value, str) and re.fullmatch(rf"[+-]?\d{{1,{_MOST_DIGITS}}}(\.\d{{1,{_MOST_DIGITS}}})?", value, re.A):
        return Decimal(value)
    if isinstance(value, float):
        value = Decimal(repr(value))
    if isinstance(value, bool) or not isinstance(value, (int, Decimal)):
        return None
    number = Decimal(value)
    if not number.is_finite():
        return None
    return number if abs(number.adjusted()) < _MOST_DIGITS else NOWHERE


def _whole(value: Any) -> Any:
    number = _number(value)
    if not isinstance(number, Decimal):
        return number
    return int(number) if number == int(number) else NOWHERE


def _integer(low: int, high: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        is_short = isinstance(value, str) and len(value) < 19 and value.isascii() and value.isdigit()
        whole = int(value) if is_short else _whole(value)
        return whole if not isinstance(whole, int) or low <= whole <= high else NOWHERE

    return read


def _large_integer(low: int, high: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        whole = _whole(value)
        if not isinstance(whole, int):
            return whole
        return str(whole) if low <= whole <= high else NOWHERE

    return read


def _decimal(width: int, scale: int) -> Callable[[Any], Any]:
    def read(value: Any) -> Any:
        number = _number(value)
        if not isinstance(number, Decimal):
            return number
        sign, digits, exponent = number.as_tuple()
        whole = int("".join(map(str, digits))) * (-1 if sign else 1)
        shift = int(exponent) + scale
        if shift < 0 and whole % 10**-shift:
            return NOWHERE
        units = whole * 10**shift if shift >= 0 else whole // 10**-shift
        text = f"{abs(units):0{scale + 1}}"
        # Where all digits stand behind the point, DuckDB writes none before it.
        before = "" if width == scale else text[:-scale]
        written = f"{before}.{text[-scale:]}" if scale else text
        return f"-{written}" if units < 0 else written

    return read


_REAL = re.compile(rf"[+-]?\d{{1,{_MOST_DIGITS}}}(\.\d{{1,{_MOST_DIGITS}}})?([eE][+-]?\d{{1,3}})?", re.A)


def _double(value: Any) -> Any:
    if isinstance(value, bool) or not isinstance(value, (str, int, float, Decimal)):
        return None
    if isinstance(value, str) and not _REAL.fullmatch(value):
        return None
    try:
        number = float(value)
    except OverflowError:
        return None
    return number if math.isfinite(number) else None


def _boolean(value: Any) -> Any:
    named = {"true": True, "false": False}.get(value.lower()) if isinstance(value, str) else value
    return int(named) if isinstance(named, bool) else None


def _text(value: Any) -> Any:
    if not isinstance(value, str):
        return None
    # Half of a pair of surrogates, which JSON can say and no text holds.
    return NOWHERE if any("\ud800" <= each <= "\udfff" for each in value) else value


def _date(value: Any) -> Any:
    if isinstance(value, str) and re.fullmatch(r"\d{4}-\d\d-\d\d", value, re.A):
        value = date.fromisoformat(value)
    return value.isoformat() if isinstance(value, date) and not isinstance(value, datetime) else None


_INSTANT = re.compile(r"\d{4}-\d\d-\d\d([T ]\d\d:\d\d(:\d\d(\.\d{1,6})?)?(Z|[+-]\d\d:\d\d)?)?", re.A)


def _timestamp(value: Any) -> Any:
    if isinstance(value, str) and _INSTANT.fullmatch(value):
        value = datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return None
    return micros(value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value)


def _uuid(value: Any) -> Any:
    if isinstance(value, uuid.UUID) or (isinstance(value, str) and re.fullmatch(r"[0-9a-fA-F-]{36}", value, re.A)):
        return str(uuid.UUID(str(value)))
    return None


def _bounds(name: str, bits: int) -> tuple[int, int]:
    """Give the least and the greatest number of a type."""
    return (0, 2**bits - 1) if name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)


#: Of each type of a key: how SQLite keeps it, what is expected of a request, and how that becomes what is kept. DECIMAL
#: is not listed, since it has a scale.
_TYPES: dict[str, tuple[str, str, Callable[[Any], Any]]] = {
    **{
        name: ("INTEGER", "a whole number such as 1185", _integer(*_bounds(name, bits)))
        for name, bits in {
            **{"TINYINT": 8, "SMALLINT": 16, "INTEGER": 32, "BIGINT": 64},
            **{"UTINYINT": 8, "USMALLINT": 16, "UINTEGER": 32},
        }.items()
    },
    **{
        name: ("TEXT", "a whole number such as 1185", _large_integer(*_bounds(name, bits)))
        for name, bits in {"HUGEINT": 128, "UHUGEINT": 128, "UBIGINT": 64}.items()
    },
    "DOUBLE": ("REAL", "a number such as 0.5", _double),
    "BOOLEAN": ("INTEGER", "true or false", _boolean),
    "VARCHAR": ("TEXT", "text", _text),
    "DATE": ("TEXT", "a date such as 2026-03-10", _date),
    "TIMESTAMP": ("INTEGER", "an instant such as 2026-03-10T18:00:00Z", _timestamp),
    "UUID": ("TEXT", "a UUID such as 0b5e0c3e-6c1f-4d0f-9a55-0d6f2f6f1f0a", _uuid),
}


def micros(instant: datetime) -> int:
    """Give an instant (naive UTC) in microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


@functools.lru_cache(maxsize=1024)
def instant_of(at_us: int) -> str:
    """Write an instant that is given in microseconds since 1970."""
    return (_EPOCH + timedelta(microseconds=at_us)).isoformat() + "Z"


@dataclass(frozen=True)
class KeyColumn:
    """A column that rows are looked up by; `type` is DuckDB's name of its type."""

    name: str
    type: str

    def __post_init__(self) -> None:
        if not self.type.startswith("DECIMAL(") and self.type not in _TYPES:
            raise BundleRefused(
                f"rows cannot be looked up by `{self.name}`, which is {self.type}: the types are"
                f" {', '.join([*_TYPES, 'DECIMAL'])}."
            )

    @property
    def _read(self) -> tuple[str, str, Callable[[Any], Any]]:
        if self.type in _TYPES:
            return _TYPES[self.type]
        width, _, scale = self.type.removeprefix("DECIMAL(").rstrip(")").partition(",")
        return "TEXT", "a decimal number such as 1.50", _decimal(int(width), int(scale))

    @property
    def storage(self) -> str:
        """How SQLite keeps it."""
        return self._read[0]

    @property
    def expected(self) -> str:
        """What a request has to give."""
        return self._read[1]

    def said(self, kept: Any) -> Any:
        """Give what is kept as JSON has it: integers that not every reader of JSON holds exactly are text."""
        if kept is NOWHERE:
            return None
        if self.type == "TIMESTAMP":
            return instant_of(kept)
        if self.type == "BOOLEAN":
            return bool(kept)
        return str(kept) if isinstance(kept, int) and abs(kept) > _EXACT else kept

    def saying(self) -> Callable[[Any], str]:
        """Give the function that writes what is kept as JSON, as `said` has it."""
        if self.storage == "TEXT":
            return lambda kept: "null" if kept is NOWHERE else _TEXT(kept)
        if self.storage == "REAL" or self.type in ("TIMESTAMP", "BOOLEAN"):
            return lambda kept: json.dumps(self.said(kept))
        return lambda kept: "null" if kept is NOWHERE else str(kept) if -_EXACT <= kept <= _EXACT else f'"{kept}"'

    def reading(self) -> Callable[[Any], Any]:
        """Give the function that turns what a request gives into what is kept; NOWHERE for NULL, as `=` has it.

        It raises KeyRefused where the value is not of the type.
        """
        name, (_, expected, read) = self.name, self._read

        def checked(value: Any) -> Any:
            if value is None:
                return NOWHERE
            try:
                found = read(value)
            except ValueError:
                found = None
            if found is None:
                raise KeyRefused(f"`{name}` is {expected}")
            return found

        return checked
