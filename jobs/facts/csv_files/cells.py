"""Cells of CSV and JSON files as typed values: SQL that casts a cell, and that tells whether it stands for the value.

DuckDB's casts are generous: as INTEGER `2.6` is 3 and `1_000` is 1000, as DATE `2026-01-03 17:30:00` is midnight, as
TIMESTAMP `10:00+02:00` is 10:00, as DOUBLE twenty digits are rounded to sixteen. What a file said is what is stored; so
a cell stands for its value only if nothing is lost, and whitespace around it, trailing zeros and the ways to write one
instant make no difference.
"""

from __future__ import annotations

import itertools
import json
import re
from dataclasses import dataclass

import duckdb

from warehouse.system_sql import literal, quote

_WHOLE = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "HUGEINT")
_INTEGERS = frozenset({*_WHOLE, *(f"U{kind}" for kind in _WHOLE)})
#: So many digits of a whole number every DOUBLE, or FLOAT, holds.
_SAFE_DIGITS = {"DOUBLE": 15, "FLOAT": 7}
_numbers = itertools.count()
_DATE = r"[0-9]{1,6}[-/\\ ][0-9]{1,2}[-/\\ ][0-9]{1,2}"
_MIDNIGHT = r"([T ]0{1,2}:00(:00([.]0*)?)?(Z|[+-]00(:?00)?)?)?"
_NO_OFFSET, _ANY_OFFSET = r" ?(Z|UTC|[+-]00(:?00)?)?", r" ?(Z|UTC|[+-][0-9]{2}(:?[0-9]{2})?)?"
#: How many digits of a second each type of instants holds.
_SECOND_DIGITS = {"TIMESTAMP_S": 0, "TIMESTAMP_MS": 3, "TIMESTAMP": 6, "TIMESTAMP_NS": 9, "TIMESTAMP WITH TIME ZONE": 6}
_NAMES = {
    "INT": "INTEGER",
    "INT4": "INTEGER",
    "INT8": "BIGINT",
    "LONG": "BIGINT",
    "INT2": "SMALLINT",
    "SHORT": "SMALLINT",
    "INT1": "TINYINT",
    "REAL": "FLOAT",
    "FLOAT4": "FLOAT",
    "FLOAT8": "DOUBLE",
    "NUMERIC": "DECIMAL",
    "BOOL": "BOOLEAN",
    "DATETIME": "TIMESTAMP",
    "TIMESTAMP WITHOUT TIME ZONE": "TIMESTAMP",
    "TIMESTAMP_US": "TIMESTAMP",
    "TIMESTAMPTZ": "TIMESTAMP WITH TIME ZONE",
    "TEXT": "VARCHAR",
    "STRING": "VARCHAR",
    "CHAR": "VARCHAR",
}


@dataclass(frozen=True)
class Notation:
    """How a file writes values: formats of strptime for dates and instants, and the marks in numbers.

    `by_guess` are columns whose type nobody declared: a whole number with a leading zero is rather a name there.
    """

    date: str | None = None
    timestamp: str | None = None
    decimal_separator: str = "."
    thousands: str = ""
    by_guess: frozenset[str] = frozenset()
    is_json: bool = False


def plain_type(kind: str) -> str:
    """Write a type by DuckDB's own name for it; one with others inside it stays as it is, with its fields' names."""
    if is_nested(kind):
        return kind
    name, bracket, rest = " ".join(kind.upper().split()).partition("(")
    name = _NAMES.get(name.strip(), name.strip())
    return f"{name}({rest}" if bracket and name != "VARCHAR" else name


def may_differ(kind: str) -> bool:
    """Tell whether a cell's text can be anything but the value."""
    return plain_type(kind) != "VARCHAR"


def cast(column: str, kind: str, notation: Notation) -> str:
    """Give SQL for the value of a text column's cell, NULL where it has none."""
    if notation.is_json and is_nested(kind):
        return f"json_transform({quote(column)}, {literal(json.dumps(kind))})"
    return _cast(quote(column), kind, notation)


