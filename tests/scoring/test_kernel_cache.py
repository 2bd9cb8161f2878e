"""Compiled kernels are kept on disk, and several processes may compile and load them at once."""

from __future__ import annotations

import contextlib
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from jobs.scoring import kernels, sieves
from jobs.scoring.kernels import link_kernels
from jobs.scoring.kernels.links import sigmoid_of
from jobs.scoring.machine_code import kept_code, kernel_cache

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
assert np.array_equal(raw, model.decision_function(rows))
print(json.dumps({"seconds": seconds, "compiled": "numba" in sys.modules}))
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


def test_processes_that_compile_at_once_agree_and_the_next_one_only_loads(tmp_path: Path) -> None:
    tmp_path.chmod(0o700)
    for process in [start(tmp_path) for _ in range(3)]:
        result(process)
    assert '"compiled": false' in result(start(tmp_path)), "what is loaded needs no numba"
    (kept,) = [path for path in tmp_path.rglob("*") if path.is_file() and path.name != "lock"]
    assert kept.name.startswith("score_rows_8-")


def test_the_fingerprint_covers_every_module_that_is_compiled() -> None:
    directories = [Path(module.__file__ or "").parent for module in (kernel_cache, kernels, sieves)]
    compiled = {
        path
        for directory in directories
        for path in directory.glob("*.py")
        if any(
            word in path.read_text() for word in ("compile_cached(", "intrinsic(", "(NamedTuple)", "undefined_names(")
        )
    }
    assert compiled - {Path(kernel_cache.__file__)} == set(kernel_cache.SOURCES)


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
            monkeypatch.setattr(kernel_cache, "only_one_compiles", contextlib.nullcontext)
            directory.write_text("a file where the directory was")
        kernel_cache.make_ready(kernel, [2.0])
        assert kernel(2.0) == 4.0
        assert [*kernel.overloads]
    finally:
        kernel_cache.kernel_directory.cache_clear()


def twice(x: float) -> float:
    return 2 * x


@pytest.fixture
def no_code_yet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """A directory of its own for kernels, in a process that has loaded none."""
    tmp_path.chmod(0o700)
    monkeypatch.setenv("NUMBA_CACHE_DIR", str(tmp_path))
    monkeypatch.setattr(kept_code, "_codes", {})
    kernel_cache.kernel_directory.cache_clear()
    yield tmp_path
    kernel_cache.kernel_directory.cache_clear()


RAW = np.array([-800.0, -1.5, -0.0, 0.3, np.nan, np.inf])


def test_what_is_kept_gives_the_bits_that_numba_gives(no_code_yet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    compiled = sigmoid_of(RAW, 0.7)
    (file,) = no_code_yet.rglob("sigmoid-*.o")
    monkeypatch.setattr(kept_code, "_codes", {})
    monkeypatch.setattr(kept_code, "_compiled", None)
    loaded = sigmoid_of(RAW, 0.7)
    by_numba = np.empty_like(RAW)
    link_kernels.sigmoid(RAW, 0.7, by_numba)
    assert compiled.tobytes() == loaded.tobytes() == by_numba.tobytes()
    assert file.stat().st_mode & 0o077 == 0


@pytest.mark.parametrize("left", [-1, 20, 0], ids=["all but a byte", "not even its hash", "nothing"])
def test_a_damaged_file_is_compiled_again(no_code_yet: Path, monkeypatch: pytest.MonkeyPatch, left: int) -> None:
    compiled = sigmoid_of(RAW)
    (file,) = no_code_yet.rglob("sigmoid-*.o")
    file.write_bytes(file.read_bytes()[:left])
    monkeypatch.setattr(kept_code, "_codes", {})
    assert sigmoid_of(RAW).tobytes() == compiled.tobytes()
    # It is whole again: what is kept is read and run, and nothing is compiled. Its length says nothing, since numba
    # numbers the functions of a process, and the numbers stand in the names of symbols.
    monkeypatch.setattr(kept_code, "_codes", {})
    monkeypatch.setattr(kept_code, "_compiled", None)
    assert sigmoid_of(RAW).tobytes() == compiled.tobytes()


def test_code_that_calls_what_is_not_there_is_left_to_numba(no_code_yet: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # LLVM would end the process.
    monkeypatch.setattr(kept_code, "undefined_names", lambda code: iter(["exp", "no_such_function_anywhere"]))
    assert kept_code.code_for("sigmoid", (RAW, 0.7, RAW.copy()), lambda: link_kernels.sigmoid) is None
    assert not [*no_code_yet.rglob("*.o")]
    assert sigmoid_of(RAW, 0.7)[3] == pytest.approx(0.5523, abs=1e-4)


def test_an_object_file_names_what_it_looks_for_elsewhere(no_code_yet: Path) -> None:
    sigmoid_of(RAW)
    (file,) = no_code_yet.rglob("sigmoid-*.o")
    code = file.read_bytes().partition(b"\n")[2]
    assert [*kept_code.undefined_names(code)] == ["exp"]
    assert not [*kept_code.undefined_names(b"MZ" + code)]


def test_arrays_out_of_order_are_left_to_numba(no_code_yet: Path) -> None:
    every_other = np.zeros(6)[::2]
    assert kept_code.code_for("sigmoid", (np.zeros(3), 1.0, np.zeros(3)), lambda: link_kernels.sigmoid) is not None
    assert kept_code.code_for("sigmoid", (every_other, 1.0, np.zeros(3)), lambda: link_kernels.sigmoid) is None


def test_arguments_become_words_that_keep_their_bits() -> None:
    table = np.zeros((2, 3), np.int8)
    address = table.ctypes.data
    words = kept_code.words_of((table, (1.5, np.float32(-2.0)), np.uint64(2**64 - 1), -7, True))
    assert words == [address, 2, 3, 0x3FF8000000000000, 0xC0000000, -1, -7, 1]
