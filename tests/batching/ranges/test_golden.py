"""The written SQL, as pairs of files: golden/NAME.sql is the author's, golden/NAME.range.sql ours.

After a change that is meant, `python -m tests.batching.ranges.test_golden` writes the second file of each pair anew.
"""

from __future__ import annotations

from datetime import timedelta
from pathlib import Path

import pytest

from warehouse.batching.ranges.recognition import RangeForm, recognise
from warehouse.batching.syntax.shapes import SourceShape

GOLDEN = Path(__file__).parent / "golden"
QUERIES = sorted(path for path in GOLDEN.glob("*.sql") if not path.name.endswith(".range.sql"))
LANDINGS = SourceShape(
    {
        "carrier": "VARCHAR",
        "origin": "VARCHAR",
        "dest": "VARCHAR",
        "arrival_delay": "INTEGER",
        "cancelled": "BOOLEAN",
    },
    arrives_within=timedelta(minutes=15),
)


def written(query: Path) -> str:
    form = recognise(query.read_text(), {"landings": LANDINGS})
    assert isinstance(form, RangeForm)
    return form.sql("pages", "lake.sources.landings") + "\n"


@pytest.mark.parametrize("query", QUERIES, ids=[path.stem for path in QUERIES])
def test_the_written_query_is_the_one_on_file(query: Path) -> None:
    assert written(query) == query.with_suffix(".range.sql").read_text()


if __name__ == "__main__":
    for path in QUERIES:
        path.with_suffix(".range.sql").write_text(written(path))
