"""Writes down what requests gave of `request:` as Parquet, so that it can become a source; only where asked to.

Each process gathers rows, and writes them every few seconds as a file of its own, whole. What is kept in memory and in
the directory is bounded: rows beyond that are counted and dropped, and answers go on.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import structlog

from jobs.bundles.bundle_reader import Bundle
from jobs.bundles.key_columns import KeyColumn

#: A process keeps so many rows at most until they are written, which is so often.
_MOST_ROWS, WRITE_EVERY_S = 50_000, 5.0
#: Columns besides those of keys and requests.
ASKED_AT, MADE = "asked_at", "almanac_made"
#: Arrow's names of types; what is not listed is text here.
_ARROW = {
    **{"TINYINT": "int8", "SMALLINT": "int16", "INTEGER": "int32", "BIGINT": "int64", "UTINYINT": "uint8"},
    **{"USMALLINT": "uint16", "UINTEGER": "uint32", "DOUBLE": "float64", "BOOLEAN": "bool_", "DATE": "date32"},
}


class RequestLog:
    """The rows of one process.

    Parameters
    ----------
    directory
        Where files are written, below a directory for each product.
    most_bytes
        How large all files in it together may become.
    """

    def __init__(self, directory: Path, most_bytes: int) -> None:
        self._directory, self._most_bytes = directory, most_bytes
        self._rows: dict[str, list[tuple[Bundle, dict[str, Any], int, str]]] = {}
        self._n_files = self._n_kept = 0
        self._gathering = threading.Lock()
        self._written_at = time.monotonic()
        self.n_dropped = self.n_written = 0
        self._log: Any = structlog.get_logger()

    def note(self, bundle: Bundle, given: Mapping[str, Any], now_us: int, made: str) -> None:
        """Keep what a request gives of the product's `request`, if it gives any of it."""
        told = bundle.manifest.on_demand
        if told is None or told.request.isdisjoint(given):
            return
        if self._n_kept >= _MOST_ROWS:
            self.n_dropped += 1
            return
        row = (bundle, bundle.request_row(given), now_us, made)
        with self._gathering:
            self._n_kept += 1
            self._rows.setdefault(bundle.manifest.product, []).append(row)

    def write_if_due(self) -> None:
        """Write what was gathered, if it is time. May run in another thread than `note`."""
        if self._rows and time.monotonic() - self._written_at > WRITE_EVERY_S:
            self.write()

    def write(self) -> None:
        """Write what was gathered, as far as there is room for it."""
        self._written_at = time.monotonic()
        with self._gathering:
            taken, self._rows, self._n_kept = self._rows, {}, 0
        for product, rows in taken.items():
            try:
                if self._size() >= self._most_bytes:
                    self.n_dropped += len(rows)
                    continue
                self._write(product, rows)
                self.n_written += len(rows)
            except Exception as error:  # noqa: BLE001
                # A disk that is full, or a lost directory, stops no answers. What an error says may hold a key.
                self.n_dropped += len(rows)
                self._log.error("requests could not be written down", error=type(error).__name__)

    def _size(self) -> int:
        return sum(file.stat().st_size for file in self._directory.rglob("*.parquet"))

    def _write(self, product: str, rows: Sequence[tuple[Bundle, dict[str, Any], int, str]]) -> None:
        import pyarrow as pa
        import pyarrow.parquet as pq

        manifest = rows[-1][0].manifest
        assert manifest.on_demand is not None
        asked = [each for each in manifest.on_demand.columns if each.name in manifest.on_demand.request]
        columns = {
            each.name: pa.array([_value(row.get(each.name), each) for _, row, *_ in rows], _type(each))
            for each in (*manifest.keys, *asked)
        }
        columns[ASKED_AT] = pa.array([at for _, _, at, _ in rows], pa.timestamp("us"))
        columns[MADE] = pa.array([made for *_, made in rows], pa.string())
        directory = self._directory / product
        directory.mkdir(parents=True, exist_ok=True)
        self._n_files += 1
        name = f"{rows[0][2]}-{os.getpid()}-{self._n_files}.parquet"
        temporary = directory / f".{name}.new"
        try:
            pq.write_table(pa.table(columns), temporary, compression="zstd")
            temporary.replace(directory / name)
        finally:
            temporary.unlink(missing_ok=True)


def _type(column: KeyColumn) -> Any:
    import pyarrow as pa

    if column.type == "TIMESTAMP":
        return pa.timestamp("us")
    return getattr(pa, _ARROW.get(column.type, "string"))()


def _value(kept: Any, column: KeyColumn) -> Any:
    if kept is None:
        return None
    return date.fromisoformat(kept) if column.type == "DATE" else bool(kept) if column.type == "BOOLEAN" else kept
