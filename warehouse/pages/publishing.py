"""Publishing: staged pages made visible, all of a batch in one commit with its ledger rows.

Under the writer lock: leave out pages that another run has published from newer facts meanwhile, or that were
rolled back, replace the rest, write the ledger, commit. A crash before the commit changes nothing; after it,
everything is there.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from warehouse.definitions import Definitions, Product
from warehouse.errors import UsageError
from warehouse.lake.lake import Commit
from warehouse.lake.tables import ensure_table
from warehouse.ledger import records as ledger
from warehouse.ledger.derivations import source_facts
from warehouse.ledger.exports import announce
from warehouse.ledger.records import DefinitionsRecord, GridRecord, PageRecord, Record
from warehouse.pages.arms.rows import clear_arms
from warehouse.pages.views import ensure_views
from warehouse.system_sql import exact_path, quote, system_sql


@dataclass(frozen=True)
class StagedRows:
    """The rows of some pages of one kind (features, labels or predictions) in one staged Parquet file.

    `others` are the files of further rows, where pages were made in shards. `held` is SQL of a relation of the same
    rows out of memory, if it is there.
    """

    kind: str
    file: Path
    columns: Mapping[str, str]
    pages: Sequence[PageRecord]
    others: tuple[Path, ...] = ()
    held: str | None = None

    @property
    def files(self) -> tuple[Path, ...]:
        """All files."""
        return self.file, *self.others


def to_send(product: Product, staged: Sequence[StagedRows]) -> list[tuple[str, str, Path]]:
    """Name the files of staged rows for `Lake.commit`, which sends them ahead."""
    return [(rows.kind, product.name, file) for rows in staged for file in rows.files]


def publish(
    commit: Commit,
    product: Product,
    staged: Sequence[StagedRows],
    passed: Collection[datetime] | None = None,
    made_at: int | None = None,
    *,
    more_follow: bool = False,
) -> list[PageRecord]:
    """Publish staged pages inside a commit, and give the ledger's rows of those that were.

    Of the staged pages only those in `passed` (default: all) are published, and of these not the ones whose
    published version was made from newer facts: there, the other run won. Nor are those that were rolled back after
    `made_at`, the snapshot that the staged rows were made from: whoever did that wanted what was there before.
    `more_follow`: see `ensure_views`.
    """
    published: list[PageRecord] = []
    rolled_back = ledger.rollbacks(commit.connection, product.name) if made_at is not None else {}
    undone = {page for page, rollback in rolled_back.items() if made_at is not None and rollback.snapshot_id > made_at}
    for rows in staged:
        among = [page.as_of for page in rows.pages]
        present = ledger.published_pages(commit.connection, product.name, rows.kind, among)
        kept = [
            page
            for page in rows.pages
            if (passed is None or page.as_of in passed)
            and page.as_of not in undone
            and not _is_newer(present.get(page.as_of), page)
        ]
        if not kept:
            continue
        as_it_is = _table_for(commit, product, rows) and len(kept) == len(rows.pages)
        earlier = [page.as_of for page in kept if page.as_of in present]
        _replace(commit, product, rows, [page.as_of for page in kept], earlier, as_it_is)
        published += [PageRecord.of_values({**vars(page), "snapshot_id": commit.snapshot_id}) for page in kept]
    ledger.append(commit, published)
    announce(commit, product, published)
    predicted = [page.as_of for page in published if page.kind == "predictions"]
    if predicted:
        clear_arms(commit, product.name, predicted)
        ensure_views(commit, product, more_follow=more_follow)
    return published


def _is_newer(present: PageRecord | None, staged: PageRecord) -> bool:
    return present is not None and present.ingest_id > staged.ingest_id


def _table_for(commit: Commit, product: Product, rows: StagedRows) -> bool:
    """Make the table ready for staged rows; tell whether their file can be added as it is.

    Raises
    ------
    UsageError
        If a column of the table has another type, such as what is predicted of another kind of label.
    """
    of_predictions = rows.kind == "predictions"
    try:
        return ensure_table(commit, rows.kind, product.name, dict(rows.columns), fields_come=of_predictions)
    except UsageError as error:
        if not of_predictions:
            raise
        raise UsageError(
            f"{str(error).partition(';')[0]}. What a product predicts keeps its type: give a {product.kind.name} label"
            f" whose pages differ from those of {product.name} so far a product of its own."
        ) from error


def _replace(
    commit: Commit, product: Product, rows: StagedRows, kept: list[datetime], earlier: list[datetime], as_it_is: bool
) -> None:
    """Put the kept pages' rows in place of the earlier ones; files are taken as they are if all of them is wanted."""
    target = f"{quote(rows.kind)}.{quote(product.name)}"
    if earlier:
        commit.execute(f"DELETE FROM {target} WHERE as_of = ANY($1)", [earlier])
    for file in rows.files:
        if as_it_is:
            commit.add_file(rows.kind, product.name, file)
        else:
            commit.execute(system_sql("publish/insert_rows", target=target), {"file": exact_path(file), "pages": kept})


def record_definitions(
    commit: Commit,
    product: Product,
    fingerprint: str,
    definitions: Definitions,
    now: datetime,
    page_columns: Mapping[str, str] | None = None,
) -> None:
    """Keep the text of a product's definitions, which facts they read, and its page grid, if the ledger has them not.

    `fingerprint` is the one that the pages or the model bear; `page_columns` are the columns of feature pages made
    under these definitions, with their types, where they are known.
    """
    records: list[Record] = []
    # Two products whose pages mean the same have one fingerprint, and texts of their own.
    query = "SELECT count(*) FILTER (definitions = $1 AND product = $2) FROM ledger.definitions"
    if commit.execute(query, [fingerprint, product.name]).fetchone() == (0,):
        facts = source_facts(commit.connection, definitions.sources_behind(product))
        read = {name: found.derivation for name, found in facts.items()}
        texts, columns = definitions.texts_of(product), dict(page_columns or {})
        ledger.append(commit, [DefinitionsRecord(fingerprint, product.name, now, texts, read, columns)])
    pages = product.header.pages
    row = commit.execute(system_sql("ledger/newest_grid"), [product.name]).fetchone()
    if row != (pages.cron, pages.zone, pages.since):
        records.append(GridRecord(product.name, pages.cron, pages.zone, pages.since, now))
    ledger.append(commit, records)
