"""What is kept from one process to the next is kept where nobody else can write."""

from __future__ import annotations

from pathlib import Path

import pytest

from warehouse import private_cache
from warehouse.private_cache import Stamps, private_directory


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


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    return tmp_path / "almanac" / "stamps" / "things"


def test_later_processes_know_what_was_stamped_once(cache: Path) -> None:
    ours, theirs = Stamps("things"), Stamps("things")
    assert "a" not in ours
    assert "b" not in theirs
    ours.add("a")
    theirs.add("b")
    ours.add("a")
    assert cache.read_text() == "a\nb\n", "of two processes neither takes the other's stamps away"
    later = Stamps("things")
    assert "a" in later
    assert "b" in later
    assert "c" not in later


def test_a_file_of_too_many_stamps_is_begun_anew(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Stamps, "MOST", 3)
    stamps = Stamps("things")
    for digest in "abcd":
        stamps.add(digest)
    assert cache.read_text() == "d\n"


@pytest.mark.parametrize("content", [b"\xff\xfe", b"half"])
def test_a_spoilt_file_knows_nothing(cache: Path, content: bytes) -> None:
    Stamps("things").add("halves")
    cache.write_bytes(content)
    assert "halves" not in Stamps("things")


def test_a_process_without_a_place_for_stamps_knows_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(private_cache, "private_directory", lambda name: None)
    stamps = Stamps("things")
    stamps.add("a")
    assert "a" in stamps
