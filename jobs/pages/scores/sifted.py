"""Candidates of ranked lists that are scored while they are made, of which what may be wanted is staged.

Of a page's candidates few are listed, and of few lists all are kept. To put the others down, and to read them again,
takes several times what making and scoring them does. So they stream from their query through the scorer and a sieve
(`jobs.scoring.sieves`), and what passes is staged: features, and scores. That is a little too much, and never too
little: what is listed, and of which lists all is kept, is found by the statements that find it among all candidates.

Memory holds some batches that wait while bounds become known from those after them, and some more of rows that passed,
which are looked at again once more of their lists has been seen; what is written meanwhile is in memory too. A
page that is no larger than what waits is staged whole.
"""

from __future__ import annotations

import contextlib
import itertools
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from jobs.models.kinds.page_values import page_values
from jobs.pages.scores.score import SOON_READ, PredictionRows, Sifted
from jobs.scoring import score_stream
from jobs.scoring.sieves.sieve import Sieve
from warehouse.arrow_rows import chosen_rows
from warehouse.batching.batch import LIST_COLUMN
from warehouse.definitions import Product
from warehouse.errors import RunFailed
from warehouse.pages.lists.kept import is_kept_whole
from warehouse.pages.lists.ranked import scored_file
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import parquet, quote, system_sql

if TYPE_CHECKING:
    from jobs.scoring import Scorer
    from jobs.scoring.interface.scorer import Floats

#: So many bytes of candidates wait until they are sifted, and so many of those that passed are held in memory.
WAITING_BYTES, HELD_BYTES = 64 * 2**20, 32 * 2**20
#: Of rows that passed once are no fewer than this share left, all of them are kept, since to move them takes longer.
MOST_KEPT = 0.8
#: Types of columns that are the same whether DuckDB or Arrow writes them as Parquet.
_NUMBERS = (
    "BIGINT",
    "INTEGER",
    "SMALLINT",
    "TINYINT",
    "UBIGINT",
    "UINTEGER",
    "USMALLINT",
    "UTINYINT",
    "DOUBLE",
    "FLOAT",
)
_PLAIN = frozenset((*_NUMBERS, "BOOLEAN", "VARCHAR", "DATE", "TIMESTAMP"))
_SCORE, _PLACE, _N, _NEW = "almanac: score", "almanac: place", "almanac: n", "almanac_new_lists"


def can_be_sifted(kinds: Iterable[str]) -> bool:
    """Tell whether all columns are of types that come through as they are."""
    return all(kind in _PLAIN or kind.startswith("DECIMAL(") for kind in kinds)


