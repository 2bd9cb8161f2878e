"""Audits: what is looked at before a page may be seen.

Every check is a query that returns the rows that are wrong. The built-in ones (`sql/system/audit/`) look at all
staged pages of a batch in one go; a product's own (`warehouse.pages.product_checks`) see of each page its staged
rows, by the name `page`, and the sources as they were known. An error-check sees its own page and no other, so that
the order in which pages are made does not matter; what compares pages is a warning.

What compares all keys with all keys would hold them all in memory. So it is first asked of their hashes, which takes
the same little memory for any number of rows, and settles it for pages that are in order. Lists that lie in the file as
they are ranked are settled by a look at each row and the one before it.
"""

from __future__ import annotations

import bisect
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime

import duckdb

from warehouse.batching.batch import Batch, FeaturePages
from warehouse.definitions import Product
from warehouse.definitions.product import Ranking
from warehouse.label_kinds import KINDS, middle_of
from warehouse.ledger.records import CheckRecord, WrongRow
from warehouse.pages.holds import held_pages
from warehouse.pages.kind_columns import probability_list, quantile_list
from warehouse.pages.product_checks import WRONG_ROWS_KEPT, OwnChecks
from warehouse.system_sql import quote, quote_all, system_sql
from warehouse.wording import counted

#: The built-in checks, each with what its query has a place for.
_BUILT_IN = {
    "unique_keys": ("predictions", "keys"),
    "keys_not_null": ("predictions", "key_is_null"),
    "no_null_scores": ("predictions", "score"),
    "scores_in_range": ("predictions", "score"),
    "probabilities_add_up": ("predictions", "score", "probabilities", "n_classes"),
    "quantiles_rise": ("predictions", "score", "quantiles", "n_quantiles", "middle"),
    "lists_are_whole": ("candidates", "predictions", "score", "list", "top", "at_most"),
    "entities_covered": ("features", "predictions", "keys"),
}
#: Those of them that look at what a kind of label brings; a page is asked those of its own kind.
_OF_KINDS = frozenset(name for kind in KINDS.values() for name in kind.checks)
#: Of a larger share of a page's rows that quantiles cross is a warning.
MOST_CROSSED = 0.05
#: About how many hashes are compared at a time: 16 bytes of memory each.
_HASHES_AT_A_TIME = 4_000_000


@dataclass
class Audit:
    """What the checks of one run found.

    `failed` are the pages on which a check itself failed, with its error; `differing` are warnings about
    checks that found something else for many pages at once than page by page.
    """

    checks: list[CheckRecord] = field(default_factory=list)
    wrong_rows: list[WrongRow] = field(default_factory=list)
    failed: dict[datetime, str] = field(default_factory=dict)
    differing: list[str] = field(default_factory=list)

    def rejected(self) -> set[datetime]:
        """Give the pages on which an error-check did not pass."""
        return {check.as_of for check in self.checks if not check.passed and check.severity == "error"}

    def of(self, pages: Iterable[datetime]) -> Audit:
        """Give the part that concerns some pages."""
        kept = set(pages)
        return Audit(
            [check for check in self.checks if check.as_of in kept],
            [row for row in self.wrong_rows if row.as_of in kept],
            {page: error for page, error in self.failed.items() if page in kept},
        )

    def complaints(self) -> list[CheckRecord]:
        """Give the checks that did not pass, errors first."""
        return sorted((c for c in self.checks if not c.passed), key=lambda c: (c.severity, c.as_of, c.name))


@dataclass(frozen=True)
class _Auditor:
    run_id: str
    product: Product
    audit: Audit

    def note(self, name: str, severity: str, as_of: datetime, wrong: int, shown: list[str], message: str) -> None:
        """Record what a check found on a page."""
        passed = wrong == 0
        record = CheckRecord(self.run_id, self.product.name, as_of, name, severity, passed, wrong, message)
        self.audit.checks.append(record)
        if not passed:
            rows = [WrongRow(self.run_id, self.product.name, as_of, name, row) for row in shown]
            self.audit.wrong_rows.extend(rows)


