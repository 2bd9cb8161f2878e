"""What production runs: the texts of its definitions, and what they mean.

They are those of its newest deployment; where none was ever deployed, those beside its lake, if that is another
directory than the working copy's; and otherwise those that the ledger keeps of what its newest pages and its live
versions were made from.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from warehouse.definitions import Definitions, load_definitions
from warehouse.errors import AlmanacError, NotFoundError
from warehouse.lake.lake import Lake, lake_of
from warehouse.lake.postgres.addresses import LAKE_FILE
from warehouse.ledger.deployments import deployments_of
from warehouse.ledger.found_classes import with_found_classes
from warehouse.ledger.texts import all_texts
from warehouse.system_sql import system_sql


@dataclass(frozen=True)
class Production:
    """Production's definitions.

    Attributes
    ----------
    texts
        By path.
    is_whole
        Whether these are all files, and not only those that bear on pages.
    definitions
        What they mean, without the settings of the suite; None if they cannot be read, and `why_not` says why.
    origin
        Where they are from, in words.
    """

    texts: Mapping[str, str]
    is_whole: bool
    definitions: Definitions | None
    origin: str
    why_not: str | None = None


def find_lake(against: Path | None, suite_root: Path) -> Lake:
    """Give production's lake: `against` is a suite's directory or a lake's, by default the working copy's own.

    Raises
    ------
    NotFoundError
        If there is none.
    """
    root = (against or suite_root).resolve()
    for lake in (Lake(root), lake_of(root)):
        if lake.exists():
            return lake
    raise NotFoundError(
        f"there is no lake in {root}. Name production's suite, or its lake, with --against DIR; `almanac ingest` makes"
        " a lake."
    )


def production_of(lake: Lake, home: Path, suite_root: Path, directory: Path) -> Production:
    """Find production's definitions.

    Parameters
    ----------
    lake
        A lake that has production's state.
    home
        The directory in which production's lake lies.
    suite_root
        The working copy.
    directory
        A new directory, in which texts are put to be read.
    """
    with lake.reading() as connection:
        deployed = deployments_of(connection)
        recorded = [dict(row[0]) for row in connection.execute(system_sql("check/recorded_texts")).fetchall()]
    if deployed:
        newest = deployed[-1]
        return _read(newest.files, directory, lake, f"deployment {newest.deployment}", is_whole=True)
    if home.resolve() != suite_root.resolve() and (home / "sql").is_dir():
        try:
            texts = all_texts(load_definitions(home))
        except AlmanacError as error:
            return Production({}, False, None, f"the files in {home}", str(error))
        return _read(texts, directory, lake, f"the files in {home}", is_whole=True)
    texts = {path: text for files in recorded for path, text in files.items()}
    return _read(texts, directory, lake, "what the ledger keeps of pages and live versions", is_whole=False)


def _read(texts: Mapping[str, str], directory: Path, lake: Lake, origin: str, *, is_whole: bool) -> Production:
    for path, text in texts.items():
        file = directory / path
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text, encoding="utf-8")
    (directory / "sql").mkdir(parents=True, exist_ok=True)
    try:
        found = with_found_classes(load_definitions(directory), lake)
    except AlmanacError as error:
        return Production(texts, is_whole, None, origin, str(error))
    return Production(texts, is_whole, found, origin)


def show_modules(suite_root: Path, directory: Path) -> None:
    """Let modules that the working copy names be found beside a scratch lake in `directory`, as beside a lake."""
    for path in suite_root.iterdir():
        if (
            not path.name.startswith(".")
            and path.name not in ("lake", LAKE_FILE)
            and not (directory / path.name).exists()
        ):
            (directory / path.name).symlink_to(path)