def _cast(cell: str, kind: str, notation: Notation) -> str:
    text, plain = _plain_text(cell, kind, notation), plain_type(kind)
    form = _format_of(plain, notation)
    if form is not None:
        return f"try_strptime({text}, {literal(form)})::{kind}"
    return f"TRY_CAST({text} AS {kind})"


def stands_for(column: str, value: str, kind: str, notation: Notation) -> str:
    """Give SQL that tells whether a cell's text, which is not NULL, stands for `value`, the SQL of its cast."""
    return f"coalesce({' OR '.join(f'({each})' for each in ways_to_stand(column, value, kind, notation))}, false)"


def ways_to_stand(column: str, value: str, kind: str, notation: Notation) -> list[str]:
    """Give the conditions, as SQL, any of which shows that a cell's text stands for `value`; NULL where it has none.

    The first one is cheap, and holds for nearly all cells. As the branches of one CASE, the later ones are looked at
    for the other cells alone; DuckDB evaluates both sides of an OR for every row.
    """
    if is_nested(kind):
        return [_holds(quote(column), kind, notation) if notation.is_json else _looks_alike(quote(column), value)]
    return _ways(quote(column), value, kind, notation, column in notation.by_guess)


def is_nested(kind: str) -> bool:
    """Tell whether a type is a list, a struct or a map."""
    return kind.rstrip().endswith("]") or kind.lstrip().upper().startswith(("STRUCT", "MAP"))


def _looks_alike(text: str, value: str) -> str:
    """A list as DuckDB writes it, whatever stands around its values."""
    bare = [f"regexp_replace({each}, '[\\s''\"]', '', 'g')" for each in (text, f"{value}::VARCHAR")]
    return f"coalesce({bare[0]} = {bare[1]}, false)"


def _holds(cell: str, kind: str, notation: Notation) -> str:
    """Give SQL that tells whether each value inside a cell of JSON stands for the one that it becomes."""
    found = duckdb.type(kind)
    if str(found) == "JSON":
        return "true"
    if found.id == "struct":
        inner = [
            _holds(f"json_extract({cell}, {literal('$.' + json.dumps(name))})", str(each), notation)
            for name, each in found.children
        ]
        return _if_there(cell, "OBJECT", " AND ".join(inner))
    if found.id in ("list", "array", "map"):
        one = f"cell_{next(_numbers)}"
        is_map = found.id == "map"
        kinds = dict(found.children)
        each = _holds(one, str(kinds["value" if is_map else "child"]), notation)
        items = f"json_extract({cell}, {literal('$.*' if is_map else '$[*]')})"
        all_hold = f"coalesce(list_bool_and(list_transform({items}, lambda {one}: {each})), true)"
        return _if_there(cell, "OBJECT" if is_map else "ARRAY", all_hold)
    text = f"({cell} ->> '$')"
    ways = _ways(text, f"({_cast(text, kind, notation)})", kind, notation, by_guess=False)
    stands = " OR ".join(f"({each})" for each in ways)
    return f"({text} IS NULL OR coalesce({stands}, false))" if may_differ(kind) else "true"


def _if_there(cell: str, shape: str, holds: str) -> str:
    return f"({cell} IS NULL OR json_type({cell}) = 'NULL' OR (json_type({cell}) = '{shape}' AND {holds}))"


def _ways(cell: str, value: str, kind: str, notation: Notation, by_guess: bool) -> list[str]:
    text, plain = _plain_text(cell, kind, notation), plain_type(kind)
    if _format_of(plain, notation) is not None:
        exact = f"{value} = try_strptime({text}, {literal(str(_format_of(plain, notation)))})"
        # Whatever the format, strptime also reads words such as `epoch`.
        return [f"{exact} AND regexp_matches({text}, '[0-9]')"]
    looks = _looks_right(f"trim({text}, ' \t')", value, plain, by_guess)
    return [f"{value}::VARCHAR = {text}", f"{value} IS NOT NULL AND {looks}"]


