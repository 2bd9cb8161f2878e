"""The scoring benchmarks run, on few rows: what they compare agrees, and they print their tables."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest

from tests.benchmarks import bench_end_to_end, bench_kernel, bench_pages_at_rate, bench_reasons, bench_scaling, peers
from tests.command_line import said


@pytest.mark.filterwarnings("ignore::UserWarning")
@pytest.mark.parametrize("shape", ["hist", "categories", "forest"])
def test_kernels(shape: str, capsys: pytest.CaptureFixture[str]) -> None:
    bench_kernel.main(["--rows", "2000", "--training-rows", "2000", "--rounds", "1", "--shape", shape, "--trees", "30"])
    printed = capsys.readouterr().out
    assert "equal bits on 1,000 rows" in printed
    assert "this: bitvector-32, raw" in printed


def test_reasons(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    """Where shap is not installed beside us it is left out; to install it takes minutes."""
    monkeypatch.setenv("ALMANAC_SHAP_PYTHON", sys.executable)
    few = ["--rows", "2000", "--training-rows", "2000", "--rounds", "1", "--shape", "100 x 8", "--page-rows", "3000"]
    bench_reasons.main([*few, "--directory", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "leaves in 0 MiB of tables" in printed
    assert "this: the four largest, written" in printed
    assert "With four reasons:" in printed


def test_end_to_end_and_a_peer_that_cannot_be_installed_is_left_out_with_the_reason(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("ALMANAC_PEERS", str(tmp_path / "peers"))
    monkeypatch.setattr(peers, "PEERS", {**peers.PEERS, "daft": (str(tmp_path / "no-such-package.whl"),)})
    few = ["--rows", "20000", "--training-rows", "2000", "--rounds", "1", "--trees", "30"]
    bench_end_to_end.main([*few, "--peers", "daft", "--memory-rows", "10000", "--directory", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "equal bits on 20,000 rows" in printed
    assert "Of what the stages allow" in printed
    assert "peak MiB" in printed
    assert "daft is left out: -m pip install failed: ERROR" in printed


def test_pages_at_rate(tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> None:
    alone = bench_pages_at_rate.almanac

    def almanac(root: Path, *words: str) -> None:
        """Give the first command a process of its own, as they all have, and save the others the start of one."""
        alone(root, *words) if words == ("ingest",) else said(root, *words)

    monkeypatch.setattr(bench_pages_at_rate, "almanac", almanac)
    few = ["--entities", "5000", "--pages", "2", "--page-entities", "1000", "--trees", "5"]
    bench_pages_at_rate.main([*few, "--directory", str(tmp_path)])
    printed = capsys.readouterr().out
    assert "one page of 5,000 entities: predictions from them | 5,000" in printed
    assert "2 pages of 1,000 entities: both in one go" in printed


def test_scaling(capsys: pytest.CaptureFixture[str]) -> None:
    bench_scaling.main(["--rows", "2000", "--rounds", "1", "--axis", "rows", "trees"])
    printed = capsys.readouterr().out
    assert "30,000 rows" in printed
    assert "2,000 trees" in printed
