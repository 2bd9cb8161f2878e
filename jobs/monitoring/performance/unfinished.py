"""Labels that are not finished: those of young pages, where label.sql gives what is known so far.

"What a customer bought in the next seven days" is a number on the first evening too, and a wrong one. A label is to
have no row until its time is over. One that has is found out here: an old page's labels are made as they were at the
age of the young pages, and compared with what they came to.
"""

from __future__ import annotations

import contextlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

from jobs.metering import RunMeter
from jobs.pages.outcomes import matured_pages
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.facts.silence import Silence, silences
from warehouse.lake.lake import Lake
from warehouse.pages.labels import compute_labels, settled_by
from warehouse.sandbox import Sandbox, timestamp_literal
from warehouse.system_sql import exact_path, quote_all, system_sql
from warehouse.wording import counted, to_the_second

#: Labels are corrected now and then. More than this share of a page's, or of those of one class, are not finished.
_CHANGED, _OF_A_CLASS = 0.02, 0.2
#: Numbers that differ by less, relatively, are sums in another order.
_SAME = 1e-9


@dataclass(frozen=True)
class Unfinished:
    """Pages whose labels are not what they will come to, and how that was found out.

    Attributes
    ----------
    pages
        The young ones, ascending.
    looked_at, age
        The old page, and the age at which its labels were looked at.
    n_labels, n_changed
        How many labels it had at that age, and how many of them became others until all had come.
    silence
        The source that tells nothing any more, where that is why pages are young.
    """

    pages: list[datetime]
    looked_at: datetime
    age: timedelta
    n_labels: int
    n_changed: int
    silence: Silence | None

    def in_words(self, product: Product) -> str:
        """Say what was found, and what to do."""
        found = (
            f"{product.label.where}: the labels of {counted(len(self.pages), 'page')} from"
            f" {to_the_second(self.pages[0])} on are not finished: of the {counted(self.n_labels, 'label')} that page"
            f" {to_the_second(self.looked_at)} had {_rounded(self.age)} after it, {self.n_changed:,} became others"
            f" until {product.maturity} after it (`label.matures_within`)."
        )
        if self.silence is None:
            return (
                f"{found} Let an entity have no label before its time is over (WHERE $known_by >= $as_of + the time"
                " that its outcome takes), or correct `matures_within` if it takes less."
            )
        silent, since = self.silence.source, to_the_second(self.silence.since)
        return (
            f"{found} {silent}, which it reads, has told nothing since {since}, and never paused for longer than"
            f" {self.silence.longest_pause} before. Ingest what is missing, or say `expect: {{every: ...}}` in its"
            " header, so that labels wait for it, or use only what came before:"
            f" --as-of {self.pages[0].isoformat()} to train, --to to evaluate."
        )


def _rounded(span: timedelta) -> timedelta:
    return timedelta(seconds=round(span.total_seconds()))


def find_unfinished(
    sandbox: Sandbox, suite: Suite, product: Product, pages: Sequence[datetime], known_by: datetime, directory: Path
) -> Unfinished | None:
    """Find out whether the labels of the young ones among some pages are others than they will be; None if not.

    Nothing can be told, and None is given, where no page is old enough to compare with.

    Parameters
    ----------
    sandbox
        Where label.sql runs.
    pages
        Ascending.
    known_by
        As of when their labels are taken.
    directory
        For two small files.
    """
    ways = _silent_ways(sandbox.lake, sandbox.snapshot_id, suite, product, known_by)
    reached = settled_by(sandbox, suite.definitions, product, known_by)
    told = [way for way in ways if way[0] < reached]
    looks = (_look(sandbox, suite, product, pages, way, directory) for way in [*told, (reached, None)])
    return next((found for found in looks if found is not None), None)


