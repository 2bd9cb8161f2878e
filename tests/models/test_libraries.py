"""Each model library is one record, and what the scorer knows of libraries are libraries that have one."""

from __future__ import annotations

import pytest

from jobs.models.artifacts import TRUSTED_TYPES
from jobs.models.environment import library_versions
from jobs.models.libraries import CONTINUES, ESTIMATORS, LIBRARIES, Library
from jobs.scoring.interface.scorer import RAW
from jobs.scoring.readers.registry import READERS


def test_the_scorer_knows_no_library_without_a_record() -> None:
    names = {library.name for library in LIBRARIES}
    assert {name for name, _ in READERS} == names
    assert set(RAW) == names


def test_no_two_libraries_claim_the_same() -> None:
    for of_one, all_of_them in (
        ([library.estimators for library in LIBRARIES], ESTIMATORS),
        ([library.continues for library in LIBRARIES], CONTINUES),
    ):
        assert sum(len(each) for each in of_one) == len(all_of_them)
    assert sum(len(library.trusted_types) for library in LIBRARIES) + 10 == len(TRUSTED_TYPES)


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_a_record_is_about_its_own_library(library: Library) -> None:
    paths = [spec.path for spec in library.estimators.values()]
    assert [path for path in paths if path.split(".")[0].partition(":")[0] != library.name] == []
    assert [kind for kind in library.trusted_types if kind.split(".")[0] != library.name] == []
    if not library.is_optional:
        assert set(library.distributions) <= library_versions().keys()


@pytest.mark.parametrize("library", LIBRARIES, ids=lambda library: library.name)
def test_what_a_record_names_is_there(library: Library) -> None:
    module = pytest.importorskip(library.name)
    assert module is not None
    for spec in library.estimators.values():
        place, _, name = spec.path.partition(":")
        assert hasattr(__import__(place, fromlist=[name]), name)
