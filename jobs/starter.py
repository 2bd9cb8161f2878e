"""A new suite: a small working example whose files teach, copied into a directory."""

from __future__ import annotations

import shutil
from pathlib import Path

from warehouse.definitions import load_definitions
from warehouse.errors import UsageError
from warehouse.system_sql import SQL_ROOT

#: The suite of the demo is this package's own `sql/`, of which it takes the flights; the starter lies among the
#: system's files.
STARTER = SQL_ROOT / "system" / "starter"
_DEFINITIONS = ("sources", "features", "products")
FLIGHTS = "flight_delay"


def make_starter(directory: Path) -> None:
    """Copy the starter suite into a directory, which must be new or empty.

    Raises
    ------
    UsageError
        If the directory holds anything.
    """
    _require_empty(directory)
    shutil.copytree(STARTER, directory, dirs_exist_ok=True)
    _ignore_lake(directory)


def make_flights(directory: Path) -> None:
    """Make a suite of the flight-delay example in a directory, which must be new or empty.

    What belongs to other products of this package's own suite, and not to the flights too, stays behind.
    """
    _require_empty(directory)
    for name in _DEFINITIONS:
        shutil.copytree(SQL_ROOT / name, directory / "sql" / name)
    definitions = load_definitions(SQL_ROOT.parent)
    kept = definitions.texts_of(definitions.product(FLIGHTS)).keys()
    for product in definitions.products.values():
        for where in definitions.texts_of(product).keys() - kept:
            (directory / where).unlink(missing_ok=True)
        if product.name != FLIGHTS:
            shutil.rmtree(directory / "sql" / "products" / product.name)
    _ignore_lake(directory)


def _ignore_lake(directory: Path) -> None:
    (directory / ".gitignore").write_text("lake/\n", encoding="utf-8")


def _require_empty(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is not empty; name a new directory.")
    directory.mkdir(parents=True, exist_ok=True)
