"""A file that lacks a column which the source's SELECT reads: where nothing hangs on it, it is read as NULL.

The author's text is kept but for the reader's call, which is put into a subquery that adds the column. What the key,
`known_at`, `restated_at`, `withdrawn` or a rule depends on, or what decides on the rows, must not be NULL for a whole
file: such a file is set aside.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from warehouse.definitions import Source
from warehouse.system_sql import quote

_READERS = ("read_csv", "read_csv_auto", "read_parquet", "read_json", "read_json_auto", "read_ndjson", "read_xlsx")
#: How DuckDB 1.5 names a column that it does not find.
_NAMED = (
    re.compile(r'Columns with names: ((?:"[^"]+",?)+) do not exist'),
    re.compile(r'Referenced column ("[^"]+") not found'),
    re.compile(r'does not have a column named ("[^"]+")'),
)


def columns_not_found(error: duckdb.Error) -> list[str]:
    """Give the columns that an error says were not found in the file; none if it says something else."""
    if not isinstance(error, duckdb.BinderException):
        return []
    for pattern in _NAMED:
        if found := pattern.search(str(error)):
            return re.findall('"([^"]+)"', found[1])
    return []


@dataclass(frozen=True)
class WithoutColumns:
    """A source's SELECT over a file without some columns.

    `text` reads them as NULL, and `affected` are the columns of the SELECT that are made of them. `why_not` says why
    the file cannot be taken in so.
    """

    text: str
    affected: frozenset[str]
    why_not: str = ""


def without_columns(source: Source, lacking: Sequence[str]) -> WithoutColumns:
    """Let a source's SELECT read a file that lacks some columns, or say what depends on them."""
    from warehouse.lineage.selects import trace_query
    from warehouse.lineage.uses import EVERY

    text = source.query.text
    found = trace_query(text, {})
    names = {name.lower() for name in lacking}

    def reads(column: str, doubt: str) -> bool:
        return column.lower() in names or column == EVERY or bool(doubt)

    affected = {name for name, uses in found.columns if any(reads(use.column, use.doubt) for use in uses)}
    shown = ", ".join(f"`{name}`" for name in lacking)
    needed = "" if affected else "nothing that could be told"
    if any(use.role != "rows" and reads(use.column, use.doubt) for use in found.rows):
        needed = "which rows there are"
    needed = needed or _needed_by(source, [name for name, _ in found.columns], affected)
    if needed:
        return WithoutColumns(text, frozenset(affected), f"it lacks {shown}, and {needed} depends on that")
    return WithoutColumns(_edited(text, lacking), frozenset(affected))


def _needed_by(source: Source, names: Sequence[str], affected: set[str]) -> str:
    """Say which part of the header reads one of some columns of the SELECT."""
    from warehouse.lineage.binding import header_expressions
    from warehouse.lineage.selects import trace_expression
    from warehouse.lineage.uses import EVERY, table

    lowered = {name.lower() for name in affected}
    if keys := [key for key in source.key if key.lower() in lowered]:
        return f"the key column `{keys[0]}`"
    relation = table("delivery", names)
    for key, expression in header_expressions(source).items():
        uses = trace_expression(expression, relation)
        if any(use.column.lower() in lowered or use.column == EVERY or use.doubt for use in uses):
            rule = key.removeprefix("rules.")
            return f"the rule «{rule}»" if rule != key else f"`{key}`"
    return ""


def _edited(text: str, lacking: Sequence[str]) -> str:
    """Put each call of a reader into a subquery that has the lacking columns too, as NULL of their declared type."""
    from sqlglot import TokenType, tokenize

    tokens = tokenize(text, read="duckdb")
    edits: list[tuple[int, int, str]] = []
    for index, token in enumerate(tokens[:-1]):
        if token.text.lower() not in _READERS or tokens[index + 1].token_type is not TokenType.L_PAREN:
            continue
        end = _closing(tokens, index + 1)
        removed = {name: _declared(tokens, index + 1, end, name) for name in lacking}
        nulls = ", ".join(
            f"NULL{f'::{declared[2]}' if declared else ''} AS {quote(name)}" for name, declared in removed.items()
        )
        edits.append((token.start, token.start, f"(SELECT *, {nulls} FROM "))
        edits += _without(tokens, [(declared[0], declared[1]) for declared in removed.values() if declared])
        edits.append((tokens[end].end + 1, tokens[end].end + 1, ")"))
    for start, stop, put in sorted(edits, reverse=True):
        text = text[:start] + put + text[stop:]
    return text


def _closing(tokens: Sequence[object], opening: int) -> int:
    """Find the bracket that closes the one at `opening`."""
    depth = 0
    for index in range(opening, len(tokens)):
        text = tokens[index].text  # type: ignore[attr-defined]
        depth += (text in ("(", "[", "{")) - (text in (")", "]", "}"))
        if depth == 0:
            return index
    return len(tokens) - 1


def _declared(tokens: Sequence[object], start: int, end: int, name: str) -> tuple[int, int, str] | None:
    """Find `'name': 'TYPE'` among a reader's arguments: its first and last token, by number, and the type."""
    from sqlglot import TokenType

    texts = [token.text for token in tokens]  # type: ignore[attr-defined]
    for index in range(start, end - 2):
        is_type = tokens[index + 2].token_type is TokenType.STRING  # type: ignore[attr-defined]
        if texts[index].lower() == name.lower() and texts[index + 1] == ":" and is_type:
            return index, index + 2, texts[index + 2]
    return None


def _without(tokens: Sequence[object], entries: list[tuple[int, int]]) -> list[tuple[int, int, str]]:
    """Give the edits that take entries out of a list, each with one of the commas beside it.

    Entries that follow one another go as one: two edits that shared a comma would take it twice.
    """
    runs: list[list[int]] = []
    for first, last in sorted(entries):
        if runs and first == runs[-1][1] + 2:
            runs[-1][1] = last
        else:
            runs.append([first, last])
    edits = []
    for first, last in runs:
        if tokens[last + 1].text == ",":  # type: ignore[attr-defined]
            last += 1
        elif tokens[first - 1].text == ",":  # type: ignore[attr-defined]
            first -= 1
        edits.append((tokens[first].start, tokens[last].end + 1, ""))  # type: ignore[attr-defined]
    return edits
