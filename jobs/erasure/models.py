"""Models and a person: which versions learned from them, held-out predictions without them, and files that name them.

A version's directory is never changed: one without the person's held-out rows is put beside it, the ledger names that
in the erasure's commit, and the old one goes afterwards. What a model learned stays learned.
"""

from __future__ import annotations

import json
import shutil
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from jobs.erasure.marks import Marks
from jobs.erasure.person import any_of
from jobs.erasure.product_rows import ProductRows
from jobs.models.artifacts import HELD_OUT_FILE, MANIFEST_FILE
from jobs.suite import Suite
from warehouse.lake.extensions import open_instance
from warehouse.lake.lake import Commit, newest_snapshot, table_columns
from warehouse.lake.staged_files import sha256_of
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord
from warehouse.system_sql import exact_path, literal, quote, system_sql


def all_versions(connection: duckdb.DuckDBPyConnection) -> list[ModelRecord]:
    """List the versions of all products."""
    products = [row[0] for row in connection.execute(system_sql("ledger/products_with_models")).fetchall()]
    return [model for product in products for model in ledger.models(connection, product)]


def versions_trained_on(
    connection: duckdb.DuckDBPyConnection, products: Mapping[str, ProductRows]
) -> list[tuple[str, str, int]]:
    """Give the versions on whose training pages the person has rows: product, version, how many rows."""
    found = []
    for model in all_versions(connection):
        rows = products.get(model.product)
        columns = table_columns(connection, "features", model.product)
        rules = rows.rules_for(columns) if rows is not None else []
        if not rules or model.first_page is None or model.last_page is None:
            continue
        theirs, values = any_of(rules)
        numbers = f"${len(values) + 1} AND ${len(values) + 2}"
        query = f"SELECT count(*) FROM features.{quote(model.product)} WHERE {theirs} AND as_of BETWEEN {numbers}"
        row = connection.execute(query, [*values, model.first_page, model.last_page]).fetchone()
        if row is not None and row[0]:
            found.append((model.product, model.version, int(row[0])))
    return found


def files_that_name(suite: Suite, marks: Marks) -> list[str]:
    """Give the files of models, held-out rows aside, in which the person is a value that the model tells apart."""
    found = []
    for path in sorted(suite.lake.storage.fetch_all("artifacts").rglob("*")):
        if path.is_file() and path.name != HELD_OUT_FILE and any(_names(part, marks) for part in _parts(path)):
            found.append(str(path.relative_to(suite.lake.root)))
    return found


def _parts(path: Path) -> Iterator[bytes]:
    """Give what is in a file: of an archive its members; of a Parquet file its rows as text."""
    if path.suffix == ".parquet":
        with duckdb.connect() as connection:
            rows = connection.execute("FROM read_parquet($1)", [exact_path(path)]).fetchall()
        yield "\n".join(str(row) for row in rows).encode()
    elif zipfile.is_zipfile(path):
        with zipfile.ZipFile(path) as archive:
            yield from (archive.read(name) for name in archive.namelist())
    else:
        yield path.read_bytes()


def _names(data: bytes, marks: Marks) -> bool:
    """Tell whether bytes hold a text of the person's, or one as NumPy stores it (four bytes a character)."""
    return any(word.encode() in data or word.encode("utf-32-le") in data for word in marks.words)


@dataclass(frozen=True)
class HeldOut:
    """Versions' directories beside their own, without the person's held-out rows, as of a snapshot of the lake.

    `made` has of each version its place, and the SHA-256 of its manifest.
    """

    snapshot_id: int
    made: Sequence[tuple[ModelRecord, str, str]]

    def kept(self, suite: Suite) -> dict[str, Path]:
        """Name the directories for `Lake.commit`, which sends them ahead."""
        return {artifact: suite.lake.root / artifact for _, artifact, _ in self.made}

    def is_there(self, suite: Suite) -> bool:
        """Tell whether they still are: upkeep clears what nothing names."""
        return all(directory.is_dir() for directory in self.kept(suite).values())

    def commit(self, commit: Commit) -> None:
        """Have the ledger name them."""
        for model, artifact, manifest in self.made:
            commit.turn.keep(artifact)
            commit.execute(system_sql("ledger/move_version"), [model.product, model.version, artifact, manifest])


def rewrite_held_out(
    suite: Suite, connection: duckdb.DuckDBPyConnection, products: Mapping[str, ProductRows], suffix: str
) -> HeldOut:
    """Write directories without the person's held-out rows, beside those of versions that have any."""
    done = []
    for model in all_versions(connection):
        rows = products.get(model.product)
        directory = suite.lake.storage.fetch_all(model.artifact)
        if rows is None or not (directory / HELD_OUT_FILE).is_file():
            continue
        beside = directory.with_name(f"{directory.name}-{suffix}")
        manifest = _without(directory, beside, rows)
        if manifest is not None:
            done.append((model, beside.relative_to(suite.lake.root).as_posix(), manifest))
    return HeldOut(newest_snapshot(connection), done)


def _without(directory: Path, beside: Path, rows: ProductRows) -> str | None:
    """Write a version's directory without the person's held-out rows; give its manifest's hash, None if it has none."""
    held_out = exact_path(directory / HELD_OUT_FILE)
    with open_instance() as connection:
        described = connection.execute("DESCRIBE FROM read_parquet($1)", [held_out]).fetchall()
        rules = rows.rules_for({str(row[0]): str(row[1]) for row in described})
        if not rules:
            return None
        theirs, values = any_of(rules)
        source = f"read_parquet({literal(held_out)})"
        if connection.execute(f"SELECT 1 FROM {source} WHERE {theirs} LIMIT 1", values).fetchone() is None:
            return None
        shutil.rmtree(beside, ignore_errors=True)
        shutil.copytree(directory, beside)
        target = literal(str(beside / HELD_OUT_FILE))
        connection.execute(f"CREATE TEMP TABLE kept AS FROM {source} WHERE NOT {theirs}", values)
        connection.execute(f"COPY kept TO {target} (FORMAT parquet, COMPRESSION zstd)")
    manifest = json.loads((beside / MANIFEST_FILE).read_text(encoding="utf-8"))
    manifest["files"][HELD_OUT_FILE] = sha256_of(beside / HELD_OUT_FILE)
    (beside / MANIFEST_FILE).write_text(json.dumps(manifest, indent=2, sort_keys=True), encoding="utf-8")
    return sha256_of(beside / MANIFEST_FILE)
