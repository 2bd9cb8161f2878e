"""DuckDB's extensions, loaded from the wheels that carry them, with no network and with their signatures checked."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from warehouse.errors import UsageError
from warehouse.lake.catalogues import SqliteCatalogue
from warehouse.private_cache import Stamps
from warehouse.queries.wrong_answers import switch_off_wrong_optimizers
from warehouse.system_sql import literal

if TYPE_CHECKING:
    import duckdb

#: The format of a lake.
FORMAT = "ducklake"
#: What a lake with its catalogue in its own directory needs: its format, and the driver of its catalogue.
REQUIRED = (FORMAT, *SqliteCatalogue.EXTENSIONS)


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


def open_instance(drivers: Sequence[str] = SqliteCatalogue.EXTENSIONS) -> duckdb.DuckDBPyConnection:
    """Open a database instance in memory, in UTC, with what a lake needs loaded.

    On every LOAD DuckDB checks the extension's signature: a hash over 70 MB, which takes longer than all else that a
    short command does. So that is done once, and a stamp that only this user can write tells later instances and
    processes, for as long as nothing touches the files. `almanac doctor` has them checked whatever the stamp says.

    Parameters
    ----------
    drivers
        The extensions that the lake's catalogue needs.

    Raises
    ------
    UsageError
        If a file is not there, or is not what DuckDB signed.
    """
    import duckdb

    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": "false",
        "autoload_known_extensions": "false",
        # A name that is no table would be looked for among the variables of whatever Python calls DuckDB.
        "python_enable_replacements": "false",
    }
    files = [extension_file(name) for name in (FORMAT, *drivers)]
    state = _state_of(files)
    if state in _checked:
        config["allow_unsigned_extensions"] = "true"
    connection = duckdb.connect(":memory:", config=config)
    connection.execute("SET TimeZone='UTC'")
    for file in files:
        try:
            connection.execute(f"LOAD {literal(str(file))}")
        except duckdb.Error as error:
            connection.close()
            raise UsageError(f"{error}. Install DuckDB and its extensions again.") from error
    _checked.add(state)
    switch_off_wrong_optimizers(connection)
    return connection


def load_excel(connection: duckdb.DuckDBPyConnection) -> None:
    """Let an instance read Excel's files, where the optional wheel is installed that carries the extension.

    Raises
    ------
    UsageError
        If it is not.
    """
    _load(connection, "excel")


def load_postgres(connection: duckdb.DuckDBPyConnection) -> None:
    """Let an instance reach PostgreSQL, where the optional wheel is installed that carries the extension.

    Raises
    ------
    UsageError
        If it is not.
    """
    _load(connection, "postgres_scanner")


def _load(connection: duckdb.DuckDBPyConnection, name: str) -> None:
    connection.execute(f"LOAD {literal(str(extension_file(name)))}")


def state_of_extensions(drivers: Sequence[str] = SqliteCatalogue.EXTENSIONS) -> str:
    """Name the extensions that `open_instance` loads, and the state that their files are in."""
    return _state_of([extension_file(name) for name in (FORMAT, *drivers)])


def _state_of(files: Sequence[Path]) -> str:
    """Name files and the state they are in. To touch one changes its `st_ctime_ns`, which nobody can set back."""
    seen = [(str(file), file.stat()) for file in files]
    states = [(path, stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns) for path, stat in seen]
    return hashlib.sha256(repr(states).encode()).hexdigest()


#: The states of files whose signatures were found right.
_checked = Stamps("extensions")
