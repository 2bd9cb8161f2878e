"""Where in a file the reading of it fails: the line, and the column where the error tells which value it was."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable
from pathlib import Path

import duckdb

#: Larger files are named without the line, where DuckDB does not give it: to find it takes some twenty readings.
_LARGEST_BYTES = 64 << 20
_NOT_TEXT = (".parquet", ".xlsx", ".gz", ".zst", ".zip")
_BY_THE_READER = re.compile(r"CSV Error on Line: (\d+)")
_CONVERTED = re.compile(r'Error when converting column "([^"]+)"\. (.*)')
_QUOTED = re.compile("'([^']*)'|\"([^\"]*)\"")

#: Reads a file, and gives the error with which that fails.
Attempt = Callable[[Path], duckdb.Error | None]


def reason_of(error: duckdb.Error) -> str:
    """Say in a line why a file could not be read, with the line and column where DuckDB gives them."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    if "Error when sniffing file" in lines[0]:
        return (
            "DuckDB cannot tell its columns apart: no separator, quote and kind of line ends (LF or CRLF, not both)"
            " fits all of its lines"
        )
    place = _BY_THE_READER.search(lines[0])
    if place is None:
        return lines[0]
    if converted := next((found for line in lines if (found := _CONVERTED.search(line))), None):
        return f"line {place[1]}, column {converted[1]}: {converted[2]}"
    # What is wrong stands behind the line itself, which may go over several, and before what could be done about it.
    end = next((n for n, line in enumerate(lines) if line.startswith("Possible ")), len(lines))
    told = [line for line in lines[1:end] if not line.startswith("Original Line:")]
    return f"line {place[1]}: {told[-1] if told else lines[0]}"


def located(error: duckdb.Error, path: Path, directory: Path, attempt: Attempt, separator: str = ",") -> str:
    """Say why a file could not be read, and find the line at fault where DuckDB does not give it.

    Parts of the file from its beginning are read until one line makes the difference. What a name in quotes in the
    error is a cell of that line gives the column.
    """
    reason = reason_of(error)
    if reason.startswith("line ") or isinstance(error, duckdb.BinderException):
        return reason
    if path.suffix.lower() in _NOT_TEXT or path.stat().st_size > _LARGEST_BYTES:
        return reason
    lines = path.read_bytes().splitlines(keepends=True)
    part = directory / f"part{path.suffix}"

    def fails(count: int) -> bool:
        part.write_bytes(b"".join(lines[:count]))
        found = attempt(part)
        return found is not None and reason_of(found) == reason

    good, bad = 0, len(lines)
    while bad - good > 1:
        middle = (good + bad) // 2
        good, bad = (good, middle) if fails(middle) else (middle, bad)
    try:
        if not fails(bad) or fails(bad - 1):
            return reason
    finally:
        part.unlink(missing_ok=True)
    column = _column(reason, lines[0], lines[bad - 1], separator)
    return f"line {bad}{f', column {column}' if column else ''}: {reason}"


def _column(reason: str, header: bytes, line: bytes, separator: str) -> str | None:
    """Name the column whose cell the error quotes."""
    quoted = {one or other for one, other in _QUOTED.findall(reason)}
    try:
        names, cells = (
            next(csv.reader([text.decode("utf-8-sig").strip("\r\n")], delimiter=separator)) for text in (header, line)
        )
    except (csv.Error, UnicodeDecodeError, StopIteration, TypeError):
        return None
    return next((name for name, cell in zip(names, cells, strict=False) if cell and cell in quoted), None)
