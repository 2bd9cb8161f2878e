"""Compiled kernels are kept on disk, and several processes may compile and load them at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from jobs.scoring.kernels import kernel_cache

PROGRAM = """
import json, sys, time
import numpy as np, pyarrow as pa
from sklearn.ensemble import HistGradientBoostingClassifier
from jobs.scoring import compile_model
rng = np.random.default_rng(0)
rows = rng.normal(size=(300, 3))
model = HistGradientBoostingClassifier(max_iter=3).fit(rows, rows[:, 0] > 0)
batch = pa.record_batch([pa.array(column) for column in rows.T.copy()], names=list("abc"))
start = time.perf_counter()
raw = compile_model(model, list("abc")).raw(batch)
seconds = time.perf_counter() - start
from jobs.scoring.kernels import kernel
hits = sum(kernel.score_rows_8.stats.cache_hits.values())
assert np.array_equal(raw, model.decision_function(rows))
print(json.dumps({"seconds": seconds, "hits": hits, "compiler": "numba.np.arraymath" in sys.modules}))
"""


def start(cache: Path) -> subprocess.Popen[str]:
    environment = {**os.environ, "NUMBA_CACHE_DIR": str(cache), "OMP_NUM_THREADS": "1"}
    return subprocess.Popen(
        [sys.executable, "-c", PROGRAM], env=environment, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )


def result(process: subprocess.Popen[str]) -> str:
    out, errors = process.communicate(timeout=240)
    assert process.returncode == 0, errors
    return out


@pytest.mark.slow
def test_processes_that_compile_at_once_agree_and_the_next_one_only_loads(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for process in [start(tmp_path) for _ in range(3)]:
        result(process)
    assert '"hits": 1, "compiler": false' in result(start(tmp_path)), "what a compilation needs is not imported"
    kept = [path.suffix for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]
    assert sorted(set(kept)) == [".nbc", ".nbi"]


def test_the_fingerprint_covers_every_module_that_is_compiled() -> None:
    directory = Path(kernel_cache.__file__).parent
    compiled = {
        path.name
        for path in directory.glob("*.py")
        if "compile_cached(" in path.read_text() or "intrinsic(" in path.read_text()
    }
    assert compiled - {"kernel_cache.py"} == set(kernel_cache.SOURCES)


@pytest.mark.parametrize("what", ["the lock", "the file"])
def test_a_directory_that_fails_costs_the_time_to_compile_and_no_more(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, what: str
) -> None:
    tmp_path.chmod(0o700)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kernel_cache, "_dispatchers", [])
    kernel_cache.kernel_directory.cache_clear()
    try:
        kernel = kernel_cache.compile_cached(twice)
        directory = kernel_cache.kernel_directory()
        assert directory is not None
        shutil.rmtree(directory)
        if what == "the lock":
            directory.write_text("a file where the directory was")
        else:
            monkeypatch.setattr(kernel_cache, "_only_one_compiles", contextlib.nullcontext)
            directory.write_text("a file where the directory was")
        kernel_cache.make_ready(kernel, [2.0])
        assert kernel(2.0) == 4.0
        assert [*kernel.overloads]
    finally:
        kernel_cache.kernel_directory.cache_clear()


def twice(x: float) -> float:
    return 2 * x
