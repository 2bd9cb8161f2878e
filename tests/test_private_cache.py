"""What is kept from one process to the next is kept where nobody else can write."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse import private_cache
from warehouse.private_cache import private_directory


def test_a_directory_that_others_can_write_is_not_used(tmp_path: Path) -> None:
    shared = tmp_path / "shared"
    shared.mkdir()
    shared.chmod(0o777)
    assert not private_cache._is_ours(shared)
    shared.chmod(0o700)
    assert private_cache._is_ours(shared)


def test_a_place_that_cannot_be_written_is_passed_over(tmp_path: Path) -> None:
    occupied = tmp_path / "file"
    occupied.write_text("not a directory")
    assert not private_cache._is_ours(occupied / "kept")


def test_the_first_place_is_taken_that_is_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (occupied := tmp_path / "occupied").touch()
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    assert private_directory("kept", chosen=str(tmp_path / "chosen")) == tmp_path / "chosen" / "kept"
    assert private_directory("kept", chosen=str(occupied)) == tmp_path / "cache" / "almanac" / "kept"
    monkeypatch.setenv("XDG_CACHE_HOME", str(occupied))
    monkeypatch.setattr(private_cache.tempfile, "gettempdir", lambda: str(occupied))
    assert private_directory("kept") is None
