"""Erasures as the ledger keeps them: that a person was erased, when, by whom and why, and never who it was."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.ledger.records import records_of

#: What the note of a published page begins with that had counted a person; the day follows.
COUNTED = "counted a person who was erased on"


@dataclass(frozen=True)
class ErasureRecord:
    """A person that was erased.

    Attributes
    ----------
    subject
        The kind of person, as sources declare it, such as `customer`.
    tombstones
        Keyed hashes of what names the person in deliveries (`warehouse.facts.tombstones`), the person's own first.
    key_check
        A hash of a fixed text under the same key, which tells whether a key is the one of then.
    n_facts, n_rows, n_pages
        Facts and rejects, and rows of pages, that went; and published pages that had counted the person.
    """

    TABLE: ClassVar[str] = "erasures"
    erasure_id: str
    subject: str
    tombstones: list[str]
    key_check: str
    erased_at: datetime
    erased_by: str
    reason: str | None
    n_facts: int
    n_rows: int
    n_pages: int
    run_id: str
    snapshot_id: int


def erasures(connection: duckdb.DuckDBPyConnection) -> list[ErasureRecord]:
    """Read all erasures, the oldest first."""
    return records_of(connection, ErasureRecord, "ledger/erasures", [])