@dataclass
class SiftedPage:
    """Takes the candidates of one page, scores them, and stages those that may be listed or are kept anyway.

    Attributes
    ----------
    cursor
        Where it is asked which lists are kept whole.
    rows
        Makes rows of predictions.
    make_ready
        Gives the scorer; it is handed some candidates to compare it on, where that is still to be done.
    file
        The file that the page's predictions will be in: what is to be ranked is put down beside it.
    told
        Told of the numbers of rows that were scored.
    sifted
        What became of them.
    """

    cursor: duckdb.DuckDBPyConnection
    product: Product
    page: datetime
    rows: PredictionRows
    make_ready: Callable[[pa.RecordBatch], Scorer]
    file: Path
    told: Callable[[int], None]
    sifted: Sifted = field(default_factory=Sifted)
    _times: Mapping[str, datetime] = field(default_factory=dict)

    def __call__(self, candidates: pa.RecordBatchReader, times: Mapping[str, datetime], file: Path) -> int:
        """Stage them; see `warehouse.batching.batch.Sieve`."""
        self._times = times
        batches, nothing = self._read(candidates), pa.RecordBatch.from_pylist([], candidates.schema)
        first = next(batches, nothing)
        scorer = self.make_ready(first)
        # With one batch at a time a core waits for the last of its rows, again and again.
        stream = score_stream(itertools.chain((first,), batches), scorer, self._scored, self.told, at_once=2)
        scored = self._scored(nothing, scorer.predict(nothing))
        with contextlib.closing(stream), contextlib.closing(_Staging(self, file, scored)) as staging:
            for batch in stream:
                staging.take(batch)
            n_rows = staging.end()
        self.sifted.scorer = scorer
        return n_rows

    def _read(self, candidates: pa.RecordBatchReader) -> Iterator[pa.RecordBatch]:
        try:
            yield from candidates
        except (OSError, pa.ArrowException) as error:
            # The query failed in the middle, or was interrupted: DuckDB told Arrow, and pyarrow 26 says OSError.
            raise RunFailed(f"{self.product.entities.where}: the query failed on the data: {error}") from error

    def _scored(self, batch: pa.RecordBatch, predictions: Floats) -> pa.RecordBatch:
        target = self.rows.target
        return batch.append_column(_SCORE, page_values(target.scores(predictions), target)[self.product.score_column])

    def whole_rows(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Give candidates with all columns of feature pages."""
        for name, time in self._times.items():
            batch = batch.append_column(name, pa.repeat(pa.scalar(time, pa.timestamp("us")), batch.num_rows))
        return batch

    def rows_of(self, batch: pa.RecordBatch) -> pa.RecordBatch:
        """Make rows of predictions of candidates, of all columns, with their scores."""
        return self.rows.of_scores(batch, batch.column(_SCORE).to_numpy())

    def kept_whole(self, keys: Sequence[pa.Array]) -> npt.NDArray[np.bool_]:
        """Tell of some lists which are kept whole."""
        assert self.product.ranking is not None
        found = np.zeros(len(keys[0]), np.bool_)
        if not len(found):
            return found
        named = dict(zip(self.product.ranking.keys, keys, strict=True))
        self.cursor.register(_NEW, pa.table({**named, _PLACE: pa.array(np.arange(len(found)))}))
        try:
            parts = {"place": quote(_PLACE), "as_of": timestamp_literal(self.page), "lists": _NEW}
            asked = system_sql("pages/kept_whole", is_kept=is_kept_whole(self.product), **parts)
            told = self.cursor.execute(asked).to_arrow_table()
        finally:
            self.cursor.unregister(_NEW)
        found[told.column(_PLACE).to_numpy()] = told.column("is_kept").to_numpy()
        return found


class _Staging:
    """What is held of the candidates, and the files that they end in.

    Parameters
    ----------
    nothing
        A batch as they will come, without rows.
    """

    def __init__(self, sifted: SiftedPage, file: Path, nothing: pa.RecordBatch) -> None:
        assert sifted.product.ranking is not None
        self._sifted, self._ranking = sifted, sifted.product.ranking
        whole, first = sifted.whole_rows(nothing), sifted.rows.looked_up_by
        others = (name for name in nothing.schema.names if name not in (*first, _SCORE, LIST_COLUMN))
        self._columns = [*first, *others]
        #: Whether the features of all candidates are staged, and only scores go through the sieve.
        self._keeps_all = not sifted.product.keeps_part
        self._ranked = [name for name in (*first, LIST_COLUMN, _SCORE) if name in nothing.schema.names]
        self._waiting, self._held = _Queue(), _Queue()
        self._sieve: Sieve | None = None
        #: Of so many lists it is known whether they are kept whole.
        self._n_known = 0
        self._n_rows = 0
        self._whole: list[npt.NDArray[np.bool_]] = [np.zeros(0, np.bool_)]
        self._open = contextlib.ExitStack()
        self._written: Future[None] | None = None
        features, scored = whole.select(self._columns).schema, sifted.rows_of(whole).schema
        self._features = self._writer(file, features, soon_read=not self._keeps_all)
        # By the statistics DuckDB knows how short keys are, and sorts short ones in half the time.
        self._scored = self._writer(scored_file(sifted.file), scored, write_statistics=True)
        self._counts_file = file.with_suffix(".counts.parquet")
        counts = [*(nothing.schema.field(key) for key in self._ranking.keys), pa.field(_N, pa.int64())]
        self._counts = self._writer(self._counts_file, pa.schema(counts))
        # Ends before the files do.
        self._writing = self._open.enter_context(ThreadPoolExecutor(1, "almanac-stage"))

    def _writer(self, file: Path, schema: pa.Schema, *, soon_read: bool = True, **more: bool) -> pq.ParquetWriter:
        texts = [one.name for one in schema if pa.types.is_string(one.type)]
        how = {"compression": SOON_READ if soon_read else "zstd", "write_statistics": not soon_read, **more}
        return self._open.enter_context(pq.ParquetWriter(file, schema, use_dictionary=texts, **how))

    def close(self) -> None:
        """Finish the files."""
        self._open.close()

    def take(self, batch: pa.RecordBatch) -> None:
        """Take candidates, with their scores."""
        self._n_rows += batch.num_rows
        if self._keeps_all:
            self._begin_writing(self._features.write_batch, self._sifted.whole_rows(batch).select(self._columns))
            batch = batch.select(self._ranked)
        self._waiting.append(batch if self._sieve is None else self._placed(batch, self._sieve))
        if self._sieve is None and self._waiting.n_bytes >= WAITING_BYTES:
            self._sieve = Sieve(self._ranking.top)
            self._waiting = _Queue(self._placed(one, self._sieve) for one in self._waiting)
        # As many go as come: where all that waits went at once, the stages before waited, and a core with them.
        while self._sieve is not None and self._waiting.n_bytes >= WAITING_BYTES:
            self._let_through(self._waiting.pop(), self._sieve)

    def end(self) -> int:
        """Write what is left, and how many candidates lists have, unless all are staged; give their number in all."""
        if self._sieve is None:
            # They are few, and are ranked as they are.
            self._write(self._waiting)
            self._wait_for_files()
            return self._n_rows
        while len(self._waiting):
            self._let_through(self._waiting.pop(), self._sieve)
        self._write_held()
        self._wait_for_files()
        if self._keeps_all:
            return self._n_rows
        self._counts.write_batch(self._counted(self._sieve.keys(), pa.array(self._sieve.n_rows)))
        found = f"(SELECT {timestamp_literal(self._sifted.page)} AS as_of, * FROM {parquet([self._counts_file])})"
        self._sifted.sifted.relations["counted"] = found
        self._sifted.sifted.kept = np.concatenate(self._whole)
        return self._n_rows

    def _let_through(self, batch: pa.RecordBatch, sieve: Sieve) -> None:
        """Hold of candidates what may be wanted, by what is known of their lists; write what is held, if it is much."""
        self._know_lists_of(batch, sieve)
        self._held.append(self._passing(batch, sieve))
        if self._held.n_bytes >= HELD_BYTES:
            # More of their lists has been seen since most of them passed.
            self._held = _Queue(self._passing(one, sieve, MOST_KEPT) for one in self._held)
            if 2 * self._held.n_bytes >= HELD_BYTES:
                self._write_held()

    def _know_lists_of(self, batch: pa.RecordBatch, sieve: Sieve) -> None:
        """Ask which lists are kept whole, of all that were seen, if it is not known of those of a batch."""
        if not self._keeps_all and batch.column(_PLACE).to_numpy().max(initial=-1) >= self._n_known:
            sieve.keep_whole(self._n_known, self._sifted.kept_whole(sieve.keys(self._n_known)))
            self._n_known = sieve.n_lists

    def _placed(self, batch: pa.RecordBatch, sieve: Sieve) -> pa.RecordBatch:
        """Offer candidates to the sieve; give them with the places of their lists."""
        keys = [batch.column(key) for key in self._ranking.keys]
        places = sieve.find(batch.column(LIST_COLUMN).to_numpy(), keys)
        sieve.offer(places, batch.column(_SCORE).to_numpy())
        return batch.drop_columns([LIST_COLUMN]).append_column(_PLACE, pa.array(places))

    def _passing(self, batch: pa.RecordBatch, sieve: Sieve, most: float = 1.0) -> pa.RecordBatch:
        """Give what passes; all of it, where that is more than a share `most` of it, and too little to be moved for."""
        kept = sieve.kept(batch.column(_PLACE).to_numpy(), batch.column(_SCORE).to_numpy())
        return batch if np.count_nonzero(kept) > most * len(kept) else chosen_rows(batch, kept)

    def _write_held(self) -> None:
        """Write what is held, as far as it passes by now, and count what is of lists without a place."""
        assert self._sieve is not None
        held, self._held = [self._passing(batch, self._sieve, MOST_KEPT) for batch in self._held], _Queue()
        self._write(held)
        for batch in held if not self._keeps_all else ():
            places = batch.column(_PLACE).to_numpy()
            whole, is_without = self._sieve.whole(places), places < 0
            self._whole.append(whole)
            if not is_without.any():
                continue
            without = chosen_rows(batch, is_without)
            keys = [without.column(key) for key in self._ranking.keys]
            whole[is_without] = self._sifted.kept_whole(keys)
            self._counts.write_batch(self._counted(keys, pa.repeat(pa.scalar(1, pa.int64()), without.num_rows)))

    def _counted(self, keys: Sequence[pa.Array], numbers: pa.Array) -> pa.RecordBatch:
        return pa.record_batch([*keys, numbers], schema=self._counts.schema)

    def _write(self, batches: Iterable[pa.RecordBatch]) -> None:
        self._begin_writing(self._write_files, list(batches))

    def _begin_writing(self, write: Callable[[Any], None], rows: Any) -> None:
        """Write rows in a thread of its own, once what came before is written, so that no more than these wait."""
        self._wait_for_files()
        self._written = self._writing.submit(write, rows)

    def _wait_for_files(self) -> None:
        """Wait until all is written that was begun; raises what failed."""
        if self._written is not None:
            self._written.result()

    def _write_files(self, batches: Sequence[pa.RecordBatch]) -> None:
        if not batches:
            return
        batches = [self._sifted.whole_rows(batch) for batch in batches]
        if not self._keeps_all:
            self._features.write_table(pa.Table.from_batches([batch.select(self._columns) for batch in batches]))
        self._scored.write_table(pa.Table.from_batches([self._sifted.rows_of(batch) for batch in batches]))


class _Queue:
    """Batches in the order in which they come, and how many bytes they have: each is asked once, when it comes.

    pyarrow 26 takes some 70 us to tell it of one batch of a dozen columns, and no other thread runs Python meanwhile.
    """

    def __init__(self, batches: Iterable[pa.RecordBatch] = ()) -> None:
        self.n_bytes = 0
        self._batches: deque[tuple[pa.RecordBatch, int]] = deque()
        for batch in batches:
            self.append(batch)

    def __len__(self) -> int:
        return len(self._batches)

    def __iter__(self) -> Iterator[pa.RecordBatch]:
        return (batch for batch, _ in self._batches)

    def append(self, batch: pa.RecordBatch) -> None:
        """Let a batch come."""
        n_bytes = _bytes_of(batch)
        self._batches.append((batch, n_bytes))
        self.n_bytes += n_bytes

    def pop(self) -> pa.RecordBatch:
        """Take the batch out that came first."""
        batch, n_bytes = self._batches.popleft()
        self.n_bytes -= n_bytes
        return batch


def _bytes_of(batch: pa.RecordBatch) -> int:
    return int(batch.nbytes)