def _format_of(plain: str, notation: Notation) -> str | None:
    if plain == "DATE":
        return notation.date
    return notation.timestamp if plain in _SECOND_DIGITS else None


def _plain_text(cell: str, kind: str, notation: Notation) -> str:
    """Give SQL for a number's text in DuckDB's notation; for other values it is the text."""
    text, plain = cell, plain_type(kind)
    if plain not in _INTEGERS and plain not in _SAFE_DIGITS and not plain.startswith("DECIMAL"):
        return text
    thousands, decimals = notation.thousands, notation.decimal_separator
    wrong = [f"contains({cell}, '.')"] if decimals != "." != thousands else []
    if thousands:
        # DuckDB takes 1,5 for 15. Groups have three digits, or two before the last, as lakh and crore have.
        mark = re.escape(thousands)
        grouped = rf"\s*[+-]?[0-9]{{1,3}}({mark}[0-9]{{2,3}})*{mark}[0-9]{{3}}([^0-9{mark}][^{mark}]*)?"
        wrong.append(f"contains({cell}, {literal(thousands)}) AND NOT {_matches(cell, grouped)}")
        text = f"replace({text}, {literal(thousands)}, '')"
    if decimals != ".":
        text = f"replace({text}, {literal(decimals)}, '.')"
    return f"CASE WHEN {' OR '.join(wrong)} THEN NULL ELSE {text} END" if wrong else text


def _looks_right(text: str, value: str, plain: str, by_guess: bool) -> str:
    if plain in _INTEGERS:
        digits = "(0|[1-9][0-9]*)" if by_guess else "[0-9]+"
        return _matches(text, rf"[+-]?{digits}([.]0*)?")
    if plain.startswith("DECIMAL"):
        found = re.search(r",\s*(\d+)", plain)
        scale = int(found[1]) if found else (0 if "(" in plain else 3)
        return _matches(text, rf"[+-]?([0-9]+([.][0-9]{{0,{scale}}}0*)?|[.][0-9]{{1,{max(scale, 1)}}}0*)")
    if plain in _SAFE_DIGITS:
        return _looks_like_a_float(text, value, _SAFE_DIGITS[plain])
    if plain == "DATE":
        return _matches(text, rf"{_DATE}{_MIDNIGHT}( [(]BC[)])?|[+-]?infinity")
    if plain == "TIME":
        return _matches(text, r"[0-9]{1,2}:[0-9]{1,2}(:[0-9]{1,2}([.][0-9]{0,6}0*)?)?")
    if plain in _SECOND_DIGITS:
        offset = _ANY_OFFSET if plain.endswith("ZONE") else _NO_OFFSET
        second = rf"(:[0-9]{{1,2}}([.][0-9]{{0,{_SECOND_DIGITS[plain]}}}0*)?)?"
        return _matches(text, rf"{_DATE}([T ][0-9]{{1,2}}:[0-9]{{1,2}}{second}{offset})?( [(]BC[)])?|[+-]?infinity")
    return "true"


def _looks_like_a_float(text: str, value: str, safe_digits: int) -> str:
    """A number that is none, or one that neither overflows, nor vanishes, nor is a whole one that is not held."""
    number = _matches(text, r"[+-]?([0-9]+[.]?[0-9]*|[.][0-9]+)([eE][+-]?[0-9]+)?")
    no_number = _matches(text, r"[+-]?(nan|inf|infinity)", "i")
    whole = _matches(text, rf"[+-]?[0-9]{{{safe_digits + 1},}}")
    zero = _matches(text, r"[+-]?[0.]+([eE].*)?")
    held = f"coalesce(TRY_CAST({text} AS HUGEINT) = TRY_CAST({value} AS HUGEINT), false)"
    return (
        f"({no_number} OR ({number} AND NOT isinf({value}) AND ({value} <> 0 OR {zero}) AND (NOT {whole} OR {held})))"
    )


def _matches(text: str, pattern: str, options: str = "") -> str:
    return f"regexp_full_match({text}, {literal(pattern)}{f', {literal(options)}' if options else ''})"
