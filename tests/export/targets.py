"""A suite with targets, and what they hold."""

from __future__ import annotations

import contextlib
import json
import sqlite3
from pathlib import Path
from typing import Any

import duckdb

from jobs.suite import Suite
from tests.conftest import PRODUCT, reopened

EXPORT = """
export:
  app: {to: out/predictions.sqlite}
  analysts: {to: out/predictions.duckdb, table: late}
  files: {to: out/pages/, format: jsonl, columns: [order_id, as_of, probability]}
"""


def with_targets(suite: Suite, export: str = EXPORT) -> Suite:
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().partition("\nexport:")[0] + export)
    return reopened(suite)


def in_sqlite(suite: Suite, query: str = "SELECT * FROM late_order ORDER BY order_id") -> list[tuple[Any, ...]]:
    with contextlib.closing(sqlite3.connect(f"file:{suite.root / 'out/predictions.sqlite'}?mode=ro", uri=True)) as db:
        return db.execute(query).fetchall()


def in_duckdb(suite: Suite, query: str = "FROM late ORDER BY order_id") -> list[tuple[Any, ...]]:
    with contextlib.closing(duckdb.connect(suite.root / "out/predictions.duckdb", read_only=True)) as db:
        return db.execute(query).fetchall()


def manifest(suite: Suite) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((suite.root / "out/pages/manifest.json").read_text())
    return found


def in_files(suite: Suite) -> dict[str, list[dict[str, Any]]]:
    """Give the rows of each page that the manifest names."""
    directory: Path = suite.root / "out/pages"
    return {
        page["as_of"]: [json.loads(line) for line in (directory / page["file"]).read_text().splitlines()]
        for page in manifest(suite)["pages"]
    }
