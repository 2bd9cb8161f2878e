"""The kinds of targets: which class stands for what `to` says."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path

from jobs.export.bundle import BundleDirectory
from jobs.export.folders import Directory, Folder, Prefix
from jobs.export.on_demand import OnDemandPart
from jobs.export.one_file import DuckdbFile, SqliteFile
from jobs.export.page_files import PageFiles
from jobs.export.postgres_table import PostgresTable
from jobs.export.target import Owner, Target
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.definitions.export import TargetKind, TargetSettings
from warehouse.errors import UsageError


@dataclass(frozen=True)
class _Wanted:
    """What a target is made from."""

    path: Path
    folder: Folder
    table: str
    settings: TargetSettings
    product: Product
    owner: Owner
    where: str
    suite: Suite


def _postgres(wanted: _Wanted) -> PostgresTable:
    schema, _, table = wanted.table.rpartition(".")
    return PostgresTable(
        wanted.settings.to, schema or "public", table, wanted.settings.mode, wanted.owner, wanted.where
    )


def _bundle(wanted: _Wanted) -> BundleDirectory:
    on_demand = OnDemandPart(wanted.suite, wanted.product) if wanted.product.header.on_demand else None
    is_plain = wanted.settings.format == "json"
    return BundleDirectory(wanted.path, wanted.settings.signed_with, wanted.product, wanted.owner, on_demand, is_plain)


_NOT_GIVEN = ("sqlite_", "almanac_")
#: How each kind of target is opened.
_KINDS: Mapping[TargetKind, Callable[[_Wanted], Target]] = {
    "sqlite": lambda wanted: SqliteFile(wanted.path, wanted.table, wanted.owner),
    "duckdb": lambda wanted: DuckdbFile(wanted.path, wanted.table, wanted.owner),
    "postgresql": _postgres,
    "bundle": _bundle,
    "files": lambda wanted: PageFiles(wanted.folder, wanted.settings.format or "parquet", wanted.owner),
}


def open_target(suite: Suite, product: Product, name: str, suite_id: str) -> Target:
    """Give a target of a product; it is not touched yet.

    Raises
    ------
    UsageError
        If it lies in the lake's own directory, or its table has a name that the target does not give away.
    """
    settings = product.header.export[name]
    path = (suite.root / settings.to).resolve()
    if path.is_relative_to(suite.lake.root.resolve()):
        raise UsageError(
            f"{product.at('export', name, 'to')}: `{settings.to}` lies in the lake's own directory. Name a place"
            " outside of it."
        )
    table = settings.table or product.name
    if settings.kind == "sqlite" and table.lower().startswith(_NOT_GIVEN):
        raise UsageError(
            f"{product.at('export', name)}: a table in SQLite cannot be called `{table}`: names that begin with"
            f" {' or '.join(_NOT_GIVEN)} are SQLite's own and those of exports. Give another `table`."
        )
    folder = Prefix(settings.to, suite.staging) if settings.is_bucket else Directory(path)
    owner, where = Owner(suite_id, product.name), product.at("export", name, "to")
    wanted = _Wanted(path, folder, table, settings, product, owner, where, suite)
    return _KINDS[settings.kind](wanted)
