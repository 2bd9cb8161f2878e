"""The list of faults is about the code as it is: what each replaces stands there once, and its tests are there."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.mutations.faults import FAULTS, Fault
from tests.test_architecture import FLOORS

ROOT = Path(__file__).parents[2]


@pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.name)
def test_a_fault_can_be_put_in_and_its_tests_are_there(fault: Fault) -> None:
    assert (ROOT / fault.file).read_text().count(fault.before) == 1
    for test in fault.tests:
        file, _, name = test.partition("::")
        assert (ROOT / file).exists()
        assert not name or f"def {name}(" in (ROOT / file).read_text()


def test_there_are_faults_in_every_room() -> None:
    rooms = {".".join(name.split(".")[:2]) for name in FLOORS if "." in name} - {"jobs.__main__", "warehouse.reader"}
    files = [fault.file.removesuffix(".py").replace("/", ".") for fault in FAULTS]
    of_rooms = {".".join(file.split(".")[:2]) for file in files if not file.startswith("sql")}
    assert len(FAULTS) >= 50
    assert rooms <= of_rooms
    assert len({fault.name for fault in FAULTS}) == len(FAULTS)
