"""Repair: data files that are lost or cannot be read are taken out of a lake's newest state, so that all else works.

Their pages are marked as lost, and so are missing until they are made again. Facts cannot be made up: those of a source
that lost a file are dropped whole, if every recorded delivery of it is still to be had, and `almanac ingest` then takes
these in again, at the instants at which they first reached us; otherwise it is said which files to put back, and
nothing of that source is changed. What a file of the ledger held is not told by anything else: that takes a backup.
"""

from __future__ import annotations

import tempfile
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path

from jobs.backup.scratch import scratch_lake
from jobs.facts.recorded import find_deliveries
from jobs.metering import RunMeter
from jobs.suite import Suite
from jobs.suites.deep import DataFile, data_files, opened_reader, what_is_wrong
from jobs.suites.lost_files import what_was_held
from warehouse.definitions.suite import ASIDE
from warehouse.lake.lake import Commit
from warehouse.lake.registry import arms_table
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import HeldFacts, held_facts
from warehouse.ledger.recorded_deliveries import recorded_deliveries
from warehouse.ledger.records import PageRecord
from warehouse.pages.lost_files import KINDS, Loss, end_files, loss_of, mark_lost
from warehouse.system_sql import quote, system_sql

#: Where damaged files are put, in the lake's directory on this host, under the paths that they had in its data.
DAMAGED = "damaged"


@dataclass
class Repaired:
    """What was found and done.

    Attributes
    ----------
    set_aside
        Damaged files, by their paths in the data, each with what is wrong with it.
    pages
        Which pages are missing now: product, kind, how many, the first and the last.
    dropped
        Sources whose facts have to be taken in again, by `almanac ingest`.
    deliver_again
        Files to put back first, by source; its facts are left as they are until then.
    left
        A sentence on each file that only a backup can bring back.
    """

    set_aside: dict[str, str] = field(default_factory=dict)
    pages: list[dict[str, object]] = field(default_factory=list)
    dropped: list[str] = field(default_factory=list)
    deliver_again: dict[str, list[str]] = field(default_factory=dict)
    left: list[str] = field(default_factory=list)

    @property
    def is_whole(self) -> bool:
        """Whether nothing is left that this cannot repair."""
        return not self.deliver_again and not self.left

    @property
    def found_nothing(self) -> bool:
        """Whether nothing was wrong."""
        return self.is_whole and not (self.set_aside or self.pages or self.dropped)


def repair_dry_run(suite: Suite, scratch_in: Path | None = None) -> Repaired:
    """Give what `repair` would do, by doing it to a scratch lake; the lake itself is only read."""
    with scratch_lake(suite.lake, suite.root, whole=True, scratch_in=scratch_in) as scratch:
        return repair(replace(suite, lake=scratch))


def repair(suite: Suite) -> Repaired:
    """Read every file of the newest state, and take out those that are lost or damaged.

    All pages are marked, and all facts dropped, in one commit; files are taken out of the catalogue as of that. A
    second call goes on where a first one died.

    Raises
    ------
    NotFoundError
        If there is no lake.
    RunFailed
        If a bucket cannot be asked, or the commit fails; nothing was changed but that damaged files are put aside.
    """
    done = Repaired()
    wrong = {file: why for file, why in _wrong_files(suite) if file.is_newest}
    sources = sorted({_source_of(file) for file in wrong if _is_of_a_source(file)})
    may_go = {name: _deliveries_gone(suite, name) for name in sources}
    done.deliver_again = {name: gone for name, gone in may_go.items() if gone}
    taken = [file for file in wrong if file.schema in KINDS and file.is_data]
    done.left = [_only_in_a_backup(file, why) for file, why in wrong.items()
                 if file not in taken and not _is_of_a_source(file)]  # fmt: skip
    _set_aside(suite, taken, wrong, done)
    products = [
        product
        for product in suite.definitions.products.values()
        if any(file.table in (product.name, arms_table(product.name)) for file in taken)
    ]
    losses = [loss_of(suite.lake, product) for product in products]
    dropped = [name for name in sources if name not in done.deliver_again]
    if losses or dropped:
        snapshot_id = _commit(suite, losses, dropped)
        end_files(suite.lake, losses, snapshot_id)
    done.pages = [row for loss in losses for row in _told(loss.pages)]
    done.dropped = dropped
    suite.lake.close()
    return done


