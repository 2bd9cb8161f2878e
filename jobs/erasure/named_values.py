"""Values of the ledger that stand for what another column of the same row names: a segment's, a group's, a column's.

A number is looked for behind a name only, and here the name stands elsewhere. So each is put behind its own, in SQL for
the tables that are changed, and in Python for the search that proves an erasure.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Any

from warehouse.system_sql import quote

#: The table, the column that names, and the column of values.
NAMED_VALUES: tuple[tuple[str, str, str], ...] = (
    ("performance", "segment", "segment_value"),
    ("fairness", "by_columns", "group_values"),
    ("label_sums", "columns", "group_values"),
    ("profiles", "column_name", "top_values"),
    ("segment_profiles", "column_name", "top_values"),
    ("training_profiles", "column_name", "top_values"),
)
#: The tables whose rows are profiles of pages, which are forgotten by the page.
OF_PAGES = ("profiles", "segment_profiles")
#: What stands between names, or values, that are written one behind the other.
_LISTED = re.compile(r"\s*,\s*")


def behind_names(table: str) -> str | None:
    """Give SQL of a text with each value of a row behind its name; None if the table has no such values."""
    found = next((pair for pair in NAMED_VALUES if pair[0] == table), None)
    if found is None:
        return None
    names, values = (quote(column) for column in found[1:])
    if table == "performance":
        return f"{names} || ': ' || {values}"
    if found[1] == "column_name":
        each = f"list_transform({values}, one -> {names} || ': ' || one)"
    else:
        pair = (names, values) if table == "label_sums" else (f"{names}.split(', ')", f"{values}.split(', ')")
        each = f"list_transform(list_zip({pair[0]}, {pair[1]}), one -> concat(one[1], ': ', one[2]))"
    return f"array_to_string({each}, chr(10))"


def named_in(row: Mapping[str, Any]) -> Iterator[str]:
    """Give the values of a row, each behind its name."""
    for names, values in dict.fromkeys((names, values) for _, names, values in NAMED_VALUES):
        if row.get(names) is not None and row.get(values) is not None:
            named, valued = _each(row[names]), _each(row[values])
            if names == "column_name":
                named = named[:1] * len(valued)
            yield from (f"{name}: {value}" for name, value in zip(named, valued, strict=False))


def _each(cell: Any) -> list[str]:
    """Give what is listed in a cell; rows that a catalogue holds itself have lists as texts."""
    if isinstance(cell, (list, tuple)):
        return [str(one) for one in cell]
    return [one.strip(" '\"") for one in _LISTED.split(str(cell).strip("[] "))]
