"""DuckDB's extensions, loaded from the wheels that carry them, with no network and with their signatures checked."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.errors import UsageError

if TYPE_CHECKING:
    import duckdb

#: What a lake needs: its format, and the driver of its catalogue.
REQUIRED = ("ducklake", "sqlite_scanner")


def extension_file(name: str) -> Path:
    """Find the file of an extension in the installed wheel `duckdb-extension-NAME`.

    Raises
    ------
    UsageError
        If the wheel is not installed, or holds no file for this platform.
    """
    package = f"duckdb_extension_{name}"
    spec = importlib.util.find_spec(package)
    wheel = package.replace("_", "-")
    if spec is None or not spec.submodule_search_locations:
        raise UsageError(f"DuckDB's extension {name} is not installed; run: pip install {wheel}==1.5.5")
    files = sorted(Path(spec.submodule_search_locations[0]).glob("extensions/*/*.duckdb_extension"))
    if not files:
        raise UsageError(f"the package {wheel} holds no extension file for this platform; install it again.")
    return files[-1]


def load_extensions(connection: duckdb.DuckDBPyConnection) -> None:
    """Load what a lake needs into a connection's database instance."""
    for name in REQUIRED:
        connection.execute(f"LOAD '{str(extension_file(name)).replace(chr(39), chr(39) * 2)}'")