def find_untold(suite: Suite, product: Product, pages: Sequence[datetime], known_by: datetime) -> Unfinished | None:
    """Find out whether labels whose time is over lack what a silent source does not tell; None if not.

    That a source is silent costs a look at its facts of the last weeks to find out. Labels are made only where one is,
    and had told nothing more when the time of some page was over.

    Parameters
    ----------
    pages
        Those whose time is over, ascending.
    known_by
        As of when their labels are taken.
    """
    if not pages:
        return None
    ways = [
        way for way in _silent_ways(suite.lake, None, suite, product, known_by) if way[0] < pages[-1] + product.maturity
    ]
    if not ways:
        return None
    run_id = RunMeter(suite, "monitor", product.name).run_id
    with suite.staging(run_id) as directory, Sandbox(suite.lake, spill=directory / "spill") as sandbox:
        looks = (_look(sandbox, suite, product, pages, way, directory) for way in ways)
        return next((found for found in looks if found is not None), None)


def finished_pages(suite: Suite, product: Product, pages: Sequence[datetime], known_by: datetime) -> list[datetime]:
    """Choose the pages whose labels had all had the time to come, and that no silent source keeps from being told."""
    matured = matured_pages(suite, product, pages, known_by)
    untold = find_untold(suite, product, matured, known_by)
    return [page for page in matured if untold is None or page < untold.pages[0]]


#: Up to when facts have come: all of them, or those of a silent source; without it time goes on.
_Way = tuple[datetime, Silence | None]


def _silent_ways(lake: Lake, snapshot_id: int | None, suite: Suite, product: Product, known_by: datetime) -> list[_Way]:
    sources = suite.definitions.sources_read([product.label])
    with lake.reading(snapshot_id) as connection:
        return [(each.heard_at, each) for each in silences(connection, sources, known_by)]


def _look(
    sandbox: Sandbox, suite: Suite, product: Product, pages: Sequence[datetime], way: _Way, directory: Path
) -> Unfinished | None:
    """Compare the labels of an old page with what they were when it was as old as the young pages are."""
    reached, silence = way
    old = [page for page in pages if page + product.maturity <= reached]
    young = [page for page in pages if page + product.maturity > reached]
    begun = [page for page in young if page < reached]
    # Later pages have labels only where time goes on and a source does not.
    young = begun if silence is None else young
    looked_at = old[-1] if old else None
    if looked_at is None and silence is not None:
        looked_at = product.page_at(reached - product.maturity)
    if looked_at is None or not young:
        return None
    # Of the youngest pages there may be no label yet, and the oldest ones' are nearly what they will be.
    age = reached - begun[len(begun) * 2 // 3] if begun else timedelta(0)
    over = looked_at + product.maturity

    def labels(name: str, known_by: datetime, shown_rows: Mapping[str, str] | None = None) -> str:
        file = directory / f"{name}.parquet"
        compute_labels(sandbox, suite.definitions, product, [looked_at], known_by, file, shown_rows=shown_rows)
        return exact_path(file)

    if silence is None:
        early = labels("early", looked_at + age)
    else:
        told = looked_at + age - (silence.heard_at - silence.since)
        early = labels("early", over, {silence.source: f"known_at <= {timestamp_literal(told)}"})
    n_labels, n_changed, of_a_class = _compared(sandbox, product, early, labels("final", over))
    if n_changed < 2 or (n_changed < _CHANGED * n_labels and of_a_class < _OF_A_CLASS):
        return None
    return Unfinished(young, looked_at, age, n_labels, n_changed, silence)


def _compared(sandbox: Sandbox, product: Product, early: str, final: str) -> tuple[int, int, float]:
    number = product.kind.label_type == "DOUBLE"
    close = f"abs(early.label - final.label) <= {_SAME} * greatest(abs(early.label), abs(final.label))"
    query = system_sql(
        "labels/changed",
        keys=quote_all(product.keys),
        differs=f"NOT coalesce({close if number else 'early.label = final.label'}, false)",
        value="true" if number else "final",
    )
    with contextlib.closing(sandbox.cursor()) as cursor:
        n_labels, n_changed, of_a_class = cursor.execute(query, [early, final]).fetchone() or (0, 0, 0)
    return n_labels or 0, n_changed or 0, of_a_class or 0.0
