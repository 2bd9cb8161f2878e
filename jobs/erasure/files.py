"""Files of the lake that hold a person besides its tables: copies of deliveries, leftovers of runs, logs.

`warehouse.lake.places` lists the places; `AT_PLACES` says what becomes of each.
"""

from __future__ import annotations

import shutil
import uuid
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from jobs.backup.scratch import SCRATCH, clear_scratch
from jobs.erasure.marks import Marks
from jobs.facts.files.delivered_files import find_files
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import AlmanacError, RunFailed
from warehouse.system_sql import exact_path

#: Endings of files that are read as text; of others, but for Parquet, it cannot be told what they hold.
_TEXT = {".csv", ".tsv", ".txt", ".json", ".jsonl", ".ndjson", ".log", ""}


def holds(path: Path, marks: Marks) -> bool:
    """Tell whether a file may hold the person: of one that cannot be looked into, that it may."""
    try:
        if path.suffix.lower() == ".parquet":
            with duckdb.connect() as connection:
                reader = connection.execute("FROM read_parquet($1)", [exact_path(path)])
                while rows := reader.fetchmany(10_000):
                    if any(marks.are_in(_said(row, reader.description or [])) for row in rows):
                        return True
            return False
        if path.suffix.lower() == ".zip":
            with zipfile.ZipFile(path) as archive:
                return any(_tells(archive.read(name), marks) for name in archive.namelist())
        return path.suffix.lower() not in _TEXT or _tells(path.read_bytes(), marks)
    except (duckdb.Error, OSError, zipfile.BadZipFile, RuntimeError, NotImplementedError):
        return True


def _said(row: tuple[object, ...], description: Sequence[Sequence[object]]) -> str:
    return "\n".join(f"{column[0]}: {value}" for column, value in zip(description, row, strict=True))


def _tells(data: bytes, marks: Marks) -> bool:
    text = data.decode("utf-8", errors="replace")
    return marks.are_in(text) or any(marks.are_in(line) for line in _by_column(text))


def _by_column(text: str) -> Iterator[str]:
    """Give the cells of a text with a head and commas, each behind the name of its column, as marks expect a number."""
    head, *lines = text.splitlines() or [""]
    names = [name.strip(' "') for name in head.split(",")]
    for line in lines:
        cells = [cell.strip(' "') for cell in line.split(",")]
        yield "\n".join(f"{name}: {cell}" for name, cell in zip(names, cells, strict=False))


def copies_that_hold(suite: Suite, marks: Marks) -> list[str]:
    """Give the lake's copies of deliveries that hold the person, by their paths below it."""
    found, storage = [], suite.lake.storage
    for path in storage.files("deliveries"):
        with storage.at_hand(path) as file:
            if holds(file, marks):
                found.append(path)
    return found


def delete_copies(suite: Suite, marks: Marks) -> None:
    """Delete the copies of deliveries that hold the person; a copy of part of a delivery would not be that delivery."""
    for path in copies_that_hold(suite, marks):
        suite.lake.storage.remove(path.rpartition("/")[0])


def files_outside(suite: Suite, sources: Mapping[str, Source], marks: Marks) -> list[str]:
    """Name files, and databases, from which sources would bring the person back, were it not for the tombstone."""
    found = []
    for name, source in sources.items():
        header = source.header
        if header.database is not None or header.batches is not None or header.loader is not None or source.is_remote:
            found.append(f"what {header.database or header.batches or header.loader or 'its URLs'} gives to {name}")
        elif header.product is None:
            with TemporaryDirectory() as directory:
                try:
                    files = find_files(source, suite.root, Path(directory))
                except AlmanacError:
                    continue
                found += [str(file.found) for file in files if holds(file.found, marks)]
    return found


def clear_leftovers(suite: Suite) -> None:
    """Clear what runs that are gone have left, damaged files, scratch lakes and rehearsals.

    Raises
    ------
    RunFailed
        If a scratch lake is in use.
    """
    for place in (suite.lake.root / "damaged", suite.lake.root / "rehearsals", suite.root / ".rehearsals"):
        shutil.rmtree(place, ignore_errors=True)
    for directory in suite.lake.staging.glob("*"):
        shutil.rmtree(directory, ignore_errors=True)
    for draft in (suite.lake.root / "deliveries").glob(".*"):  # whoever makes one has the lock of ingestions
        shutil.rmtree(draft, ignore_errors=True)
    clear_scratch(suite.root)
    left = [path for path in (suite.root / SCRATCH).glob("*") if path.is_dir()]
    if left:
        raise RunFailed(
            f"a scratch lake is in use in {left[0]}: wait for `almanac check` or a dry run to end, and run the same"
            " `almanac erase` again; it goes on where it is."
        )


def clear_models(suite: Suite) -> None:
    """Remove the directories of models that the ledger does not name (any more)."""
    with suite.lake.reading() as connection:
        rows = connection.execute("SELECT artifact FROM ledger.models").fetchall()
    storage, named = suite.lake.storage, {row[0] for row in rows}
    for directory in {"/".join(path.split("/")[:3]) for path in storage.files("artifacts")} - named:
        storage.remove(directory)
    known = {suite.lake.root / row[0] for row in rows}
    for path in suite.lake.artifacts.glob("*/*"):
        if path not in known:
            shutil.rmtree(path, ignore_errors=True)


def blot_logs(suite: Suite, marks: Marks) -> None:
    """Take the person's marks out of what jobs printed; each log is replaced whole."""
    for path in sorted((suite.lake.root / "logs").rglob("*")):
        if not path.is_file():
            continue
        before = path.read_text(encoding="utf-8", errors="surrogateescape")
        after = marks.blotted(before)
        if after != before:
            unnamed = path.with_name(f".{uuid.uuid4().hex}")
            unnamed.write_text(after, encoding="utf-8", errors="surrogateescape")
            unnamed.replace(path)
