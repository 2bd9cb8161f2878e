"""Status: what the suite has, what is live, what was published last, and what failed."""

from __future__ import annotations

import contextlib
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import duckdb

from jobs.models.columns.requirements import versions_unfit, with_advice
from jobs.models.versions import model_history
from jobs.suite import Suite
from warehouse.facts.files_aside import files_aside
from warehouse.facts.promises import broken_promises, newest_fact
from warehouse.ledger.derivations import derivation_column
from warehouse.system_sql import system_sql


@dataclass(frozen=True)
class Status:
    """One row a product, source, page in trouble, failed run and file that is set aside; all times naive UTC."""

    snapshot_id: int
    products: list[dict[str, Any]]
    sources: list[dict[str, Any]]
    troubles: list[dict[str, Any]]
    failed_runs: list[dict[str, Any]]
    files_aside: list[dict[str, Any]]
    broken_promises: list[dict[str, Any]]


def status(suite: Suite) -> Status:
    """Read the state of the suite from its ledger."""
    now = suite.clock()
    snapshot_id = suite.lake.newest_snapshot()
    with suite.lake.reading(snapshot_id) as connection:
        products = [_product_row(connection, suite, name, now) for name in suite.definitions.products]
        sources = _source_rows(connection)
        troubles = connection.execute(system_sql("status/troubles")).fetchall()
        failed = connection.execute(system_sql("status/failed_runs")).fetchall()
        aside = files_aside(connection)
        broken = broken_promises(connection, suite.definitions.sources.values(), now)
    return Status(
        snapshot_id,
        products,
        sources,
        _named(troubles, "product", "as_of", "state", "note", "run_id"),
        _named(failed, "run_id", "job", "product", "finished_at", "error"),
        [{"source": f.source, "file": f.path, "since": f.since, "reason": f.reason} for f in aside],
        [{"source": b.source, "expect": b.key, "what": b.sentence} for b in broken],
    )


def _named(rows: list[tuple[Any, ...]], *names: str) -> list[dict[str, Any]]:
    return [dict(zip(names, row, strict=True)) for row in rows]


def _source_rows(connection: Any) -> list[dict[str, Any]]:
    query = system_sql("status/sources", derivation=derivation_column(connection))
    names = ("source", "facts", "rejected", "known_until", "ingested_at", "is_changed")
    rows = _named(connection.execute(query).fetchall(), *names)
    for row in rows:
        if row.pop("is_changed"):
            # The table of the newest derivation bears the source's name. `doctor` tells of a file of it that is lost.
            row["known_until"] = None
            with contextlib.suppress(duckdb.IOException):
                row["known_until"] = newest_fact(connection, row["source"])
    return rows


def _product_row(connection: Any, suite: Suite, name: str, now: datetime) -> dict[str, Any]:
    product = suite.definitions.product(name)
    row = connection.execute(system_sql("status/pages"), [name]).fetchone() or (0, None, None, 0)
    history = model_history(connection, name)
    live = history.live(now)
    unfit = versions_unfit(connection, suite.definitions, product, [live]) if live else {}
    return {
        "product": name,
        "owner": product.header.owner,
        "live": live.version if live else None,
        "versions": len(history.models),
        "pages": row[0],
        "newest_page": row[1],
        "published_at": row[2],
        "rows": row[3] or 0,
        "due": product.page_at(now),
        "cannot_write": with_advice(product, unfit[live.version]) if live and unfit else None,
    }
