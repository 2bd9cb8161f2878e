"""A model version as the ledger has it: what it was trained on and how it did, or that it is a text of SQL."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

#: What stands for the estimator of a version that was trained elsewhere.
IMPORTED = "imported"
#: The label cut-off of a version of which it is not known when it was trained: it may have seen every page's labels.
NEVER = datetime(9999, 1, 1)


@dataclass(frozen=True)
class ModelRecord:
    """One model version: what it was trained on and how it did. It may write pages from `label_cutoff` on.

    What is a rule in SQL was not trained: it has no cut-off, and its pages are those of the grid when it came.
    """

    TABLE: ClassVar[str] = "models"
    product: str
    version: str
    label_cutoff: datetime | None
    trained_at: datetime
    run_id: str
    first_page: datetime
    last_page: datetime
    n_pages: int
    n_rows: int
    definitions: str
    ingest_id: int
    estimator: str
    parameters: str
    seed: int
    features: list[str]
    metrics: dict[str, float]
    libraries: dict[str, str]
    artifact: str
    sha256: str
    scorer: str
    scorer_reason: str
    trained_by: str
    reason: str | None = None
    parent: str | None = None
    pipeline: str | None = None
    threads: int | None = None
    platform: str | None = None
    rows_hash: str | None = None
    validation: str | None = None
    importance: dict[str, float] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    feature_types: dict[str, str] = field(default_factory=dict)
    label_kind: str | None = None
    label_definition: str | None = None

    @property
    def is_rule(self) -> bool:
        """Whether it is a text of SQL that nobody trained."""
        return self.scorer == "sql"

    @property
    def is_imported(self) -> bool:
        """Whether it was trained elsewhere, so that nothing is known here of how."""
        return self.estimator == IMPORTED

    @property
    def writes_from(self) -> datetime:
        """The instant from which on it may write pages: its label cut-off, or before all time if it has none."""
        return self.label_cutoff or datetime.min

    def has_seen(self, page: datetime) -> bool:
        """Tell whether it has seen labels that became known after a page."""
        return page < self.writes_from
