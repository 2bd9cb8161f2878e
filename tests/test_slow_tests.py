"""The list of slow tests names tests that there are, and is written by what they took."""

from __future__ import annotations

import re
from pathlib import Path

from tests.slow_tests import LIST, OWN, SHARED, slow_of

ROOT = Path(__file__).parents[1]


def test_all_that_is_listed_is_there() -> None:
    names = LIST.read_text(encoding="utf-8").splitlines()
    assert names == sorted(set(names))
    files = {name.partition("::")[0] for name in names}
    text = {file: (ROOT / file).read_text(encoding="utf-8") for file in files}
    parts = [re.split(r"::|\[", name) for name in names]
    gone = [
        name for name, (file, function, *_) in zip(names, parts, strict=True) if f"def {function}(" not in text[file]
    ]
    assert not gone, "run `python -m pytest --find-slow`, or take these out of tests/slow_tests.txt"


def test_a_test_is_charged_with_its_share_of_the_fixtures_of_its_module() -> None:
    charged = {
        "a.py::one": {OWN: 0.1, SHARED: 4.0},
        "a.py::other": {OWN: 0.1, SHARED: 0.0},
        "b.py::one": {OWN: 0.9, SHARED: 0.0},
        "b.py::other": {OWN: 1.1, SHARED: 0.0},
    }
    assert slow_of(charged) == {"a.py::one", "a.py::other", "b.py::other"}
