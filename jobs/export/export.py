"""Export: publications that wait go to their targets, each target by itself, so that none waits for another.

For each target: what does it say that it holds, what does it lack, send that, and then write to the ledger that it was
done. A process that dies after the target has a publication and before the ledger knows finds that out from the target.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb
import filelock

from jobs.export.content import Content, columns_for, current_relation, page_relation
from jobs.export.due import Asked, Outgoing, outgoing
from jobs.export.target import CURRENT, Target
from jobs.export.targets import open_target
from jobs.metering import NOTE_CHARACTERS, RunMeter
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import AlmanacError, NotFoundError, RunFailed, UsageError
from warehouse.lake.lake import check_format
from warehouse.ledger import exports as outbox
from warehouse.ledger import records as ledger
from warehouse.ledger.exports import EXPORTED, FAILED, SUPERSEDED, ExportRecord
from warehouse.system_sql import system_sql

#: So long an export waits for another one to the same target, in another process.
_WAIT_S = 600


@dataclass(frozen=True)
class Sent:
    """One publication that a target has. `was_there`: it had it already."""

    product: str
    target: str
    place: str
    as_of: datetime
    snapshot_id: int
    n_rows: int
    was_there: bool


@dataclass
class ExportResult:
    """What was exported, and which targets failed, by name, each with the reason."""

    sent: list[Sent] = field(default_factory=list)
    failed: dict[str, str] = field(default_factory=dict)


def export(
    suite: Suite, product_name: str, target_name: str | None = None, page: datetime | None = None
) -> ExportResult:
    """Hand a product's publications to its targets, or to one of them.

    Parameters
    ----------
    suite, product_name
        Whose publications.
    target_name
        Only this target, which gets the newest publication if it lacks that, whether it waits for it or not.
    page
        Only this page, which a target that holds pages gets if it lacks its newest publication.

    Raises
    ------
    NotFoundError
        If there is no such product, target or page.
    UsageError
        If the product has no targets, or `page` is given for one that holds no pages.
    """
    product = suite.definitions.product(product_name)
    names = _targets_of(product, target_name, page)
    with suite.lake.reading() as connection:
        suite_id = check_format(connection, suite.lake.root)
        if page is not None and page not in ledger.published_pages(connection, product.name, "predictions", [page]):
            raise NotFoundError(f"the page {page} of {product.name} is not published; see `almanac pages`.")
    asked, result = Asked(target_name is not None, page), ExportResult()
    for name in names:
        one = _OneTarget(suite, product, name, suite_id)
        try:
            result.sent += one.bring_up_to_date(asked)
        except (AlmanacError, duckdb.Error, sqlite3.Error, OSError) as error:
            # Whatever is wrong with one target, the others are to get theirs.
            result.failed[name] = str(error)
            one.note_failure(str(error))
    return result


def _targets_of(product: Product, name: str | None, page: datetime | None) -> list[str]:
    targets = product.header.export
    if not targets:
        raise UsageError(f"{product.name} has no targets; name some under `export` in {product.yaml_where}.")
    if name is not None and name not in targets:
        raise NotFoundError(f"{product.name} has no target `{name}`; it has: {', '.join(targets)}.")
    named = [name] if name is not None else list(targets)
    with_pages = [each for each in named if targets[each].holds_pages]
    if page is None:
        return named
    if not with_pages:
        raise UsageError(
            f"--page goes with targets that hold pages; {', '.join(named)} of {product.name} holds what"
            f" {product.name}_current shows. Leave out --page."
        )
    return with_pages


class _OneTarget:
    """One target of a product, while it is brought up to date."""

    def __init__(self, suite: Suite, product: Product, name: str, suite_id: str) -> None:
        self._suite, self._product, self._name, self._suite_id = suite, product, name, suite_id
        self._settings = product.header.export[name]
        self._meter = RunMeter(suite, "export", product.name)
        self._records: list[ExportRecord] = []
        self._sent: list[Sent] = []

    def bring_up_to_date(self, asked: Asked) -> list[Sent]:
        """Send what the target lacks, one publication after the other; give what it has now."""
        target = open_target(self._suite, self._product, self._name, self._suite_id)
        locks = self._suite.lake.root / "exports"
        locks.mkdir(exist_ok=True)
        lock = filelock.FileLock(locks / f"{self._product.name}.{self._name}.lock", timeout=_WAIT_S)
        try:
            with lock:
                try:
                    self._send_all(target, asked)
                finally:
                    # Before the next process that waits here looks at what is to be done.
                    self._write_down("succeeded")
        except filelock.Timeout as error:
            raise RunFailed(
                f"another process has been exporting to {target.place} for more than {_WAIT_S // 60} minutes. Wait for"
                " it, or stop it, and export again."
            ) from error
        return self._sent

    def _send_all(self, target: Target, asked: Asked) -> None:
        wanted = self._outgoing(asked)
        held = target.held() if wanted else {}
        for each in wanted:
            key = each.page.as_of if self._settings.holds_pages else CURRENT
            there = held.get(key)
            if there is not None and there.has(each.page.snapshot_id, each.page.recorded_at):
                self._note(each, target.place, there.n_rows, was_there=True)
            else:
                self._note(each, target.place, self._send(target, each), was_there=False)

    def _outgoing(self, asked: Asked) -> list[Outgoing]:
        product, name = self._product.name, self._name
        with self._suite.lake.reading() as connection:
            waiting = [row for row in outbox.waiting(connection, product) if row.target == name]
            earlier = [row for row in outbox.exports(connection, product) if row.target == name]
            pages = ledger.published_pages(connection, product, "predictions")
        done = [row for row in earlier if row.state != FAILED]
        return outgoing(self._settings.holds_pages, waiting, list(pages.values()), done, asked)

    def _send(self, target: Target, each: Outgoing) -> int:
        with self._suite.lake.reading() as connection:
            kept = connection.execute(
                system_sql("reading/kept_snapshots"), [each.page.snapshot_id, ledger.newest_snapshot(connection)]
            ).fetchall()
        # Upkeep may have let go of the very snapshot; what came since changed nothing, or it would be what goes out.
        with self._suite.lake.reading(min(kept)[0]) as connection:
            connection.execute("SET preserve_insertion_order = false")
            return target.send(connection, self._content(connection, each))

    def _content(self, connection: duckdb.DuckDBPyConnection, each: Outgoing) -> Content:
        product, page = self._product, each.page
        is_page = self._settings.holds_pages
        if is_page:
            relation = page_relation(connection, product.name, page.as_of, page.snapshot_id)
        else:
            relation = current_relation(product.name)
        return Content(
            suite_id=self._suite_id,
            product=product.name,
            table=self._settings.table or product.name,
            keys=product.keys,
            as_of=page.as_of,
            snapshot_id=page.snapshot_id,
            published_at=page.recorded_at,
            columns=columns_for(connection, product, self._name, self._settings, relation),
            relation=relation,
            model_version=page.model_version,
            n_rows=page.n_rows if is_page else None,
            run_id=self._meter.run_id,
            now=self._suite.clock(),
        )

    def _note(self, each: Outgoing, place: str, n_rows: int, *, was_there: bool) -> None:
        """Remember what the ledger is to have of a publication that the target has."""
        page = each.page
        names = (self._product.name, self._name)
        self._sent.append(Sent(*names, place, page.as_of, page.snapshot_id, n_rows, was_there))
        own = (page.as_of, page.snapshot_id)
        states = {(row.as_of, row.snapshot_id): _state(each, row) for row in each.alongside} | {own: EXPORTED}
        for (as_of, snapshot_id), state in sorted(states.items()):
            self._records.append(self._record(as_of, snapshot_id, state, place, n_rows if state == EXPORTED else 0))

    def _record(
        self, as_of: datetime, snapshot_id: int, state: str, place: str, n_rows: int, note: str | None = None
    ) -> ExportRecord:
        run_id, now = self._meter.run_id, self._suite.clock()
        return ExportRecord(self._product.name, self._name, as_of, snapshot_id, state, place, n_rows, run_id, now, note)

    def _write_down(self, state: str, error: str | None = None) -> None:
        """Write what was done to the ledger, unless it has that already."""
        with self._suite.lake.reading() as connection:
            earlier = outbox.exports(connection, self._product.name)
        known = {(row.as_of, row.snapshot_id) for row in earlier if (row.target, row.state) == (self._name, EXPORTED)}
        fresh = [row for row in self._records if (row.as_of, row.snapshot_id) not in known]
        self._records = []
        if not fresh:
            return
        pages = sorted({row.as_of for row in fresh})
        figures = {
            "first_as_of": pages[0],
            "last_as_of": pages[-1],
            "n_pages": len(pages),
            "n_rows": sum(row.n_rows for row in fresh),
            "error": error,
        }
        message = f"export of {self._product.name} to {self._name}, run {self._meter.run_id}"
        with self._suite.lake.commit(message) as commit:
            ledger.append(commit, fresh)
            ledger.append(commit, [self._meter.record(state, **figures)])

    def note_failure(self, error: str) -> None:
        """Write to the ledger why the target did not get what waits, once for each reason."""
        note = error[:NOTE_CHARACTERS]
        with self._suite.lake.reading() as connection:
            rows = [row for row in outbox.exports(connection, self._product.name) if row.target == self._name]
            waits = [row for row in outbox.waiting(connection, self._product.name) if row.target == self._name]
        if not waits or (rows and (rows[-1].state, rows[-1].note) == (FAILED, note)):
            return
        newest = waits[-1]
        place = self._settings.to
        self._records = [self._record(newest.as_of, newest.snapshot_id, FAILED, place, 0, note)]
        self._write_down("failed", error)


def _state(each: Outgoing, row: outbox.OutboxRecord) -> str:
    return SUPERSEDED if each.is_superseded(row) else EXPORTED


def failed_text(failed: dict[str, str]) -> Sequence[str]:
    """Say of each target that failed what is wrong with it."""
    return [f"{name}: {reason}" for name, reason in failed.items()]
