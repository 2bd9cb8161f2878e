"""Data files of the lake that are not where the catalogue has them: what each held, and what to do."""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime, timedelta
from pathlib import Path

import duckdb

from warehouse.lake.storage.storage import Storage
from warehouse.system_sql import system_sql


def lost_files(connection: duckdb.DuckDBPyConnection, storage: Storage, paths: Iterable[str]) -> list[str]:
    """Give a sentence on each of the lake's data files that is gone, with the pages or the source that it held."""
    gone = sorted(storage.missing(list(paths)))
    if not gone:
        return []
    rows = connection.execute(system_sql("doctor/held_pages")).fetchall()
    held = {Path(path).name: (schema, table, first, last) for schema, table, path, first, last in rows}
    return [_sentence(path, *held.get(Path(path).name, (None, None, None, None))) for path in gone]


def _sentence(path: str, schema: str | None, table: str | None, first: str | None, last: str | None) -> str:
    what, again = what_was_held(schema, table, first, last)
    return (
        f"{path} is missing; it held {what}. Put it back from a backup, under that name{again}: whatever reads these"
        " rows fails until then"
    )


def what_was_held(schema: str | None, table: str | None, first: str | None, last: str | None) -> tuple[str, str]:
    """Say what a file of a table held, and how its pages are made again; that is empty where they cannot be."""
    if schema == "sources":
        return f"facts of the source {table}", ""
    if schema is not None and first is not None:
        return f"{schema} of {table}, of pages from {first} to {last}", _command(schema, str(table), first, str(last))
    return f"rows of {schema}.{table}" if schema is not None else "rows of a table that is not known", ""


def _command(schema: str, product: str, first: str, last: str) -> str:
    """Give the command that makes a lost file's pages again; labels are made by themselves."""
    if schema not in ("features", "predictions"):
        return ""
    start, end = datetime.fromisoformat(first), datetime.fromisoformat(last) + timedelta(minutes=1)
    more = " --features-only" if schema == "features" else ""
    span = f"--from {start:%Y-%m-%dT%H:%M} --to {end:%Y-%m-%dT%H:%M}"
    return f", or make them again: `almanac backfill {product} {span} --only all{more}`"
