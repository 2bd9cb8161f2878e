"""Decisions on model versions, as the ledger keeps them: what was decided, by whom and why, and each gate's figures."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.ledger import records as ledger


@dataclass(frozen=True)
class Decision:
    """One decision on a version.

    Attributes
    ----------
    action
        train (the decision that follows a training), promote, retire or rollback.
    against
        The live version that it was compared with, or took the place of.
    passed
        Whether every gate passed; true where there were none.
    forced
        Whether it was taken although a gate did not pass.
    taken
        Whether it was carried out.
    """

    TABLE: ClassVar[str] = "decisions"
    decision_id: str
    product: str
    version: str
    action: str
    against: str | None
    passed: bool
    forced: bool
    taken: bool
    effective_from: datetime | None
    decided_at: datetime
    decided_by: str
    reason: str | None
    snapshot_id: int | None = None


@dataclass(frozen=True)
class GateRecord:
    """What one gate found: a figure, its interval where it has one, and the bound that it was held against."""

    TABLE: ClassVar[str] = "gates"
    decision_id: str
    product: str
    version: str
    gate: str
    passed: bool
    figure: float | None
    low: float | None
    high: float | None
    bound: str
    n_rows: int
    n_pages: int
    message: str


def decisions(connection: duckdb.DuckDBPyConnection, product: str) -> list[Decision]:
    """Read the decisions on a product's versions, in the order in which they were made."""
    return ledger.records_of(connection, Decision, "ledger/decisions", [product])


def gates_of(connection: duckdb.DuckDBPyConnection, product: str, version: str) -> list[GateRecord]:
    """Read what the gates found of a version, decision by decision."""
    return ledger.records_of(connection, GateRecord, "ledger/gates", [product, version])
