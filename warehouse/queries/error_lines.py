"""Where in an author's file a mistake stands that DuckDB finds in a statement around the author's query."""

from __future__ import annotations

import contextlib
import re
from collections.abc import Iterator

import duckdb

from warehouse.errors import DefinitionError, RunFailed

_LINE = re.compile(r"LINE (\d+): ?(.*)")


@contextlib.contextmanager
def explained(where: str, query: str) -> Iterator[None]:
    """Turn DuckDB's errors into ours: what does not bind is a definition's mistake, the rest a failed run."""
    try:
        yield
    except (duckdb.BinderException, duckdb.CatalogException, duckdb.ParserException) as error:
        raise DefinitionError(in_file(where, error, query)) from error
    except duckdb.Error as error:
        raise RunFailed(f"{where}: the query failed on the data: {error}") from error


def in_file(where: str, error: duckdb.Error, query: str) -> str:
    """Say what DuckDB objects to in an author's query, with the line of the file where it can be had.

    Parameters
    ----------
    where
        The file as shown to people.
    query
        The author's text, whose lines are those of the file. What was run had a few lines of ours before it.
    """
    said = str(error).split("\n")
    more = next((f" ({line})" for line in said[1:] if line.startswith(("Candidate", "Did you mean"))), "")
    found = next((match for line in said if (match := _LINE.match(line))), None)
    number = _line_of(int(found[1]), found[2], query.split("\n")) if found else None
    return f"{where}{f':{number}' if number else ''}: {said[0]}{more}"


def _line_of(number: int, shown: str, lines: list[str]) -> int | None:
    """Find a line of a statement in the query inside it: the nearest before that has the text that DuckDB shows."""
    # A long line is cut at both ends.
    text = shown.strip().removeprefix("...").removesuffix("...")
    alike = [place for place, line in enumerate(lines, start=1) if text and text in line and place <= number]
    return max(alike, default=None)
