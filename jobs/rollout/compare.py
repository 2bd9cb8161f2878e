"""Compare: two versions on the same pages and the same labels, none of which either had seen, in all and by segment."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

import numpy as np

from jobs.metering import RunMeter
from jobs.models.columns.requirements import given_columns, label_notes, require_met
from jobs.models.kinds.page_metrics import Scored, figure, paired_difference
from jobs.models.versions import model_history
from jobs.monitoring.performance.unfinished import finished_pages
from jobs.pages.labelled import LabelledPages, ensure_feature_pages
from jobs.progress import Progress, Silent
from jobs.rollout.evidence import Evidence, contender, gather, require_columns
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.label_kinds import KINDS
from warehouse.ledger.records import ModelRecord

CONFIDENCE = 0.95


@dataclass(frozen=True)
class Comparison:
    """Two versions side by side. `rows` has one row a metric, and a segment where a column was asked for.

    `low` and `high` bound the difference (the second less the first) in 95 of 100 draws of the pages. `notes` say
    which version learnt another label than the one that both are measured by; where only one did, no verdict is
    given.
    """

    product: str
    versions: tuple[str, str]
    first: datetime
    last: datetime
    n_pages: int
    n_rows: int
    rows: list[dict[str, Any]]
    notes: list[str] = field(default_factory=list)


def compare(
    suite: Suite,
    product_name: str,
    versions: tuple[str, str],
    *,
    first: datetime | None = None,
    until: datetime | None = None,
    by: str | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Compare two versions on the labelled pages of which neither has seen a label.

    Parameters
    ----------
    first, until
        Only pages with first <= as_of < until, naive UTC.
    by
        A column of the feature pages: figures for each of its values besides.

    Raises
    ------
    UsageError
        If they are one version, one reads what the definitions do not give any more, there is no such page, or no
        such column.
    """
    product = suite.definitions.product(product_name)
    models, evidence = evidence_of_pair(suite, product, versions, first, until, by, progress)
    sides, chosen = evidence.scored(*versions)
    seed, kind = product.header.model.seed, product.kind.name
    others = label_notes(suite.definitions, product, models)
    apart = models[0].label_definition != models[1].label_definition and bool(others)
    rows = _rows(versions, sides, kind, seed, "all")
    if by:
        values = evidence.column(by)[chosen]
        for value in sorted(set(values.tolist()), key=str):
            rows += _rows(versions, [side.where(values == value) for side in sides], kind, seed, f"{by}={value}")
    seen = np.unique(evidence.pages[chosen]).tolist()
    if apart:
        rows = [{**row, "verdict": "not compared: other label"} for row in rows]
    return Comparison(product.name, versions, seen[0], seen[-1], len(seen), int(chosen.sum()), rows, others)


def evidence_of_pair(
    suite: Suite,
    product: Product,
    versions: tuple[str, str],
    first: datetime | None,
    until: datetime | None,
    by: str | None,
    progress: Progress | None,
) -> tuple[list[ModelRecord], Evidence]:
    """Gather what two versions say of the matured pages of which neither has seen a label; at least one row of both.

    Raises
    ------
    UsageError
        As `compare` says.
    """
    if versions[0] == versions[1]:
        raise UsageError("name two different versions to compare.")
    models = _models(suite, product, versions)
    contenders = [contender(suite, model) for model in models]
    now = suite.clock()
    candidates = product.pages_between(first or min(model.first_page for model in models), until or now)
    honest = [page for page in candidates if all(one.is_honest(page) for one in contenders)]
    pages = finished_pages(suite, product, honest, now)
    if not pages:
        raise UsageError(
            f"{product.name}: there is no page whose labels have matured and of which neither {versions[0]} nor"
            f" {versions[1]} has seen any: they know labels up to {models[0].label_cutoff or 'no instant'} and"
            f" {models[1].label_cutoff or 'no instant'}. Choose another range, or versions trained earlier."
        )
    require_columns(suite, product, [by] if by else [], "--by")
    ensure_feature_pages(suite, product, pages, progress or Silent())
    run_id = RunMeter(suite, "compare", product.name).run_id
    with suite.staging(run_id) as directory, LabelledPages(suite, product, pages, directory) as labelled:
        evidence = gather(labelled, contenders, pages, now, [by] if by else [])
    if not evidence.scored(*versions)[1].any():
        raise UsageError(f"{product.name}: none of the {len(pages)} pages has a labelled row. Choose another range.")
    return models, evidence


def _models(suite: Suite, product: Product, versions: Sequence[str]) -> list[ModelRecord]:
    """Give the versions, each of which reads what the definitions give."""
    with suite.lake.reading() as connection:
        history = model_history(connection, product.name)
        columns = given_columns(connection, suite.definitions, product)
    models = [history.version(name) for name in versions]
    for model in models if columns is not None else ():
        require_met(product, model, columns or {})
    return models


def _rows(
    versions: tuple[str, str], sides: Sequence[Scored], kind: str, seed: int, segment: str
) -> list[dict[str, Any]]:
    found = []
    for metric, higher in KINDS[kind].metrics.items():
        difference = paired_difference(metric, sides[1], sides[0], CONFIDENCE, seed)
        better = difference.low > 0 if higher else difference.high < 0
        worse = difference.high < 0 if higher else difference.low > 0
        found.append(
            {
                "rows": segment,
                "n_rows": len(sides[0].labels),
                "metric": metric,
                versions[0]: figure(metric, sides[0]),
                versions[1]: figure(metric, sides[1]),
                "difference": difference.value,
                "low": difference.low,
                "high": difference.high,
                "verdict": "better" if better else "worse" if worse else "not told apart",
            }
        )
    return found
