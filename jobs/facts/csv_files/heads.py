"""Files told apart by how they begin, so that only files of one kind are read in one go.

DuckDB 1.5 takes what it finds in the first file for all that it reads with it: of files with other line ends it
loses rows where `columns` are declared, and where a column stands elsewhere it gives declared types to the wrong
columns. Neither is an error. So files with another byte order mark, other line ends or another first line are read
apart, and so are Parquet files of another schema.
"""

from __future__ import annotations

import gzip
import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import duckdb

from warehouse.system_sql import exact_path

#: A header is not longer than this.
_FIRST_LINE_BYTES = 1 << 20
_MARK = b"\xef\xbb\xbf"


def is_empty(path: Path) -> bool:
    """Tell whether a file holds no bytes but a byte order mark, unpacked if it ends in .gz."""
    try:
        with gzip.open(path) if path.suffix.lower() == ".gz" else path.open("rb") as stream:
            start = stream.read(len(_MARK) + 1)
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    return start in (b"", _MARK)


def may_hold_no_rows(path: Path) -> bool:
    """Tell whether a file holds a line at most, such as the names of its columns, or is a Parquet file without rows."""
    if path.stat().st_size > _FIRST_LINE_BYTES:
        return False
    content = path.read_bytes()
    if content.startswith(b"PAR1"):
        from pyarrow import ArrowException, parquet

        try:
            return bool(parquet.read_metadata(path).num_rows == 0)
        except (ArrowException, OSError):
            return False
    try:
        text = gzip.decompress(content) if content.startswith(b"\x1f\x8b") else content
    except (gzip.BadGzipFile, EOFError, zlib.error):
        return False
    return len(text.splitlines()) <= 1


def head_of(connection: duckdb.DuckDBPyConnection, path: Path, *, has_header: bool) -> tuple[object, ...]:
    """Give what files have in common that can be read together.

    Parameters
    ----------
    connection
        Looks into Parquet files.
    path
        The file.
    has_header
        Whether the first line of a text names its columns, and so is the same in files of one kind.
    """
    with path.open("rb") as stream:
        start = stream.read(4)
    if start == b"PAR1":
        return ("parquet", *_schema(connection, path))
    if start.startswith(b"\x1f\x8b"):
        try:
            with gzip.open(path) as packed:
                return _text_head(packed, has_header)  # type: ignore[arg-type]
        except (OSError, EOFError):
            return ("apart", str(path))
    if start.startswith((b"\x28\xb5\x2f\xfd", b"PK")):
        return ("apart", str(path))
    if start.lstrip(_MARK).lstrip()[:1] in (b"{", b"["):
        return ("json",)
    with path.open("rb") as text:
        return _text_head(text, has_header)


def _text_head(stream: BinaryIO, has_header: bool) -> tuple[object, ...]:
    line = stream.readline(_FIRST_LINE_BYTES)
    mark = line.startswith(_MARK)
    if b"\r" in line and not line.endswith(b"\r\n"):
        line = line[: line.index(b"\r") + 1]
    ends = "\r\n" if line.endswith(b"\r\n") else "\r" if line.endswith(b"\r") else "\n"
    return ("text", mark, ends, line.removeprefix(_MARK).rstrip(b"\r\n") if has_header else b"")


def _schema(connection: duckdb.DuckDBPyConnection, path: Path) -> Iterable[object]:
    try:
        found = connection.execute("DESCRIBE SELECT * FROM read_parquet($1)", [exact_path(path)]).fetchall()
    except duckdb.Error:
        return (str(path),)
    return [(row[0], row[1]) for row in found]