def _wrong_files(suite: Suite) -> list[tuple[DataFile, str]]:
    found = []
    with opened_reader() as reader:
        for file in data_files(suite.lake):
            why = what_is_wrong(reader, suite.lake, file)
            if why is not None:
                found.append((file, why))
    return found


def _only_in_a_backup(file: DataFile, why: str) -> str:
    held, _ = what_was_held(file.schema, file.table, file.first, file.last)
    return f"{file.path} {why}; it held {held}: put it back from a backup, under that name"


def _is_of_a_source(file: DataFile) -> bool:
    """Tell whether a file holds facts or rejects; the list of files that were set aside is no source's."""
    return file.schema in ("sources", "rejects") and (file.schema, file.table) != ("rejects", ASIDE)


def _source_of(file: DataFile) -> str:
    """Name the source of a table of facts or rejects; those of an older derivation are NAME@k."""
    return file.table.partition("@")[0]


def _deliveries_gone(suite: Suite, name: str) -> list[str]:
    """Give the files of recorded deliveries that are not there any more; without its definition, none can be read."""
    source = suite.definitions.sources.get(name)
    if source is None:
        return [f"sql/sources/{name}.sql"]
    with suite.lake.reading() as connection, tempfile.TemporaryDirectory() as directory:
        deliveries = recorded_deliveries(connection, source)
        gone = find_deliveries(suite, source, deliveries, Path(directory)).gone
    files = [file["path"] for delivery in deliveries if delivery.ingest_id in gone for file in delivery.files]
    return sorted(set(files)) or sorted(set(gone.values()))


def _set_aside(suite: Suite, files: Sequence[DataFile], wrong: dict[DataFile, str], done: Repaired) -> None:
    """Put damaged files where nothing looks for them, so that they are as lost as those that are gone."""
    with suite.lake.writer_lock():
        for file in files:
            target = suite.lake.root / DAMAGED / file.path
            if suite.lake.storage.take_out(f"data/{file.path}", target):
                done.set_aside[file.path] = wrong[file]


def _told(gone: Sequence[PageRecord]) -> list[dict[str, object]]:
    found: list[dict[str, object]] = []
    for kind in KINDS:
        pages = sorted(page.as_of for page in gone if page.kind == kind)
        if pages:
            own = next(page.product for page in gone)
            found.append({"product": own, "kind": kind, "pages": len(pages), "first": pages[0], "last": pages[-1]})
    return found


def _commit(suite: Suite, losses: Sequence[Loss], dropped: Sequence[str]) -> int:
    """Mark lost pages, and drop the facts that are taken in again, all in one commit; give its snapshot."""
    meter = RunMeter(suite, "repair")
    with suite.lake.commit(f"repair, run {meter.run_id}") as commit:
        for loss in losses:
            mark_lost(commit, loss, meter.run_id, suite.clock())
        held = held_facts(commit.connection)
        for name in dropped:
            _drop_facts(commit, held[name], suite.clock())
        n_pages = sum(len(loss.pages) for loss in losses)
        ledger.append(commit, [meter.record("succeeded", n_pages=n_pages, snapshot_id=commit.snapshot_id)])
        return commit.snapshot_id


def _drop_facts(commit: Commit, held: HeldFacts, now: datetime) -> None:
    """Drop all derivations of a source's facts, so that the next ingestion makes them anew."""
    commit.execute(f"DROP VIEW IF EXISTS sources.{quote(f'{held.source}_current')}")
    for number, derivation in held.derivations.items():
        if derivation.state != "made":
            continue
        table = quote(held.table(number))
        commit.execute(f"DROP TABLE IF EXISTS sources.{table}")
        commit.execute(f"DROP TABLE IF EXISTS rejects.{table}")
        commit.execute(system_sql("ledger/drop_derivation"), [held.source, number, now])
