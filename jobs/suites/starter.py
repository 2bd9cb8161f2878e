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
BARE_SCHEDULE = SQL_ROOT / "system" / "bare" / "schedules.yaml"
_SCHEMA = Path(__file__).parents[1] / "schedule" / "files" / "schedules.schema.json"
_EDITORS_SCHEMA = ".schedules.schema.json"
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
    _complete(directory, STARTER / "schedules.yaml")


def make_bare(directory: Path) -> None:
    """Make a suite without an example in a directory, which must be new or empty: where things go, and a schedule.

    Raises
    ------
    UsageError
        If the directory holds anything.
    """
    _require_empty(directory)
    for name in _DEFINITIONS:
        (directory / "sql" / name).mkdir(parents=True)
        # git keeps no empty directory.
        (directory / "sql" / name / ".gitkeep").touch()
    _complete(directory, BARE_SCHEDULE)


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
    # In a checkout it stands beside `sql/`, in a wheel inside.
    beside = SQL_ROOT.parent / "schedules.yaml"
    _complete(directory, beside if beside.exists() else SQL_ROOT / "schedules.yaml")


def _complete(directory: Path, schedule: Path) -> None:
    """Add the schedule, with the JSON Schema by which editors help with it, and keep the lake out of git."""
    lines = schedule.read_text(encoding="utf-8").splitlines(keepends=True)
    lines[0] = f"# yaml-language-server: $schema={_EDITORS_SCHEMA}\n"
    (directory / "schedules.yaml").write_text("".join(lines), encoding="utf-8")
    shutil.copyfile(_SCHEMA, directory / _EDITORS_SCHEMA)
    (directory / ".gitignore").write_text("lake/\n", encoding="utf-8")


def _require_empty(directory: Path) -> None:
    if directory.exists() and (not directory.is_dir() or any(directory.iterdir())):
        raise UsageError(f"{directory} is not empty; name a new directory.")
    directory.mkdir(parents=True, exist_ok=True)
