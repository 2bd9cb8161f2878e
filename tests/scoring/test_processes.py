"""Models that no kernel understands are scored by the estimator itself, over processes where that is faster."""

from __future__ import annotations

import functools
import multiprocessing
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from sklearn.ensemble import VotingClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neighbors import KNeighborsClassifier
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVR

from jobs.scoring import ProcessScorer, compile_model, estimator_input, worker_pool
from jobs.scoring.processes import PIECE_ROWS, TRIALS
from tests.page_makers import CONTEXT, kill
from tests.scoring.models import fitted, load, outcome, random_rows
from warehouse.errors import ScoringFailed

ROWS = random_rows(3 * PIECE_ROWS + 100, 4, missing=0.0)
FEW = ROWS.slice(0, 400)


@pytest.fixture(autouse=True)
def forked_off_a_server(monkeypatch: pytest.MonkeyPatch) -> None:
    """Start processes by a fork of one that has imported everything: to spawn two takes eight seconds of a CPU.

    Those of the last test are spawned, by a program that is one of its own.
    """
    context_of = multiprocessing.get_context

    def context(method: str | None = None) -> Any:
        return CONTEXT if method == "spawn" else context_of(method)

    monkeypatch.setattr(worker_pool.multiprocessing, "get_context", context)


def load_in_vain(path: Path) -> Any:
    raise SystemExit(f"there is no {path}")


def scorer_of(model: Any, directory: Path, label: Any, **settings: Any) -> ProcessScorer:
    from skops.io import dump

    estimator = fitted(model, FEW, label)
    path = directory / "model.skops"
    dump(estimator, path)
    compiled = compile_model(estimator, ROWS.column_names)
    assert compiled.kind == "estimator"
    loading = functools.partial(load, path)
    return ProcessScorer(estimator, ROWS.column_names, compiled.why, loading, n_processes=2, **settings)


def score_until_chosen(scorer: ProcessScorer, rows: pa.Table) -> Any:
    """Score the same rows again and again until one way is chosen; every answer has to be the same."""
    first = scorer.predict(rows)
    until = time.monotonic() + 120
    while scorer.chosen is None:
        assert time.monotonic() < until
        np.testing.assert_array_equal(scorer.predict(rows), first)
    return first


@pytest.mark.parametrize(
    ("model", "classes"),
    [
        (KNeighborsClassifier(n_jobs=2), 3),
        (make_pipeline(StandardScaler(), MLPClassifier((16,), max_iter=30)), 2),
        (SVR(), 0),
    ],
    ids=["KNeighbors", "MLP", "SVR"],
)
@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_one_process_and_several_give_the_same_rows(model: Any, classes: int, tmp_path: Path) -> None:
    scorer = scorer_of(model, tmp_path, outcome(FEW, classes=classes), worth_starting_s=0.0)
    found = score_until_chosen(scorer, ROWS)
    frame = estimator_input(ROWS, ROWS.column_names)
    expected = scorer._alone.estimator.predict_proba(frame) if classes else scorer._alone.estimator.predict(frame)
    np.testing.assert_allclose(found, expected, rtol=1e-12)
    assert all(len(taken) >= TRIALS for taken in scorer._seconds.values())
    np.testing.assert_array_equal(scorer.predict(ROWS), found)


def test_a_short_job_starts_no_process(tmp_path: Path) -> None:
    scorer = scorer_of(KNeighborsClassifier(), tmp_path, outcome(FEW))
    scorer.predict(FEW)
    assert scorer._crew is None
    assert scorer.predict(FEW.slice(0, 0)).shape == (0, 2)


def with_processes(directory: Path) -> ProcessScorer:
    """A scorer whose processes are ready and chosen."""
    scorer = scorer_of(KNeighborsClassifier(), directory, outcome(FEW), worth_starting_s=0.0)
    scorer.predict(FEW)
    assert scorer._crew is not None
    while not scorer._crew.is_ready():
        time.sleep(0.05)
    scorer.chosen = "together"
    return scorer


def test_processes_refuse_what_the_estimator_refuses_and_stop_and_end_with_the_scorer(tmp_path: Path) -> None:
    scorer = with_processes(tmp_path)
    bad = ROWS.set_column(0, "x0", pa.array([0.0] * (len(ROWS) - 1) + [float("nan")]))
    with pytest.raises(ScoringFailed, match="KNeighborsClassifier refused the rows"):
        scorer.predict(bad)
    np.testing.assert_array_equal(scorer.predict(FEW), scorer._score_alone([FEW], lambda: False)[0])
    with pytest.raises(ScoringFailed, match="stopped"):
        scorer.predict_until(ROWS, lambda: True)
    # They end with the scorer.
    assert scorer._crew is not None
    processes = scorer._crew._processes
    assert all(process.is_alive() for process in processes)
    del scorer
    for process in processes:
        process.join(10)
        assert not process.is_alive()


