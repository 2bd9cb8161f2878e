"""Rows that a Python function yields are taken in as rows of a database are, since the cursor's last place."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from tests.facts.orders_suite import T1, T2, T3, rows_of
from tests.facts.test_databases import define, n_read, taken_in
from warehouse.errors import DefinitionError, IngestFailed

FUNCTION = """
import json
from datetime import datetime
from pathlib import Path

import pyarrow

HERE = Path(__file__).parent


def orders(since):
    with (HERE / "asked").open("a") as log:
        log.write(f"{since!r}\\n")
    rows = [json.loads(line) for line in (HERE / "rows.jsonl").read_text().splitlines()]
    for row in rows:
        at = datetime.fromisoformat(row["changed"])
        if since is None or at >= since:
            fields = {name: [value] for name, value in row.items()} | {"changed": [at], "placed": [at]}
            yield pyarrow.RecordBatch.from_pydict(fields)
"""


@pytest.fixture
def root(tmp_path: Path) -> Iterator[Path]:
    """A suite whose orders a function yields, from a module of a name that no other test's has."""
    module = f"api_{abs(hash(tmp_path)) % 10**9}"
    define(tmp_path, f"batches: {module}:orders\ncursor: changed\noverlap: 1 hour")
    (tmp_path / f"{module}.py").write_text(FUNCTION)
    (tmp_path / "rows.jsonl").write_text("")
    yield tmp_path
    sys.modules.pop(module, None)


def add(root: Path, *rows: str) -> None:
    with (root / "rows.jsonl").open("a") as file:
        file.writelines(f"{row}\n" for row in rows)


def asked(root: Path) -> list[str]:
    return (root / "asked").read_text().splitlines()


def test_only_what_is_new_is_asked_for_and_a_function_that_fails_commits_nothing(root: Path) -> None:
    assert n_read(taken_in(root, T1)) is None
    add(root, '{"id": "a", "depot": "x", "n": 1, "changed": "2026-01-01T10:00"}')
    add(root, '{"id": "b", "depot": "x", "n": 2, "changed": "2026-01-02T10:00"}')
    assert n_read(taken_in(root, T1)) == (2, 2)
    assert n_read(taken_in(root, T1)) is None
    add(root, '{"id": "b", "depot": "x", "n": 7, "changed": "2026-01-12T10:00"}', "broken")
    with pytest.raises(IngestFailed, match="Nothing was taken in") as failed:
        taken_in(root, T2)
    assert "JSONDecodeError" in str(failed.value)
    (root / "rows.jsonl").write_text((root / "rows.jsonl").read_text().replace("broken\n", ""))
    assert n_read(taken_in(root, T2)) == (2, 0)
    place = datetime(2026, 1, 2, 10) - timedelta(hours=1)
    assert asked(root) == ["None", "None", *[repr(place)] * 3]
    rows = rows_of(root, "SELECT id, n FROM sources.orders_current ORDER BY id")
    assert rows == [("a", 1), ("b", 7)]
    # A column that came since is asked for of all rows.
    text = (root / "rows.jsonl").read_text().replace('"n":', '"note": "new", "n":')
    (root / "rows.jsonl").write_text(text)
    assert n_read(taken_in(root, T3)) == (3, 0)
    assert asked(root)[-1] == "None"
    assert n_read(taken_in(root, T3)) is None
    # Facts are made anew from what it yielded, and it is not asked for that.
    count = len(asked(root))
    header = (root / "sql/sources/orders.sql").read_text()
    (root / "sql/sources/orders.sql").write_text(
        header.replace("SELECT id, depot,", "SELECT id, upper(depot) AS depot,")
    )
    assert n_read(taken_in(root, T3)) is None
    assert rows_of(root, "SELECT DISTINCT depot FROM sources.orders_current") == [("X",)]
    assert len(asked(root)) == count + 1


@pytest.mark.parametrize(
    ("body", "said"),
    [("return 3", "it returned int"), ("yield 'x'", "no Arrow batches"), ("raise OSError('down')", "OSError('down')")],
)
def test_what_yields_no_batches_is_told(root: Path, body: str, said: str) -> None:
    (module,) = root.glob("api_*.py")
    module.write_text(f"def orders(since):\n    {body}\n")
    with pytest.raises(IngestFailed) as failed:
        taken_in(root, T1)
    assert said in str(failed.value)
    module.write_text("x = 1\n")
    sys.modules.pop(module.stem)
    with pytest.raises(DefinitionError, match="cannot be imported"):
        taken_in(root, T1)
