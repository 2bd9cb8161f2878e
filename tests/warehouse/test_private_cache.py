"""What is kept from one process to the next is kept where nobody else can write."""

from __future__ import annotations

import errno
import os
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from warehouse import private_cache
from warehouse.batching import ranges
from warehouse.private_cache import Stamps, kept, private_directory


def test_what_is_ours_is_closed_to_others(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "almanac" / "kept").mkdir(parents=True)
    for directory in (tmp_path / "almanac", tmp_path / "almanac" / "kept"):
        directory.chmod(0o777)
    assert private_directory("kept") == tmp_path / "almanac" / "kept"
    for directory in (tmp_path / "almanac", tmp_path / "almanac" / "kept"):
        assert directory.stat().st_mode & 0o022 == 0


@pytest.mark.parametrize("theirs", ["almanac", "almanac/kept"])
def test_what_is_somebody_elses_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, theirs: str) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "almanac" / "kept").mkdir(parents=True)
    real = Path.lstat

    def lstat(path: Path) -> os.stat_result:
        state = list(real(path))
        state[4] += path == tmp_path / theirs
        return os.stat_result(state)

    monkeypatch.setattr(Path, "lstat", lstat)
    found = private_directory("kept")
    assert found is None or tmp_path not in found.parents


@pytest.mark.parametrize("others_may", [0o020, 0o002])
def test_a_place_of_our_own_is_closed_to_others(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, others_may: int
) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "almanac" / "kept").mkdir(parents=True)
    for place in (tmp_path / "almanac", tmp_path / "almanac" / "kept"):
        place.chmod(0o700 | others_may)
    assert private_directory("kept") == tmp_path / "almanac" / "kept"
    assert [place.stat().st_mode & 0o022 for place in (tmp_path / "almanac", tmp_path / "almanac" / "kept")] == [0, 0]


def test_a_link_to_elsewhere_is_not_used(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "almanac").symlink_to(tmp_path / "elsewhere")
    found = private_directory("kept")
    assert found is None or tmp_path not in found.parents


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


@dataclass(frozen=True)
class Answer:
    text: str
    lengths: frozenset[int]


def new_function(asked: list[str]) -> Callable[[str], Answer]:
    """Give a function as a process has it that has not asked it anything yet."""

    @kept("answers", Answer, ranges)
    def function(question: str) -> Answer:
        asked.append(question)
        return Answer(question, frozenset({len(question)}))

    return function


def test_an_answer_is_kept_for_later_processes(cache: Path) -> None:
    asked: list[str] = []
    first, later = new_function(asked), new_function(asked)
    for function in (first, first, later):
        assert function("why?") == Answer("why?", frozenset({4}))
    assert later("how?") == Answer("how?", frozenset({4}))
    assert asked == ["why?", "how?"]


def test_answers_of_other_code_or_another_duckdb_are_not_read(
    cache: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[str] = []
    new_function(asked)("why?")
    monkeypatch.setattr("duckdb.__version__", "99.0")
    new_function(asked)("why?")
    loaded_before = new_function(asked)
    (tmp_path / "ranges.py").write_text("# other code")
    monkeypatch.setattr(ranges, "__file__", str(tmp_path / "ranges.py"))
    loaded_before("how?")
    for question in ("why?", "how?"):
        new_function(asked)(question)
    assert asked == ["why?", "why?", "how?", "why?", "how?"]


@pytest.mark.parametrize("content", [b"", b"{", b'{"text": 1}', b"\xff"])
def test_a_spoilt_answer_is_made_anew(cache: Path, content: bytes) -> None:
    asked: list[str] = []
    new_function(asked)("why?")
    (file,) = cache.parent.parent.glob("answers-*/*.json")
    file.write_bytes(content)
    assert new_function(asked)("why?") == Answer("why?", frozenset({4}))
    new_function(asked)("why?")
    assert len(asked) == 2


def test_without_a_place_a_process_keeps_its_own_answers(monkeypatch: pytest.MonkeyPatch, cache: Path) -> None:
    monkeypatch.setattr(private_cache, "private_directory", lambda name: None)
    asked: list[str] = []
    function = new_function(asked)
    assert function("why?") == function("why?")
    assert asked == ["why?"]


def test_a_full_disk_leaves_nothing_behind(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def no_room(*_: object) -> int:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(Path, "write_bytes", no_room)
    assert new_function([])("why?") == Answer("why?", frozenset({4}))
    (directory,) = cache.parent.parent.glob("answers-*")
    assert not list(directory.iterdir())
