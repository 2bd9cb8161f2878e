"""What the ledger has of reasons: how a version's predictions are explained, and which runs wrote which reasons."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import ClassVar

import duckdb

from warehouse.definitions.product import Product
from warehouse.lake.lake import Commit
from warehouse.ledger import records as ledger


@dataclass(frozen=True)
class ReasonsRecord:
    """How the predictions of a version are explained on one basis, or why they are not.

    Attributes
    ----------
    basis, settings
        The hash of groups and background, and the settings as JSON when this was first asked for.
    refused
        Why there are no reasons; None if there are.
    base, bases
        The raw prediction of a row of which nothing is known; of classes that of each, by its name.
    method
        In words.
    players
        The columns and groups, in the order by which ties are decided.
    background, background_file, background_sha256, background_rows
        Which rows in words, the file beside the artifact that holds them, its hash, and how many they are.
    n_checked, largest_miss
        On how many rows base and contributions were added up, and by how much they missed the raw prediction at most,
        as a share of the sum of their sizes.
    """

    TABLE: ClassVar[str] = "reasons"
    product: str
    version: str
    basis: str
    settings: str
    run_id: str
    written_at: datetime
    snapshot_id: int
    refused: str | None = None
    base: float | None = None
    method: str | None = None
    players: list[str] = field(default_factory=list)
    background: str | None = None
    background_file: str | None = None
    background_sha256: str | None = None
    background_rows: int | None = None
    n_checked: int = 0
    largest_miss: float | None = None
    bases: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class ReasonRun:
    """A run that wrote reasons; `wanted` is the hash of all settings, `basis` that of groups and background."""

    TABLE: ClassVar[str] = "reason_runs"
    product: str
    run_id: str
    wanted: str
    basis: str
    settings: str


def recorded_reasons(
    connection: duckdb.DuckDBPyConnection, product: str, version: str, basis: str
) -> ReasonsRecord | None:
    """Give how a version's predictions are explained on a basis; None if that was never asked for."""
    found = ledger.records_of(connection, ReasonsRecord, "ledger/reasons", [product, version, basis])
    return found[-1] if found else None


class WantedReasons:
    """Tells of a product's pages whether they have the reasons that are wanted now."""

    def __init__(self, connection: duckdb.DuckDBPyConnection, product: Product) -> None:
        settings = product.header.reasons
        self._now = settings.fingerprint if settings else None
        runs = ledger.records_of(connection, ReasonRun, "ledger/reason_runs", [product.name])
        self._of_run = {run.run_id: run.wanted for run in runs}

    def why(self, run_id: str) -> str | None:
        """Say why a page that a run wrote is out of date by its reasons; None if it is not."""
        then = self._of_run.get(run_id)
        if then == self._now:
            return None
        if self._now is None:
            return "it has reasons, and none are wanted now"
        return "it has no reasons" if then is None else "other reasons are wanted now"


def copy_reason_run(commit: Commit, product: str, earlier: str, run_id: str) -> None:
    """Note that a run wrote the reasons that an earlier run had written, as far as it wrote any."""
    runs = ledger.records_of(commit.connection, ReasonRun, "ledger/reason_runs", [product])
    ledger.append(commit, [replace(run, run_id=run_id) for run in runs if run.run_id == earlier][:1])
