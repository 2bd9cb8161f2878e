"""Diff: which predictions of a page changed since an earlier snapshot, or would change under another version.

Against a snapshot, `before` is the page as it was then and `after` the page as it is. Against a model version,
`before` is the page as it is, and `after` what that version makes of the page's features. Changes nothing.
"""

from __future__ import annotations

import contextlib
import functools
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from jobs.models.columns.requirements import given_columns, recorded_columns, require_met
from jobs.models.reasons.explaining import ready_reasons
from jobs.models.versions import load_scorer, model_history
from jobs.pages.scores.made import arms_that_changed
from jobs.pages.scores.score import sample_rows, score_pages
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord, PageRecord
from warehouse.pages.history import PastPage, past_page
from warehouse.pages.lists.kept import is_kept_whole
from warehouse.pages.side_by_side import (
    LIMIT,
    Side,
    SideBySide,
    change_of_model,
    common_reasons,
    moved_contributions,
)
from warehouse.system_sql import exact_path, literal


@dataclass(frozen=True)
class _State:
    """One of the two, and SQL of its rows."""

    side: Side
    relation: str


@dataclass(frozen=True)
class Diff:
    """How two states of a page differ.

    Attributes
    ----------
    n_same, n_changed, n_came, n_went
        How many entities have just the same score, another one, were not there before, are not there after.
    largest_change, mean_change
        Of those that changed, without the sign; None if none did.
    why
        What may have brought it about: another version, definitions, facts.
    changed, came, went
        The first of each: keys, before, after, change (after - before). The largest change first. Where both have
        reasons, of each that changed also `contributions`: those that differ, before and after.
    """

    product: str
    as_of: datetime
    before: Side
    after: Side
    n_same: int
    n_changed: int
    n_came: int
    n_went: int
    largest_change: float | None
    mean_change: float | None
    why: list[str]
    changed: list[dict[str, Any]]
    came: list[dict[str, Any]]
    went: list[dict[str, Any]]


def diff(suite: Suite, product_name: str, as_of: datetime, against: str | None = None, limit: int = LIMIT) -> Diff:
    """Compare a published page with what it was or would be.

    Parameters
    ----------
    suite, product_name, as_of
        Which page; naive UTC.
    against
        A snapshot's number, or a model version; None: what the newest publication replaced.
    limit
        How many entities of each fate are listed.

    Raises
    ------
    NotFoundError
        If the page is not published, there is no such snapshot or version, or that state is no longer kept.
    UsageError
        If the page was published only once, and nothing is given to compare it with.
        Or if the version needs a feature that the page does not have.
    """
    product = suite.definitions.product(product_name)
    with suite.lake.reading(all_cores=True) as connection:
        page = past_page(connection, product.name, "predictions", as_of)
        compared = _Comparison(connection, product, as_of, limit)
        if against is not None and not against.isdecimal():
            model = model_history(connection, product.name).version(against)
            with _scored(suite, connection, product, model, page.record) as would_be:
                why = _why_scored(connection, page.record, model)
                if not product.keeps_part:
                    return compared.of(_state(page), would_be, why)
                # Of the other lists only those candidates are there that were listed.
                whole = _State(Side.of(page.record), f"(FROM {page.relation} WHERE {is_kept_whole(product)})")
                return compared.of(whole, would_be, [*why, "of lists of which all candidates are kept"])
        snapshot_id = int(against) if against is not None else _replaced_by_newest(connection, page.record)
        then = past_page(connection, product.name, "predictions", as_of, snapshot_id)
        why = _why_published(then.record, page.record)
        why += arms_that_changed(connection, then.record, page.record)
        return compared.of(_state(then), _state(page), why)


def _state(page: PastPage) -> _State:
    return _State(Side.of(page.record), page.relation)


def _replaced_by_newest(connection: duckdb.DuckDBPyConnection, record: PageRecord) -> int:
    """Give the snapshot of the publication that the newest one replaced."""
    before = ledger.publications(connection, record.product, record.kind, record.as_of)[:-1]
    if not before:
        raise UsageError(
            f"the page {record.as_of} of {record.product} was published only once, at snapshot {record.snapshot_id}:"
            " name a model version with --against to see what that would say."
        )
    return before[-1].snapshot_id


@contextlib.contextmanager
def _scored(
    suite: Suite, connection: duckdb.DuckDBPyConnection, product: Product, model: ModelRecord, record: PageRecord
) -> Iterator[_State]:
    """Score a page's features with a version."""
    features = past_page(connection, product.name, "features", record.as_of)
    columns = recorded_columns(connection, features.record.definitions, "lake")
    if columns is None and features.record.definitions == suite.definitions.page_fingerprint(product):
        columns = given_columns(connection, suite.definitions, product)
    if columns is not None:
        require_met(product, model, columns)
    run_id = f"diff-{uuid.uuid4().hex[:8]}"
    with suite.staging(run_id) as directory:
        file = directory / "predictions.parquet"
        constants = {"run_id": run_id, "published_at": suite.clock()}
        scorer = load_scorer(suite.lake, model)
        sample = functools.partial(sample_rows, connection, model, features.relation)
        reasons = ready_reasons(suite.lake, product, model, scorer, sample)
        relation = f"(FROM {features.relation} WHERE {is_kept_whole(product)})"
        score_pages(connection, product, model, scorer, relation, file, constants, lambda rows: None, reasons)
        yield _State(Side(model.version, None, None), f"(FROM read_parquet({literal(exact_path(file))}))")


def _why_published(before: PageRecord, after: PageRecord) -> list[str]:
    if before.snapshot_id == after.snapshot_id:
        return [f"the page has not been published again since snapshot {before.snapshot_id}"]
    why = change_of_model(before, after)
    if before.definitions != after.definitions:
        why.append("the definitions have changed")
    if before.ingest_id != after.ingest_id:
        why.append(f"facts: up to ingestion {before.ingest_id} before, up to {after.ingest_id} after")
    return why


def _why_scored(connection: duckdb.DuckDBPyConnection, page: PageRecord, model: ModelRecord) -> list[str]:
    why = [f"the model: {page.model_version} before, {model.version} after"]
    features = ledger.publications(connection, page.product, "features", page.as_of)[-1]
    if features.snapshot_id > page.snapshot_id:
        why.append(f"the page's features were made again at snapshot {features.snapshot_id}, after its scores")
    if model.has_seen(page.as_of):
        why.append(f"{model.version} has seen labels up to {model.label_cutoff}, after this page: hindsight")
    return why


@dataclass(frozen=True)
class _Comparison:
    """Two states of a page, to be compared."""

    connection: duckdb.DuckDBPyConnection
    product: Product
    as_of: datetime
    limit: int

    def of(self, before: _State, after: _State, why: list[str]) -> Diff:
        """Compare them."""
        product, keys = self.product, self.product.keys
        reasons = common_reasons(self.connection, before.relation, after.relation)
        compared = SideBySide.of(self.connection, product, before.relation, after.relation, keys, reasons)
        figures: dict[str, Any] = compared.figures()
        figures |= {what: self._listed(compared, what) for what in ("changed", "came", "went")}
        return Diff(product.name, self.as_of, before.side, after.side, why=why, **figures)

    def _listed(self, compared: SideBySide, what: str) -> list[dict[str, Any]]:
        found = []
        for row in compared.listed(what, self.limit):
            moved = {"contributions": moved_contributions(row)} if "before reasons" in row else {}
            named = {name.removeprefix("almanac: "): value for name, value in row.items() if name != "almanac: what"}
            found.append(named | (moved if what == "changed" else {}))
        return found
