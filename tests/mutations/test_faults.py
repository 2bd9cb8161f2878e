"""The list of faults is about the code as it is: what each replaces stands there once, and its tests are there."""

from __future__ import annotations

from pathlib import Path

from tests.mutations.faults import FAULTS
from tests.test_architecture import FLOORS

ROOT = Path(__file__).parents[2]


def test_faults_can_be_put_in_and_their_tests_are_there() -> None:
    assert [fault.name for fault in FAULTS if (ROOT / fault.file).read_text().count(fault.before) != 1] == []
    for test in (test for fault in FAULTS for test in fault.tests):
        file, _, name = test.partition("::")
        assert (ROOT / file).exists(), test
        assert not name or f"def {name}(" in (ROOT / file).read_text(), test


def test_there_are_faults_in_every_room() -> None:
    rooms = {".".join(name.split(".")[:2]) for name in FLOORS if "." in name} - {"jobs.__main__", "warehouse.reader"}
    files = [fault.file.removesuffix(".py").replace("/", ".") for fault in FAULTS]
    of_rooms = {".".join(file.split(".")[:2]) for file in files if not file.startswith("sql")}
    assert len(FAULTS) >= 50
    assert rooms <= of_rooms
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
