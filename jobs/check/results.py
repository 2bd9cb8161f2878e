"""What a check finds, as plain records: of the suite, and of each product."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any


@dataclass(frozen=True)
class ColumnChange:
    """One column of feature pages that is not what it was.

    `what` is added, removed, retyped or values. Of values `n_rows` says in how many rows they differ, `share` which
    share that is of the rows that both have, and `largest` by how much a number differs at most.
    """

    column: str
    what: str
    before: str | None = None
    after: str | None = None
    n_rows: int = 0
    share: float = 0.0
    largest: float | None = None


@dataclass(frozen=True)
class RowsChange:
    """Rows of pages, before and after; of labels also how many changed."""

    n_before: int
    n_after: int
    n_came: int
    n_went: int
    n_changed: int = 0


@dataclass(frozen=True)
class PredictionsChange:
    """Predictions of the same pages before and after; `share` is of those that changed, came or went among all.

    `first` has the rows that changed most: keys, page, before, after, change.
    """

    n_same: int
    n_changed: int
    n_came: int
    n_went: int
    share: float
    largest: float | None
    mean: float | None
    first: list[dict[str, Any]] = field(default_factory=list)


@dataclass(frozen=True)
class Quality:
    """Metrics of both on the newest matured pages; `rows` has one a metric, with the interval of the difference.

    `low` and `high` hold 95 of 100 draws of whole pages. `why_not` says why there are none.
    """

    n_pages: int = 0
    n_rows: int = 0
    first: datetime | None = None
    last: datetime | None = None
    rows: list[dict[str, Any]] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)
    why_not: str | None = None


@dataclass(frozen=True)
class Spoken:
    """A check, gate or monitor that would speak: `is_new` if it did not of the same pages before."""

    kind: str
    name: str
    severity: str
    message: str
    n_pages: int = 0
    is_new: bool = True


@dataclass(frozen=True)
class PageCost:
    """What a page and the pages that become stale cost.

    Attributes
    ----------
    cpu_before, cpu_after
        CPU seconds of one page's features, measured in turn; None where they are the same, and were not made.
    factor
        The second by the first; 1.0 where they are the same.
    n_stale
        How many published pages would be stale that are not.
    seconds, rows
        What making them again would take, by past runs and the factor; None where nothing tells it.
    """

    cpu_before: float | None
    cpu_after: float | None
    factor: float
    n_stale: int
    seconds: float | None
    rows: int | None


@dataclass
class ProductCheck:
    """What becomes of one product.

    Attributes
    ----------
    changed
        What of it changed: features, label, model, checks, pages, or other.
    files
        Its files that changed.
    first, last, n_pages
        Which pages were made both ways.
    before_versions, version, trained_as_of
        Who wrote them before, and who wrote them now; the cut-off of the version that was trained for that.
    made_again
        Pages that were stale in production, and were made again under its definitions to be compared.
    failures
        What speaks against the change.
    """

    product: str
    changed: list[str] = field(default_factory=list)
    files: list[str] = field(default_factory=list)
    first: datetime | None = None
    last: datetime | None = None
    n_pages: int = 0
    before_versions: list[str] = field(default_factory=list)
    version: str | None = None
    trained_as_of: datetime | None = None
    made_again: int = 0
    columns: list[ColumnChange] = field(default_factory=list)
    rows: RowsChange | None = None
    labels: RowsChange | None = None
    predictions: PredictionsChange | None = None
    quality: Quality = field(default_factory=Quality)
    speaks: list[Spoken] = field(default_factory=list)
    cost: PageCost | None = None
    notes: list[str] = field(default_factory=list)
    failures: list[str] = field(default_factory=list)


@dataclass(frozen=True)
class CheckResult:
    """All that a check found.

    Attributes
    ----------
    check_id
        Names it.
    definitions
        The hash of the working copy's definitions.
    against, snapshot_id, origin
        Which lake, at which snapshot, and where production's definitions were read.
    files
        Which files are added, removed and changed.
    touched
        Columns, versions, predictions and exports that depend on what changed, by kind and owner.
    products
        Those that changed; `unchanged` names the others.
    """

    check_id: str
    definitions: str
    git_commit: str | None
    against: str
    snapshot_id: int
    origin: str
    checked_at: datetime
    files: Mapping[str, list[str]]
    touched: list[dict[str, Any]]
    products: list[ProductCheck]
    unchanged: list[str]
    notes: list[str]

    @property
    def failures(self) -> list[str]:
        """What speaks against the change, of all products."""
        return [f"{one.product}: {failure}" for one in self.products for failure in one.failures]

    @property
    def passed(self) -> bool:
        """Whether nothing does."""
        return not self.failures
