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


def open_instance() -> duckdb.DuckDBPyConnection:
    """Open a database instance in memory, in UTC, with what a lake needs loaded.

    DuckDB checks an extension's signature on every LOAD, which takes a tenth of a second for these. The first
    instance of a process has them checked; later ones load the same files unchecked.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
    }
    files = [extension_file(name) for name in REQUIRED]
    seen = tuple((str(file), file.stat().st_mtime_ns) for file in files)
    if seen in _checked:
        config["allow_unsigned_extensions"] = "true"
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone='UTC'")
    for file in files:
        connection.execute(f"LOAD '{str(file).replace(chr(39), chr(39) * 2)}'")
    _checked.add(seen)
    return connection


#: The files, by path and time of change, whose signatures this process has had checked.
_checked: set[tuple[tuple[str, int], ...]] = set()