def audit_pages(
    batch: Batch,
    features: FeaturePages,
    relations: Mapping[str, str],
    run_id: str,
    sizes: Sequence[tuple[datetime, int]],
    workers: int,
    crossed: Mapping[datetime, int] | None = None,
) -> Audit:
    """Check the staged pages of a batch.

    Parameters
    ----------
    batch
        The batch, in whose sandbox the checks run.
    features
        Its pages, with the number of entities of each.
    relations
        SQL of all its staged rows: `features`, `predictions`, and `page`, which is both side by side. Of lists whose
        candidates are not all staged `counted` too, which has parts of the numbers of each list's.
    run_id
        The run that the records belong to.
    sizes
        The published prediction pages with their numbers of rows, oldest first, for the warning on that number.
    workers
        How many pages are checked at a time.
    crossed
        By page, how many rows' quantiles crossed as the model gave them.
    """
    audit = Audit()
    auditor = _Auditor(run_id, batch.product, audit)
    _check_sizes(auditor, features, sizes)
    if batch.product.quantiles:
        _note_crossed(auditor, features, crossed or {})
    keys = quote_all(batch.product.keys)
    n_rows = sum(features.n_rows.values())
    settled = _settled_by_hashes(batch.cursor, keys, relations, n_rows, all_covered=batch.product.ranking is None)
    if batch.product.ranking is not None and _lists_are_in_order(batch.cursor, batch.product, relations):
        settled.add("lists_are_whole")
    for name in _BUILT_IN:
        if name in settled:
            _note_built_in(auditor, name, features, {})
        elif name == "entities_covered" and batch.product.ranking is not None:
            # Not every candidate is listed; `lists_are_whole` looks at those that are.
            continue
        elif name not in _OF_KINDS or name in batch.product.kind.checks:
            _check_built_in(auditor, batch.cursor, name, features, relations)
    if batch.product.header.monitor.hold:
        for each in held_pages(batch.cursor, batch.product, relations["page"], features.n_rows):
            message = "passed" if each.holds else f"held back: {each.message}"
            auditor.note(each.name, "error", each.as_of, 0 if each.holds else 1, [], message)
    if batch.product.checks and features.n_rows:
        own = OwnChecks(batch, relations["page"], features.n_rows, workers)
        own.run()
        audit.failed |= own.failed
        audit.differing += own.differing
        _note_own(auditor, own, features)
    return audit


def _settled_by_hashes(
    cursor: duckdb.DuckDBPyConnection, keys: str, relations: Mapping[str, str], n_rows: int, *, all_covered: bool
) -> set[str]:
    """Give those built-in checks of which a look at the keys' hashes shows that all pages pass them.

    Of lists not every candidate has a prediction, so that it is not asked whether `all_covered` are.
    """
    predictions, settled = relations["predictions"], set[str]()
    n_parts = n_rows // _HASHES_AT_A_TIME + 1
    parts = (
        system_sql("audit/key_hashes", keys=keys, predictions=predictions, n_parts=str(n_parts), part=str(part))
        for part in range(n_parts)
    )
    if all(_differ(cursor, part) for part in parts):
        settled.add("unique_keys")
    same = system_sql("audit/same_keys", keys=keys, features=relations["features"], predictions=predictions)
    if all_covered and _holds(cursor, same):
        settled.add("entities_covered")
    return settled


def _differ(cursor: duckdb.DuckDBPyConnection, hashes: str) -> bool:
    """Tell whether some hashes surely differ from each other: two keys may share one by chance.

    To sort them takes a third of counting different ones.
    """
    import numpy as np

    batches = [batch.column(0).to_numpy() for batch in cursor.execute(hashes).to_arrow_reader()]
    found = np.concatenate(batches) if batches else np.empty(0)
    del batches
    found.sort()
    return not (found[1:] == found[:-1]).any()


def _lists_are_in_order(cursor: duckdb.DuckDBPyConnection, product: Product, relations: Mapping[str, str]) -> bool:
    assert product.ranking is not None
    by = [quote(name) for name in ("as_of", *product.ranking.keys)]
    same_list = " AND ".join(f"{name} IS NOT DISTINCT FROM lag({name}) OVER ()" for name in by)
    parts = _parts_of_lists(product, product.ranking, relations)
    return _holds(cursor, system_sql("audit/lists_in_order", same_list=same_list, **parts))


def _parts_of_lists(product: Product, ranking: Ranking, relations: Mapping[str, str]) -> dict[str, str]:
    return {
        "predictions": relations["predictions"],
        "score": quote(product.score_column),
        "list": quote_all(ranking.keys),
        "top": str(ranking.top),
        "at_most": str(ranking.at_most),
        "candidates": _candidates(ranking, relations),
    }


