"""Outcomes: the labels of published pages, kept up with the facts as they come in.

What readers see in `predictions.PRODUCT_outcomes` is as good as the last call; `run`, `ingest` and `evaluate`
make one. Pages whose labels cannot have changed are left alone.
"""

from __future__ import annotations

from jobs.metering import RunMeter
from jobs.suite import Suite
from warehouse import ledger
from warehouse.definitions import Product
from warehouse.labels import compute_labels, labels_are_settled
from warehouse.ledger import PageRecord
from warehouse.publishing import StagedRows, ensure_views, publish
from warehouse.sandbox import Sandbox

#: How many pages' labels are committed at a time.
_PAGES_PER_COMMIT = 400


def settle_labels(suite: Suite, product: Product) -> int:
    """Bring the outcomes of a product's published pages up to date; give how many pages were looked at anew."""
    now = suite.clock()
    definitions = suite.definitions
    fingerprint = definitions.label_fingerprint(product)
    with suite.lake.reading() as connection:
        pages = sorted(ledger.published_pages(connection, product.name, "predictions"))
        stored = ledger.published_pages(connection, product.name, "labels")
        known = ledger.source_facts(connection)
    facts = [known.get(source.name, ledger.SourceFacts()) for source in definitions.sources_read([product.label])]
    unsettled = [
        page
        for page in pages
        if page < now and not labels_are_settled(stored.get(page), product, fingerprint, facts, now)
    ]
    for start in range(0, len(unsettled), _PAGES_PER_COMMIT):
        meter = RunMeter(suite, "labels", product.name)
        chunk = unsettled[start : start + _PAGES_PER_COMMIT]
        with suite.staging(meter.run_id) as directory, Sandbox(suite.lake, spill=directory) as sandbox:
            labels = compute_labels(sandbox, definitions, product, chunk, now, directory / "labels.parquet")
            records = [
                PageRecord(
                    product=product.name,
                    kind="labels",
                    as_of=page,
                    state="published",
                    run_id=meter.run_id,
                    definitions=fingerprint,
                    ingest_id=sandbox.ingest_id,
                    recorded_at=now,
                    snapshot_id=0,
                    n_rows=n_rows,
                )
                for page, n_rows in labels.n_rows.items()
            ]
            with suite.lake.commit(f"labels of {product.name}, run {meter.run_id}") as commit:
                publish(commit, product, [StagedRows("labels", labels.file, labels.columns, records)])
                ensure_views(commit, product)
                n_rows = sum(labels.n_rows.values())
                figures = {"n_pages": len(chunk), "n_rows": n_rows, "snapshot_id": commit.snapshot_id}
                ledger.append(
                    commit, [meter.record("succeeded", first_as_of=chunk[0], last_as_of=chunk[-1], **figures)]
                )
    return len(unsettled)
