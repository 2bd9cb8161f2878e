"""Check: what the working copy's definitions would do to production, tried in a scratch lake beside it.

Production's lake is only read. Every product whose files changed has its newest pages made both ways; what differs is
told, and judged by the bounds of product.yaml. What cannot be made, or fails an error-check that it did not fail
before, speaks against the change, whatever the bounds are.
"""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb

from jobs.backup.scratch import scratch_lake, snapshot_copied
from jobs.check.changes import FEATURES, LABEL, PAGES, changed_files, changes_of_product, files_of
from jobs.check.differences import PagesBothWays, stage_labels
from jobs.check.making import (
    ChosenPages,
    Made,
    choose_pages,
    derive_anew,
    labels_file,
    make_after,
    make_before,
    said_of_the_erased,
)
from jobs.check.page_costs import cost_of, measured, stale_pages
from jobs.check.production import Production, find_lake, production_of, show_modules
from jobs.check.quality import quality_of, why_worse
from jobs.check.results import CheckResult, PageCost, ProductCheck
from jobs.check.speaking import CHECK, open_alarms, what_speaks
from jobs.check.touched import touched_by
from jobs.check.working_copy import commit_of
from jobs.models.columns.requirements import given_columns, require_bound
from jobs.models.versions import model_history
from jobs.pages.costs import Cost
from jobs.progress import Progress, Silent
from jobs.suite import Suite
from warehouse.definitions import Definitions, Product
from warehouse.definitions.yaml.suite_file import SuiteSettings
from warehouse.errors import AlmanacError
from warehouse.ledger.found_classes import with_found_classes
from warehouse.ledger.texts import all_texts, fingerprint_of_texts
from warehouse.wording import counted

PAGES_COMPARED = 14


@dataclass(frozen=True)
class Order:
    """What is asked for: against which suite or lake, how many pages, and who writes them.

    `version` is of those products that have one of that name; of others it says nothing. `scratch` is where the scratch
    lake is put, if it is said.
    """

    against: Path | None = None
    n_pages: int = PAGES_COMPARED
    version: str | None = None
    scratch: Path | None = None


def check(suite: Suite, order: Order | None = None, progress: Progress | None = None) -> CheckResult:
    """Find out what the definitions of a working copy would do to production.

    Parameters
    ----------
    suite
        The working copy; its own lake is not needed.
    order
        By default against the suite's own lake.

    Raises
    ------
    NotFoundError
        If there is no lake to compare with.
    UsageError
        If a definition cannot be read as text.
    """
    order = order or Order()
    texts = all_texts(suite.definitions)
    lake = find_lake(order.against, suite.root)
    with scratch_lake(lake, suite.root, scratch_in=order.scratch) as scratch:
        snapshot_id = snapshot_copied(scratch)
        # Where queries may write what is only looked at.
        directory = scratch.staging / "check"
        directory.mkdir()
        show_modules(suite.root, scratch.root.parent)
        home = lake.root.parent
        production = production_of(scratch, home, suite.root, directory / "before")
        definitions = replace(with_found_classes(suite.definitions, scratch), settings=SuiteSettings())
        after = Suite(suite.root, definitions, scratch, suite.clock)
        files = changed_files(production, texts, definitions)
        changed = [path for paths in files.values() for path in paths]
        # Before versions are trained that no lineage is of.
        touched = touched_by(after, changed) if changed else []
        work = _Work(after, production, home, directory, order, progress or Silent())
        products = [work.of_product(product, files) for product in definitions.products.values()]
        return CheckResult(
            check_id=uuid.uuid4().hex[:12],
            definitions=fingerprint_of_texts(texts),
            git_commit=commit_of(suite.root),
            against=str(lake.root),
            snapshot_id=snapshot_id,
            origin=production.origin,
            checked_at=suite.clock(),
            files=files,
            touched=touched,
            products=[one for one in products if one is not None],
            unchanged=[name for name, one in zip(definitions.products, products, strict=True) if one is None],
            notes=_notes(production, definitions),
        )


def _notes(production: Production, definitions: Definitions) -> list[str]:
    notes = []
    if production.why_not is not None:
        notes.append(f"production's definitions ({production.origin}) cannot be read: {production.why_not}")
    before = production.definitions.products if production.definitions is not None else {}
    gone = sorted(before.keys() - definitions.products.keys())
    if gone:
        notes.append(f"the working copy has no more the products: {', '.join(gone)}; their pages would not be made")
    return notes


