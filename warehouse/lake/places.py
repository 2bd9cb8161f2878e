"""The places of a lake: everything below a suite's `lake/` directory, what it holds, and whether a backup has it.

It stands beside the registry of tables: that one lists tables, this one lists files that hold their rows, or copies
of rows. What Almanac writes outside of the lake is listed too, since a person's data may be there. Backups and the
docs read this list; a test fails on a file of a lake that is in no place of it.
"""

from __future__ import annotations

from dataclasses import dataclass

from warehouse.lake.catalogues import CATALOGUE, INGEST_LOCK, OPERATIONS, WRITER_LOCK
from warehouse.lake.postgres.addresses import MARKER


@dataclass(frozen=True)
class Place:
    """One file or directory.

    Attributes
    ----------
    name
        Its path below `lake/`; a directory ends in a slash. Of a place outside of the lake, what it is.
    holds
        What is there.
    in_backups
        Whether backups have a copy of it.
    person
        Whether a person's data may be there.
    is_outside
        Whether it lies where a definition or a command says, not below `lake/`.
    """

    name: str
    holds: str
    in_backups: bool
    person: bool
    is_outside: bool = False

    def has(self, path: str) -> bool:
        """Tell whether a path below `lake/` belongs to this place."""
        if self.is_outside:
            return False
        # SQLite has files beside its own while it is open.
        names = (self.name, f"{self.name}-wal", f"{self.name}-shm", f"{self.name}-journal")
        return path.startswith(self.name) if self.name.endswith("/") else path in names


#: The journal of an erasure under way, below `lake/`.
ERASING = "erasing.json"
#: What never changes once it is written: a file of another content has another name.
IMMUTABLE = ("data/", "artifacts/", "deliveries/")

PLACES: tuple[Place, ...] = (
    Place(CATALOGUE, "the catalogue: which files and snapshots there are, and the rows of small tables", True, True),
    Place(MARKER, "where the catalogue is, if it is in PostgreSQL, and the bucket if there is one; the lake's id",
          False, False),
    Place(OPERATIONS, "the operational state: ticks, runs of the clock, pauses, alerts", True, True),
    Place("data/", "the Parquet files of all tables, those of older snapshots among them", True, True),
    Place("artifacts/", "models, compiled models, and the predictions that were held out when they were trained",
          True, True),
    Place("deliveries/", "copies of delivered files (`keep: true`, databases, products as sources)", True, True),
    Place("damaged/", "data files that could not be read, as `almanac repair` found them", False, True),
    Place(ERASING, "whom an erasure is about that has begun and not ended", False, True),
    Place("staging/", "rows of runs under way; `almanac upkeep` clears what killed ones left", False, True),
    Place("logs/", "what the jobs of schedules.yaml printed", False, True),
    Place("owners/", "which processes are alive", False, False),
    Place("rehearsals/", "of rehearsals under way, or kept: lakes of their own, whose data files are second names of"
          " the lake's, with copies of its catalogue and models", False, True),
    Place("exports/", "locks of targets", False, False),
    Place(WRITER_LOCK, "the lock of whoever commits", False, False),
    Place(INGEST_LOCK, "the lock of whoever ingests", False, False),
    Place("the targets of `export:`", "what was published, for applications", False, True, is_outside=True),
    Place("the bundles of `export:`", "what was published, with `on_demand` the feature groups of the newest page, as"
          " files to look up in, and copies of them wherever somebody has put them", False, True, is_outside=True),
    Place("logs of requests", "keys, and what requests gave of `request:`, where `almanac serve --log-requests` was"
          " told to write them", False, True, is_outside=True),
    Place("scratch lakes", "in `.check/` of a suite while `almanac check` or a dry run runs: a lake of its own with"
          " links to the data files of the lake that it compares with, and copies of its catalogue and models; where"
          " hosts share the lake, rehearsals too, in `.rehearsals/`; and what `--scratch` put elsewhere", False, True,
          is_outside=True),
    Place("the PostgreSQL database of the catalogue", "where it is not in the lake's directory: which files and"
          " snapshots there are, the rows of small tables, and the operational state", True, True, is_outside=True),
    Place("the lake's prefix of a bucket", "where its files are there: data, models, copies of deliveries; a bucket"
          " with versions keeps what was deleted", True, True, is_outside=True),
    Place("lakes of before", "where `almanac move-lake` moved one from: `lake.moved` of the suite, or the database and"
          " the directory or prefix that it names", False, True, is_outside=True),
    Place("backups", "states of the lake, each with copies of its files", False, True, is_outside=True),
)  # fmt: skip


def place_of(path: str) -> Place | None:
    """Find the place of a path below `lake/`; None if it is in no place of the list."""
    return next((place for place in PLACES if place.has(path)), None)
