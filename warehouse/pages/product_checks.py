"""A product's own checks, over all pages of a batch: lifted where that can be, otherwise in a sandbox of each page."""

from __future__ import annotations

import functools
from collections.abc import Iterable, Mapping
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from typing import TYPE_CHECKING

import duckdb

from warehouse.batching.batch import TOGETHER_FROM_PAGES, Batch
from warehouse.batching.compared_pages import compared_pages
from warehouse.batching.trials import Left, Trials
from warehouse.definitions.product import Check
from warehouse.errors import DefinitionError, RunFailed
from warehouse.pages.staged_rows import PageRows
from warehouse.sandbox import HOLD_FROM_PAGES, SandboxPage

if TYPE_CHECKING:
    from warehouse.batching.lifting import LiftedForm
    from warehouse.pages.lifted_checks import Finding

#: How many wrong rows of a check are kept, per page.
WRONG_ROWS_KEPT = 20


class OwnChecks:
    """The checks of one batch's product.

    Attributes
    ----------
    found
        By check and page, what it found; nothing where it failed.
    failed
        The pages on which a check itself failed, each with the first one's error.
    """

    def __init__(self, batch: Batch, rows: str, n_rows: Mapping[datetime, int], workers: int) -> None:
        """Take what is to be checked.

        Parameters
        ----------
        rows
            SQL of all staged rows, features and predictions side by side.
        n_rows
            The pages, with the number of rows of each.
        workers
            How many pages, or slices of pages, are worked on at a time.
        """
        self._batch, self._workers = batch, workers
        self._checks = {check.name: check for check in batch.product.checks}
        self._pages = sorted(n_rows)
        queries = [check.query for check in batch.product.checks]
        self._sources = batch.definitions.sources_read(queries)
        self._rows = PageRows(batch.cursor, batch.table("almanac: page"), rows, n_rows, queries)
        self._trials = Trials(batch.product.name)
        self.found: dict[tuple[str, datetime], Finding] = {}
        self.failed: dict[datetime, str] = {}

    @property
    def differing(self) -> list[str]:
        """Warnings about checks that found something else for many pages at once."""
        return self._trials.differing

    def run(self) -> None:
        """Run every check for every page.

        Raises
        ------
        DefinitionError
            If a check does not bind.
        """
        if len(self._pages) >= HOLD_FROM_PAGES:
            self._batch.sandbox.hold(self._sources)
        if len(self._pages) >= TOGETHER_FROM_PAGES:
            self._lift()
        for part in self._rows.parts:
            if left := [page for page in part if self._left_on(page)]:
                rows = self._rows.of(part)
                with ThreadPoolExecutor(max_workers=max(1, min(self._workers, len(left)))) as pool:
                    for page, error in zip(left, pool.map(functools.partial(self._check, rows), left), strict=True):
                        self.failed |= {page: error} if error else {}

    def _left_on(self, page: datetime) -> list[Check]:
        """Give the checks that have to be run on a page by itself."""
        return [check for name, check in self._checks.items() if not self._trials.is_complete(name, page)]

    def _check(self, rows: str, as_of: datetime) -> str | None:
        """Run the checks that are left of a page in its sandbox; give the first one's error, if any fails."""
        errors = []
        checks = self._left_on(as_of)
        with self._batch.sandbox.at(as_of, self._sources) as page:
            page.show_page(rows)
            for check in checks:
                try:
                    self.found[check.name, as_of] = self._wrong_rows(page, check)
                except RunFailed as error:
                    errors.append(str(error))
        return errors[0] if errors else None

    def _wrong_rows(self, page: SandboxPage, check: Check) -> Finding:
        try:
            return page.wrong_rows(check.query, WRONG_ROWS_KEPT)
        except DefinitionError:
            # Only the columns that checks name are held; the message is to offer the others too.
            page.show_page(self._rows.whole)
            return page.wrong_rows(check.query, WRONG_ROWS_KEPT)

    def _lift(self) -> None:
        # Of one page nothing is lifted, and what lifts is not imported.
        from warehouse.batching.lifting import LiftedForm
        from warehouse.pages.lifted_checks import lifted_checks

        sandbox, definitions = self._batch.sandbox, self._batch.definitions
        types = self._rows.types
        facts = sandbox.facts_of(definitions.sources)
        ways = lifted_checks(definitions, self._batch.product, types, facts, sandbox.source_columns)
        forms = {name: form for name, form in ways.items() if isinstance(form, LiftedForm)}
        self._trials.try_out(
            "lifted",
            forms.keys(),
            fill=lambda: self._fill(forms),
            choose=lambda: compared_pages(sandbox, self._sources, self._pages),
            compare=lambda page, left, known: self._compare(forms.keys() - known, page, left),
            take_back=self._take_back,
        )

    def _fill(self, forms: Mapping[str, LiftedForm]) -> Left:
        """Run the lifted checks; one that fails, on whichever page, is run page by page on all of them."""
        from warehouse.batching.lifted_slice import WORTH_IT
        from warehouse.pages.lifted_checks import LiftedChecks

        lifted = LiftedChecks(self._batch.sandbox, self._batch.definitions, WRONG_ROWS_KEPT, self._workers)
        left: dict[str, list[datetime]] = {name: [] for name in forms}
        failed: set[str] = set()
        for part in self._rows.parts:
            for name in [name for name in forms if name not in failed]:
                if len(part) < WORTH_IT:
                    left[name] += part
                    continue
                try:
                    found, lacking = lifted.find(self._checks[name], forms[name], part, self._rows.of(part))
                except duckdb.Error as error:
                    where = self._checks[name].query.where
                    self.differing.append(f"{where}: the lifted way failed ({str(error).splitlines()[0]})")
                    self._take_back([name])
                    failed.add(name)
                    left[name] = list(self._pages)
                    continue
                left[name] += lacking
                self.found |= {(name, page): finding for page, finding in found.items()}
        return left

    def _compare(self, forms: Iterable[str], chosen: datetime, left: Left) -> set[str]:
        """Run the checks on one page by itself too; give those that find something else."""
        wrong = set()
        names = [name for name in forms if chosen not in left.get(name, ())]
        rows = self._rows.of(self._rows.part_of(chosen))
        with self._batch.sandbox.at(chosen, self._sources) as page:
            page.show_page(rows)
            for name in names:
                query = self._checks[name].query
                alone, lifted = page.wrong_rows(query, WRONG_ROWS_KEPT), self.found[name, chosen]
                if alone != lifted:
                    wrong.add(name)
                    self.differing.append(
                        f"{query.where}: of the page {chosen} it finds {lifted[0]} rows wrong on the lifted way, and"
                        f" {alone[0]} page by page{'' if alone[0] != lifted[0] else ', and they differ'}"
                    )
        return wrong

    def _take_back(self, names: Iterable[str]) -> None:
        gone = set(names)
        self.found = {key: finding for key, finding in self.found.items() if key[0] not in gone}