def test_a_process_that_is_killed_fails_the_batch_and_the_next_is_scored_alone(tmp_path: Path) -> None:
    scorer = with_processes(tmp_path)
    assert scorer._crew is not None
    for process in scorer._crew._processes:
        kill(process)
    with pytest.raises(ScoringFailed, match="has ended"):
        scorer.predict(ROWS)
    with pytest.warns(UserWarning, match="goes on alone"):
        scorer.predict(FEW)
    assert scorer.chosen == "alone"


def test_processes_that_cannot_start_leave_it_alone(tmp_path: Path) -> None:
    estimator = fitted(KNeighborsClassifier(), FEW, outcome(FEW))
    loading = functools.partial(load_in_vain, tmp_path)
    scorer = ProcessScorer(estimator, FEW.column_names, "why", loading, n_processes=2, worth_starting_s=0.0)
    with pytest.warns(UserWarning, match="goes on alone"):
        score_until_chosen(scorer, FEW)
    assert scorer.chosen == "alone"


def test_it_stops_between_two_pieces(tmp_path: Path) -> None:
    scorer = scorer_of(KNeighborsClassifier(), tmp_path, outcome(FEW))
    with pytest.raises(ScoringFailed, match="stopped"):
        scorer.predict_until(ROWS, lambda: True)


def test_parts_within_parts_take_one_thread(tmp_path: Path) -> None:
    members = [("knn", KNeighborsClassifier(n_jobs=2)), ("logistic", LogisticRegression())]
    model = make_pipeline(StandardScaler(), VotingClassifier(members, voting="soft", n_jobs=2))
    scorer = scorer_of(model, tmp_path, outcome(FEW))
    voting = scorer._alone.estimator[-1]
    assert (voting.n_jobs, voting.estimators_[0].n_jobs) == (1, 1)


PROGRAM = """
import contextlib, functools, sys, threading
from pathlib import Path
import pyarrow as pa
from jobs.scoring import ProcessScorer, score_stream
from tests.scoring.models import load, random_rows

ROWS = random_rows(12_000, 4, missing=0.0)

if __name__ == "__main__":
    path = Path(sys.argv[1])
    loading = functools.partial(load, path)
    scorer = ProcessScorer(load(path), ROWS.column_names, "why", loading, n_processes=2, worth_starting_s=0.0)
    batch = ROWS.combine_chunks().to_batches()[0]
    scorer.predict(batch)
    while not scorer._crew.is_ready():
        threading.Event().wait(0.05)
    scorer.chosen = "together"
    print(*(process.pid for process in scorer._crew._processes), flush=True)
    def forever():
        while True:
            yield batch
    with contextlib.closing(score_stream(forever(), scorer, lambda batch, _: batch)) as scored:
        for _ in scored:
            pass
"""


def is_running(pid: int) -> bool:
    state = Path(f"/proc/{pid}/stat")
    return state.exists() and state.read_text().rpartition(")")[2].split()[0] != "Z"


@pytest.mark.skipif(not Path("/proc").exists(), reason="looks at /proc")
@pytest.mark.parametrize("ending", [signal.SIGINT, signal.SIGKILL], ids=["Ctrl-C", "kill -9"])
def test_no_process_outlives_the_one_that_started_it(ending: signal.Signals, tmp_path: Path) -> None:
    scorer_of(KNeighborsClassifier(), tmp_path, outcome(FEW))
    program = tmp_path / "program.py"
    program.write_text(PROGRAM)
    root = Path(__file__).parent.parent.parent
    # A session of its own, so that the signal reaches all of its processes, as Ctrl-C in a terminal does.
    process = subprocess.Popen(
        [sys.executable, str(program), str(tmp_path / "model.skops")],
        env={**os.environ, "PYTHONPATH": str(root)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )
    assert process.stdout is not None
    others = [int(pid) for pid in process.stdout.readline().split()]
    assert len(others) == 2
    time.sleep(0.3)
    if ending == signal.SIGINT:
        os.killpg(process.pid, ending)
    else:
        process.kill()
    try:
        _, errors = process.communicate(timeout=240)
    except subprocess.TimeoutExpired:
        # It would score for ever, beside all tests after this one.
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        raise
    assert errors.count("KeyboardInterrupt") == (ending == signal.SIGINT), errors
    until = time.monotonic() + 120
    while any(is_running(pid) for pid in others):
        assert time.monotonic() < until
        time.sleep(0.05)