def _holds(cursor: duckdb.DuckDBPyConnection, query: str) -> bool:
    return cursor.execute(query).fetchone() == (True,)


def _check_built_in(
    auditor: _Auditor,
    cursor: duckdb.DuckDBPyConnection,
    name: str,
    features: FeaturePages,
    relations: Mapping[str, str],
) -> None:
    product = auditor.product
    offered = {
        "features": relations["features"],
        "predictions": relations["predictions"],
        "keys": quote_all(product.keys),
        "score": quote(product.score_column),
        "probabilities": probability_list(product),
        "n_classes": str(len(product.classes)),
        "quantiles": quantile_list(product),
        "n_quantiles": str(len(product.quantiles)),
        "middle": str(middle_of(product.quantiles) + 1) if product.quantiles else "",
        "key_is_null": " OR ".join(f"{quote(key)} IS NULL" for key in product.keys),
        **(_parts_of_lists(product, product.ranking, relations) if product.ranking else {}),
    }
    query = system_sql(f"audit/{name}", **{key: offered[key] for key in _BUILT_IN[name]})
    statement = system_sql("audit/wrong_rows", query=query, limit=str(WRONG_ROWS_KEPT))
    found = {row[0]: (row[1], row[2]) for row in cursor.execute(statement).fetchall()}
    _note_built_in(auditor, name, features, found)


def _candidates(ranking: Ranking, relations: Mapping[str, str]) -> str:
    rows, count = relations["features"], "count(*)"
    if "counted" in relations:
        rows, count = relations["counted"], 'sum("almanac: n")::BIGINT'
    return system_sql("audit/candidates", list=quote_all(ranking.keys), count=count, rows=rows)


def _note_built_in(
    auditor: _Auditor, name: str, features: FeaturePages, found: Mapping[datetime, tuple[int, list[str]]]
) -> None:
    for as_of in features.n_rows:
        wrong, shown = found.get(as_of, (0, []))
        message = (
            "passed"
            if not wrong
            else f"{counted(wrong, 'row breaks', 'rows break')} the check {name.replace('_', ' ')}"
        )
        auditor.note(name, "error", as_of, wrong, shown, message)


def _note_own(auditor: _Auditor, own: OwnChecks, features: FeaturePages) -> None:
    for check in auditor.product.checks:
        for as_of in features.n_rows:
            if (check.name, as_of) in own.found:
                wrong, shown = own.found[check.name, as_of]
                message = "passed" if not wrong else f"{counted(wrong, 'row')}: {check.header.description.strip()}"
                auditor.note(check.name, check.header.severity, as_of, wrong, shown, message)


def _note_crossed(auditor: _Auditor, features: FeaturePages, crossed: Mapping[datetime, int]) -> None:
    """Record on each page how many rows' quantiles were put in order; that many are is a warning."""
    for as_of, n_rows in features.n_rows.items():
        n_crossed = crossed.get(as_of, 0)
        many = n_crossed > MOST_CROSSED * n_rows
        message = f"the quantiles of {n_crossed:,} of {counted(n_rows, 'row')} crossed, and were put in order"
        auditor.note("quantiles_crossed", "warning", as_of, n_crossed if many else 0, [], message)


def _check_sizes(auditor: _Auditor, features: FeaturePages, sizes: Sequence[tuple[datetime, int]]) -> None:
    published = [page for page, _ in sizes]
    settings = auditor.product.header.checks
    severity = "warning" if settings.allow_empty_page else "error"
    for as_of, n_rows in features.n_rows.items():
        empty = n_rows == 0
        message = "the page is empty: entities.sql found no entity" if empty else "passed"
        auditor.note("page_not_empty", severity, as_of, int(empty), [], message)
        band = settings.row_count_band
        if band is None:
            continue
        until = bisect.bisect_left(published, as_of)
        before = [rows for _, rows in sizes[max(0, until - band.pages) : until]]
        if not before:
            continue
        usual = sum(before) / len(before)
        off = abs(n_rows - usual) > band.within * usual
        message = (
            f"{counted(n_rows, 'row')}; the last {len(before)} pages had {usual:.0f} on average" if off else "passed"
        )
        auditor.note("row_count_band", "warning", as_of, int(off), [], message)
