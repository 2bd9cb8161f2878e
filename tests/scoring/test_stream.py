"""Streams are scored while they are read and written, in order, and end cleanly however they end."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import GradientBoostingRegressor, HistGradientBoostingClassifier

from jobs.scoring import Scorer, compile_model
from jobs.scoring.interface.scorer import Floats
from jobs.scoring.stream import score_stream, scored_reader
from tests.scoring.models import fitted, outcome, random_rows
from warehouse.errors import ScoringFailed

ROWS = random_rows(5000, 3).append_column("number", pa.array(range(5000)))


@pytest.fixture(scope="module")
def scorer() -> Scorer:
    rows = ROWS.drop_columns(["number"])
    model = fitted(HistGradientBoostingClassifier(max_iter=5), rows, outcome(rows))
    return compile_model(model, rows.column_names)


def numbered(batch: pa.RecordBatch, predictions: Floats) -> pa.RecordBatch:
    return pa.record_batch({"number": batch.column("number"), "score": pa.array(predictions[:, 1])})


def scoring_threads() -> list[str]:
    return [thread.name for thread in threading.enumerate() if thread.name in ("almanac-read", "almanac-score")]


@pytest.mark.parametrize("at_once", [1, 2])
def test_every_row_is_scored_once_and_in_order(scorer: Scorer, at_once: int) -> None:
    counts: list[int] = []
    reader = pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches(max_chunksize=700))
    scored = pa.Table.from_batches(score_stream(reader, scorer, numbered, counts.append, at_once))
    assert scored.column("number").to_pylist() == list(range(5000))
    np.testing.assert_array_equal(scored.column("score"), scorer.predict(ROWS)[:, 1])
    assert counts == [700] * 7 + [100]
    assert scoring_threads() == []


def test_of_two_batches_that_fail_at_once_the_first_is_raised(scorer: Scorer) -> None:
    second_failed = threading.Event()

    def to_rows(batch: pa.RecordBatch, predictions: Floats) -> pa.RecordBatch:
        first = batch.column("number")[0].as_py() == 0
        if first:
            assert second_failed.wait(60)
        else:
            second_failed.set()
        raise ScoringFailed("the first" if first else "another")

    reader = pa.RecordBatchReader.from_batches(ROWS.schema, ROWS.to_batches(max_chunksize=700))
    with pytest.raises(ScoringFailed, match="the first"):
        list(score_stream(reader, scorer, to_rows, at_once=2))
    assert scoring_threads() == []


def test_a_stream_without_rows_is_empty(scorer: Scorer) -> None:
    nothing = pa.RecordBatchReader.from_batches(ROWS.schema, [])
    table = scored_reader(nothing, scorer, numbered).read_all()
    assert table.num_rows == 0
    assert table.schema.names == ["number", "score"]


def test_duckdb_reads_and_takes_the_stream(scorer: Scorer) -> None:
    source, target = duckdb.connect(), duckdb.connect()
    source.register("facts", ROWS)
    reader = source.execute("SELECT * FROM facts").to_arrow_reader(600)
    target.register("scored", scored_reader(reader, scorer, numbered))
    target.execute("CREATE TABLE predictions AS SELECT * FROM scored")
    row = target.execute("SELECT count(*), count(DISTINCT number) FROM predictions").fetchone()
    assert row == (5000, 5000)


def test_little_is_read_ahead(scorer: Scorer) -> None:
    taken = 0

    def batches() -> Iterator[pa.RecordBatch]:
        nonlocal taken
        for batch in ROWS.to_batches(max_chunksize=10):
            taken += 1
            yield batch

    stream = score_stream(batches(), scorer, numbered)
    next(iter(stream))
    threading.Event().wait(0.3)
    # Two wait before the scorer and two after it, one is in each stage, and one is here.
    assert taken <= 7
    stream.close()
    assert scoring_threads() == []


def test_what_the_model_refuses_is_raised_to_the_taker() -> None:
    rows = random_rows(2000, 2, missing=0.0)
    model = fitted(GradientBoostingRegressor(n_estimators=3), rows, outcome(rows, classes=0))
    scorer = compile_model(model, rows.column_names)
    bad = rows.set_column(0, "x0", pa.array([0.0] * 1500 + [np.nan] * 500)).to_batches(max_chunksize=100)
    counts: list[int] = []
    with pytest.raises(ScoringFailed, match="'x0'"):
        list(score_stream(bad, scorer, lambda batch, _: batch, counts.append))
    assert sum(counts) == 1500
    assert scoring_threads() == []


def test_a_reader_that_fails_is_raised_to_the_taker(scorer: Scorer) -> None:
    def batches() -> Iterator[pa.RecordBatch]:
        yield ROWS.to_batches()[0]
        raise OSError("the disk is gone")

    with pytest.raises(OSError, match="the disk is gone"):
        list(score_stream(batches(), scorer, numbered))
    assert scoring_threads() == []


#: Ctrl-C comes at a random moment of a stream that has no end, many times over.
INTERRUPTED = """
import contextlib, random, signal
import numpy as np
import pyarrow as pa
from jobs.scoring.stream import score_stream

BATCH = pa.record_batch({"x": [1.0]})
CHANCE = random.Random(0)


class Zeros:
    def predict(self, batch):
        return np.zeros(batch.num_rows)


def forever():
    while True:
        yield BATCH


signal.signal(signal.SIGALRM, signal.default_int_handler)
for _ in range(120):
    with contextlib.suppress(KeyboardInterrupt):
        signal.setitimer(signal.ITIMER_REAL, CHANCE.uniform(0.002, 0.01))
        with contextlib.closing(score_stream(forever(), Zeros(), lambda batch, _: batch)) as scored:
            for _ in scored:
                pass
print("all ended")
"""


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
def test_ctrl_c_ends_a_stream_wherever_it_is() -> None:
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    command = [sys.executable, "-c", INTERRUPTED]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=300)
    assert done.stdout == "all ended\n", done.stderr
