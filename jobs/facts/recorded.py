"""Where the bytes of the deliveries are to be had today that the ledger has recorded.

Each delivery counts once, at the instant at which it first reached us (`warehouse.ledger.recorded_deliveries`). Files
are known by their hash: at their recorded path, where `files` looks, or among the copies in `lake/deliveries` that a
source with `keep: true` makes of all that it takes in.
"""

from __future__ import annotations

import glob
import shutil
import uuid
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial
from pathlib import Path

import duckdb

from jobs.facts.files.delivered_files import DeliveredFile, described_file, entry_of, find_files
from jobs.facts.files.remote_files import READS_NAMES, TakenIn
from jobs.suite import Suite
from warehouse.definitions import Source
from warehouse.errors import IngestFailed, NotInstalled
from warehouse.lake.lake import Lake
from warehouse.ledger.recorded_deliveries import RecordedDelivery
from warehouse.ledger.records import SourceFile
from warehouse.system_sql import system_sql
from warehouse.wording import counted

#: Where copies are, below the lake.
_COPIES = "deliveries"


@dataclass(frozen=True)
class FoundDeliveries:
    """Where the bytes of recorded deliveries are: files by hash, and why each delivery that is gone is gone."""

    files: Mapping[str, DeliveredFile]
    gone: Mapping[int, str]

    def of(self, delivery: RecordedDelivery) -> list[DeliveredFile]:
        """Give the files of a delivery, in their order."""
        return [self.files[file["sha256"]] for file in delivery.files]


def find_deliveries(
    suite: Suite, source: Source, deliveries: Iterable[RecordedDelivery], directory: Path
) -> FoundDeliveries:
    """Look for the bytes of recorded deliveries, by their hashes. No loader is called, and nothing is fetched."""
    deliveries = list(deliveries)
    wanted = {file["sha256"]: file for delivery in deliveries for file in delivery.files}
    by_name = any(READS_NAMES.search(part.query.text) for part in source.parts)
    found = {sha: at for sha, file in wanted.items() if (at := _at_recorded_path(file)) is not None}
    if not by_name and wanted.keys() - found.keys():
        found = _where_files_looks(source, suite.root, directory) | found
        found |= _kept(suite.lake, [file for sha, file in wanted.items() if sha not in found])
    gone = {}
    for delivery in deliveries:
        why = _why_gone(source, delivery, found, by_name=by_name)
        if why is not None:
            gone[delivery.ingest_id] = why
    if source.entries:
        found = {sha: replace(file, entry=entry_of(source, file.path, suite.root)) for sha, file in found.items()}
    return FoundDeliveries(found, gone)


def _why_gone(
    source: Source, delivery: RecordedDelivery, found: Mapping[str, DeliveredFile], *, by_name: bool
) -> str | None:
    missing = [file["path"] for file in delivery.files if file["sha256"] not in found]
    if missing:
        where = "as it was, and the SELECT reads file names" if by_name else "any more"
        return f"{missing[0]} is not there {where}"
    patterns = source.header.files
    if isinstance(patterns, list) and not any(map(glob.has_magic, patterns)) and len(patterns) != len(delivery.files):
        return f"it had {counted(len(delivery.files), 'file')}, and the definition lists {len(patterns)}"
    return None


def _at_recorded_path(file: SourceFile) -> DeliveredFile | None:
    path = Path(file["path"])
    if file["path"].startswith("package:") or not path.is_file() or path.stat().st_size != file["bytes"]:
        return None
    at = described_file(path, file["path"])
    return at if at.sha256 == file["sha256"] else None


def _where_files_looks(source: Source, root: Path, directory: Path) -> dict[str, DeliveredFile]:
    if source.header.loader is not None or source.is_remote:  # of what is fetched, the lake has a copy
        return {}
    try:
        return {file.sha256: file for file in find_files(source, root, directory)}
    except (IngestFailed, NotInstalled):
        return {}


def _kept(lake: Lake, files: Iterable[SourceFile]) -> dict[str, DeliveredFile]:
    found = {}
    for file in files:
        for path in kept_copy(lake, file["sha256"]).glob("*"):
            if path.stat().st_size == file["bytes"]:
                found[file["sha256"]] = DeliveredFile(file["path"], file["sha256"], file["bytes"], path)
    return found


def kept_deliveries(lake: Lake) -> Path:
    """Say where the copies of delivered files are on this host: one directory for each, named by its hash."""
    return lake.root / _COPIES


def kept_copy(lake: Lake, sha256: str) -> Path:
    """Give the directory on this host of the copy of a delivered file; where the lake has none, there is none."""
    return lake.storage.fetch_all(f"{_COPIES}/{sha256}")


def has_copy(lake: Lake, sha256: str) -> bool:
    """Tell whether the lake has a copy of a delivered file."""
    return bool(lake.storage.files(f"{_COPIES}/{sha256}"))


def taken_before(lake: Lake, deliveries: Iterable[RecordedDelivery]) -> TakenIn:
    """Tell by which URL, size and hash files of recorded deliveries were taken in, and where the lake has copies."""
    return TakenIn.of(partial(kept_copy, lake), deliveries)


def prune_copies(
    lake: Lake, connection: duckdb.DuckDBPyConnection, sources: Collection[str], since: datetime, before: datetime
) -> list[str]:
    """Clear away the copies that no derivation can need any more; give their hashes.

    Kept are those of every delivery that the ledger has of a source of the suite, and of other sources those that were
    taken in since an instant. What no ingestion names was left by one that was killed.

    Parameters
    ----------
    sources
        Those that the suite has.
    since
        From when on the deliveries of sources that it has no more are kept (naive UTC).
    before
        Copies that were made later are left: an ingestion under way may be about to be committed.
    """
    needed = needed_copies(connection, sources, since)
    gone = [sha256 for sha256 in lake.storage.settled(_COPIES, before) if sha256 not in needed]
    for sha256 in gone:
        lake.storage.remove(f"{_COPIES}/{sha256}")
    return gone


def needed_copies(connection: duckdb.DuckDBPyConnection, sources: Collection[str], since: datetime) -> set[str]:
    """Give the hashes of the files of all deliveries of some sources, and of others those taken in since an instant."""
    query = system_sql("ingest/needed_copies")
    return {row[0] for row in connection.execute(query, [list(sources), since]).fetchall()}


def keep_copies(lake: Lake, files: Iterable[DeliveredFile]) -> None:
    """Copy delivered files into the lake, those that it has not; a copy is there whole or not at all."""
    for file in files:
        target = kept_deliveries(lake) / file.sha256
        if target.exists():
            lake.storage.keep_now(f"{_COPIES}/{file.sha256}")
            continue
        unnamed = target.with_name(f".{file.sha256}-{uuid.uuid4().hex[:6]}")
        unnamed.mkdir(parents=True)
        shutil.copyfile(file.found, unnamed / file.found.name)
        try:
            unnamed.rename(target)
        except OSError:  # another process was quicker
            shutil.rmtree(unnamed, ignore_errors=True)
        lake.storage.keep_now(f"{_COPIES}/{file.sha256}")