@dataclass(frozen=True)
class _Work:
    """One check under way; `after` is the working copy's definitions on the scratch lake."""

    after: Suite
    production: Production
    home: Path
    directory: Path
    order: Order
    progress: Progress

    def before(self, product: Product) -> tuple[Suite, Product] | None:
        """Give production's definitions on the scratch lake, and the product there; None if it cannot be had."""
        definitions = self.production.definitions
        if definitions is None or product.name not in definitions.products:
            return None
        own = replace(definitions, settings=SuiteSettings())
        return Suite(self.home, own, self.after.lake, self.after.clock), own.products[product.name]

    def of_product(self, product: Product, files: Mapping[str, list[str]]) -> ProductCheck | None:
        """Check one product; None if none of its files changed."""
        own = files_of(self.production, self.after.definitions, product, files)
        is_new = self.production.definitions is not None and self.before(product) is None
        if not own and not is_new and self._version(product) is None:
            return None
        changed = changes_of_product(self.production, self.after.definitions, product)
        found = ProductCheck(product.name, changed=changed, files=own)
        try:
            self._check(product, found)
        except (AlmanacError, duckdb.Error) as error:
            found.failures.append(str(error))
        return found

    def _check(self, product: Product, found: ProductCheck) -> None:
        sources = [source.name for source in self.after.definitions.sources_behind(product)]
        # Files of facts lie beside production's lake.
        there = replace(self.after, root=self.home)
        found.notes += [derived.said() for derived in derive_anew(there, sources)]
        with self.after.lake.reading() as connection:
            require_bound(connection, self.after.definitions, product)
        pages = choose_pages(self.after, product, self.order.n_pages)
        if not pages.newest:
            found.notes.append("no page of it is published, so there is nothing to compare; its queries bind")
            return
        found.first, found.last, found.n_pages = pages.newest[0], pages.newest[-1], len(pages.newest)
        if PAGES in found.changed:
            found.notes.append("its page grid or validity changed; pages that are published are compared as they are")
        found.notes += said_of_the_erased(self.after, product, pages.all)
        before = self.before(product)
        if before is not None:
            found.made_again = make_before(*before, pages.all, self.progress)
        open_before = open_alarms(self.after, product)
        n_stale, again = stale_pages(before[0] if before else None, self.after, product)
        made = make_after(self.after, product, found, pages, self._version(product), self.progress)
        self._note_failed(found, made)
        self._compare(product, found, made)
        found.speaks += what_speaks(self.after, product, made, open_before)
        found.cost = self._cost(product, found, pages, n_stale, again)
        self._judge(product, found, made)

    def _version(self, product: Product) -> str | None:
        """Give the version that was named, where the product has one of that name."""
        if self.order.version is None:
            return None
        with self.after.lake.reading() as connection:
            known = [model.version for model in model_history(connection, product.name).models]
        return self.order.version if self.order.version in known else None

    def _note_failed(self, found: ProductCheck, made: Made) -> None:
        for page, why in sorted(made.result.failed.items())[:1]:
            n_failed = len(made.result.failed)
            found.failures.append(f"{n_failed} of {len(made.pages.all)} pages could not be made; {page}: {why}")

    def _compare(self, product: Product, found: ProductCheck, made: Made) -> None:
        unmade = {*made.result.failed, *made.result.rejected}
        newest = [page for page in made.pages.newest if page not in unmade]
        matured = [page for page in made.pages.matured if page not in unmade]
        before = self.before(product)
        with self.after.lake.reading(all_cores=True) as connection:
            if newest:
                both = PagesBothWays(connection, product, newest, made.snapshot_before)
                if FEATURES in found.changed and before is not None:
                    columns = [given_columns(connection, *each) or {} for each in self._sides(product, before)]
                    found.columns = both.columns(columns[0], columns[1])
                    found.rows = both.rows()
                found.predictions = both.predictions()
            if not matured:
                found.quality = replace(found.quality, why_not="no labels of a published page have matured yet")
                return
            file = stage_labels(self.after, product, matured, labels_file(self.directory, "after"))
            both = PagesBothWays(connection, product, matured, made.snapshot_before)
            if LABEL in found.changed and before is not None:
                was = stage_labels(*before, matured, labels_file(self.directory, "before"))
                found.labels = both.labels(was, file)
                found.notes.append("the label changed: both sides are measured by the new one")
            found.quality = quality_of(both, product, file)

    def _sides(self, product: Product, before: tuple[Suite, Product]) -> list[tuple[Definitions, Product]]:
        return [(before[0].definitions, before[1]), (self.after.definitions, product)]

    def _cost(self, product: Product, found: ProductCheck, pages: ChosenPages, n_stale: int, again: Cost) -> PageCost:
        before = self.before(product)
        if FEATURES not in found.changed or before is None:
            return cost_of(None, n_stale, again)
        sides = [before, (self.after, product)]
        one, other = measured(sides, pages.newest[-1], self.directory)
        return cost_of((one, other), n_stale, again)

    def _judge(self, product: Product, found: ProductCheck, made: Made) -> None:
        found.failures += [
            f"the check {one.name} keeps back {counted(one.n_pages, 'page')}: {one.message}"
            for one in found.speaks
            if one.kind == CHECK and one.severity == "error" and one.is_new
        ]
        bounds = product.header.check
        if bounds is None:
            return
        share = found.predictions.share if found.predictions is not None else None
        if bounds.predictions_changed is not None and share is not None and share > bounds.predictions_changed:
            found.failures.append(
                f"predictions_changed: {100 * share:.3g} % of them changed, came or went, where at most"
                f" {100 * bounds.predictions_changed:.3g} % may"
            )
        if bounds.metrics is not None:
            found.failures += why_worse(found.quality, made.pages.matured)
        if bounds.cost is not None and found.cost is not None and found.cost.factor > bounds.cost:
            found.failures.append(
                f"cost: a page's features take {found.cost.factor:.3g} times what they took, where at most"
                f" {bounds.cost:g} x may be"
            )
