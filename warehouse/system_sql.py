"""The suite's own SQL, kept in named and commented files under `sql/system/`.

A file may hold placeholders such as `{product}`; they are filled with quoted identifiers (or with fragments
made of them), never with values: values are bound.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from functools import cache
from pathlib import Path

from warehouse.errors import UsageError

#: `sql/` stands beside `warehouse/`, in a checkout and in an installed wheel alike.
SQL_ROOT = Path(__file__).parent.parent / "sql"
_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_WILDCARD = re.compile(r"[*?\[]")


@cache
def _text(name: str) -> str:
    return (SQL_ROOT / "system" / f"{name}.sql").read_text(encoding="utf-8")


def system_sql(name: str, **fragments: str) -> str:
    """Read `sql/system/NAME.sql` and fill its placeholders; one that is missing or left over is a KeyError."""
    text = _text(name)
    unused = fragments.keys() - set(_PLACEHOLDER.findall(text))
    if unused:
        raise KeyError(f"sql/system/{name}.sql has no placeholder {sorted(unused)}")
    return _PLACEHOLDER.sub(lambda match: fragments[match[1]], text)


def quote(name: str) -> str:
    """Quote an identifier for DuckDB."""
    return '"' + name.replace('"', '""') + '"'


def quote_all(names: Iterable[str], prefix: str = "") -> str:
    """Quote identifiers and join them with commas, each behind `prefix` (such as `page.`)."""
    return ", ".join(prefix + quote(name) for name in names)


def literal(text: str) -> str:
    """Quote a string for the few places where DuckDB takes no parameter (ATTACH, SET, CREATE VIEW)."""
    return "'" + text.replace("'", "''") + "'"


def exact_path(path: str | Path) -> str:
    """Write a path for DuckDB's file readers, which take every path for a pattern, so that it matches that file only.

    Without this, `o[1].csv` (a browser's second download) reads `o1.csv`.

    Raises
    ------
    UsageError
        If the path holds a backslash besides `*`, `?` or `[`: no pattern of DuckDB's matches just that.
    """
    text = str(path)
    if not _WILDCARD.search(text):
        return text
    if "\\" in text:
        raise UsageError(f"the path {text} holds a backslash and one of `*`, `?` and `[`, which DuckDB cannot open.")
    return _WILDCARD.sub(lambda match: f"[{match[0]}]", text)


def parquet(files: Iterable[Path]) -> str:
    """Give SQL of a relation of the rows of some Parquet files, read by their exact paths."""
    return f"read_parquet([{', '.join(literal(exact_path(file)) for file in files)}])"


def attach_statement(
    place: str, name: str, data: str, *, read_only: bool, snapshot_id: int | None, options: Sequence[str] = ()
) -> str:
    """Write the statement by which DuckLake attaches a lake, whatever its catalogue lies in.

    Parameters
    ----------
    place
        Where DuckLake finds the catalogue, `ducklake:...`.
    name, data, read_only, snapshot_id
        As of `Catalogue.attach`.
    options
        What the kind of catalogue wants besides.
    """
    said = [f"DATA_PATH {literal(data)}", "OVERRIDE_DATA_PATH true", *options]
    if read_only:
        said.append("READ_ONLY")
    if snapshot_id is not None:
        said.append(f"SNAPSHOT_VERSION {int(snapshot_id)}")
    return f"ATTACH {literal(place)} AS {quote(name)} ({', '.join(said)})"
