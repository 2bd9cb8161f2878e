"""The scoring benchmarks run, on few rows: what they compare agrees, and they print their tables."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.benchmarks import bench_end_to_end, bench_kernel, bench_scaling


@pytest.mark.slow
@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("shape", ["hist", "categories", "forest"])
def test_kernels(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    bench_kernel.main(["--rows", "2000", "--training-rows", "2000", "--rounds", "1", "--shape", shape])
    printed = capsys.readouterr().out
    assert "equal bits on 1,000 rows" in printed
    assert "this: bitvector-32, raw" in printed


@pytest.mark.slow
def test_end_to_end(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    few = ["--rows", "20000", "--training-rows", "2000", "--rounds", "1"]
    bench_end_to_end.main([*few, "--memory-rows", "10000", "--directory", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "equal bits on 20,000 rows" in printed
    assert "Of what the stages allow" in printed
    assert "peak MiB" in printed


@pytest.mark.slow
def test_scaling(capsys: pytest.CaptureFixture[str]) -> None:
    bench_scaling.main(["--rows", "2000", "--rounds", "1", "--axis", "trees"])
    assert "2,000 trees" in capsys.readouterr().out
