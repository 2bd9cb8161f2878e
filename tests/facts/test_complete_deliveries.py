"""What a complete delivery lacks is withdrawn, unless it may be lacking by mistake."""

from __future__ import annotations

from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import IngestResult, Way, ingest
from jobs.suite import Suite, open_suite
from jobs.suites.status import status
from tests.command_line import almanac
from tests.conftest import clock_at
from tests.lakes import rows
from warehouse.errors import DefinitionError, DeliveryRefused, FilesSetAside

START = datetime(2026, 2, 1)
DAY = timedelta(days=1)
SOURCE = """/*
description: The shelves, as they are.
key: [shelf]
files: {files}
known_at: built_at
{more}
rules: {{holds something: boxes >= 0}}
delivery: {delivery}
*/
SELECT shelf, boxes, built_at{columns}
FROM read_csv($files, header = true, types = {{'shelf': 'VARCHAR', 'boxes': 'INTEGER', 'built_at': 'TIMESTAMP'}})
"""


def shelves(root: Path, day: int, delivery: str = "complete", files: str = "data/shelves*.csv", more: str = "",
            columns: str = "") -> Suite:  # fmt: skip
    text = SOURCE.format(files=files, delivery=delivery, more=more, columns=columns)
    (root / "sql/sources/shelves.sql").write_text(text)
    return open_suite(root, clock_at(START + day * DAY))


def deliver(root: Path, name: str, names: str, *, boxes: int = 1, odd: str = "") -> None:
    lines = [f"{shelf},{boxes},2026-01-01" for shelf in names] + ([odd] if odd else [])
    (root / "data" / f"shelves{name}.csv").write_text("\n".join(["shelf,boxes,built_at", *lines]) + "\n")


def known(suite: Suite, day: int) -> str:
    """Give the shelves that are there as known on a day, in the way of the sandbox."""
    query = """
    SELECT coalesce(string_agg(shelf, '' ORDER BY shelf), '') FROM (
        SELECT * FROM sources.shelves WHERE known_at <= $1
        QUALIFY row_number() OVER (PARTITION BY shelf ORDER BY known_at DESC, ingest_id DESC) = 1
    ) WHERE NOT withdrawn
    """
    return str(rows(suite, query, [START + day * DAY + timedelta(hours=1)])[0][0])


def refused(suite: Suite, withdraw: int | None = None) -> str:
    with pytest.raises(DeliveryRefused) as caught:
        ingest(suite, ["shelves"], way=Way(withdraw=withdraw))
    (result,) = caught.value.results
    assert isinstance(result, IngestResult)
    assert result.ingestion is None
    return str(caught.value)


ALL = "abcdefghijklmnopqrst"


def test_what_the_newest_delivery_lacks_is_withdrawn_as_of_it_and_may_come_back(starter: Path) -> None:
    deliver(starter, "1", ALL)
    ingest(shelves(starter, 0), ["shelves"])
    deliver(starter, "2", ALL[2:])
    (result,) = ingest(shelves(starter, 1), ["shelves"])
    assert result.ingestion is not None
    assert (result.ingestion.rows_withdrawn, result.ingestion.rows_unchanged, result.ingestion.rows_new) == (2, 18, 0)
    deliver(starter, "3", ALL)
    suite = shelves(starter, 2)
    (result,) = ingest(suite, ["shelves"])
    assert result.ingestion is not None
    assert result.ingestion.rows_restated == 2, "the same bytes as the first: it is the newest state all the same"
    assert [known(suite, day) for day in range(3)] == [ALL, ALL[2:], ALL]
    assert ingest(suite, ["shelves"])[0].ingestion is None


def test_a_file_that_is_overwritten_may_say_again_what_it_said_before(starter: Path) -> None:
    for day, names in enumerate((ALL, ALL[1:], ALL, ALL[:-1])):
        deliver(starter, "", names)
        suite = shelves(starter, day, more="restated_at: built_at")
        ingest(suite, ["shelves"])
        assert known(suite, day) == names
        assert ingest(suite, ["shelves"])[0].ingestion is None
    assert [known(suite, day) for day in range(4)] == [ALL, ALL[1:], ALL, ALL[:-1]]
    assert rows(suite, "SELECT count(*) FROM rejects.shelves") == [(0,)]


def test_each_file_can_be_complete_by_itself(starter: Path) -> None:
    for number, names in enumerate((ALL, ALL[2:], ALL[1:])):
        deliver(starter, f"{number}", names)
    suite = shelves(starter, 0, "complete by file")
    results = ingest(suite, ["shelves"])
    assert [result.ingestion.rows_withdrawn if result.ingestion else None for result in results] == [0, 2, 0]
    assert known(suite, 0) == ALL[1:]
    together = shelves(starter, 1)
    ingest(together, ["shelves"])
    assert known(together, 1) == ALL[1:], "what was delivered one by one is told again one by one"


def test_a_key_whose_row_was_rejected_is_not_lacking(starter: Path) -> None:
    deliver(starter, "1", ALL)
    ingest(shelves(starter, 0), ["shelves"])
    for day, odd in ((1, "a,-1,2026-01-01"), (2, "a,2.6,2026-01-01")):
        deliver(starter, f"{day + 1}", ALL[1:], odd=odd)
        suite = shelves(starter, day)
        (result,) = ingest(suite, ["shelves"])
        assert result.ingestion is not None
        assert (result.ingestion.rows_rejected, result.ingestion.rows_withdrawn) == (1, 0)
        assert known(suite, day) == ALL


def test_more_than_a_tenth_is_refused_until_somebody_names_the_number(starter: Path) -> None:
    deliver(starter, "1", ALL)
    ingest(shelves(starter, 0), ["shelves"])
    deliver(starter, "2", ALL[3:] + "z")
    suite = shelves(starter, 1)
    assert "would withdraw 3 of 20 facts" in refused(suite)
    assert "--withdraw 3" in refused(suite, withdraw=2)
    assert known(suite, 1) == ALL, "it is refused whole"
    assert "would withdraw 3 of 20 facts" in status(suite).failed_runs[0]["error"]
    assert almanac(starter, "ingest", "--withdraw", "3").returncode == 2
    done = almanac(starter, "ingest", "shelves")
    assert done.returncode == 1
    assert "almanac ingest shelves --withdraw 3" in done.stderr
    ingest(suite, ["shelves"], way=Way(withdraw=3))
    assert known(suite, 1) == ALL[3:] + "z"
    deliver(starter, "3", ALL[9:] + "z")
    ingest(shelves(starter, 2, "{kind: complete, at_most: half}"), ["shelves"])


def test_a_delivery_without_rows_or_with_a_bad_file_or_a_lost_key_is_refused(starter: Path) -> None:
    deliver(starter, "1", ALL)
    ingest(shelves(starter, 0), ["shelves"])
    (starter / "data/shelves2.csv").touch()
    suite = shelves(starter, 1)
    assert "20 of 20 facts, and it has no rows" in refused(suite)
    deliver(starter, "2", ALL[:-1])
    (starter / "data/shelves3.csv").write_text("shelf,built_at\nt,2026-01-01\n")
    with pytest.raises(FilesSetAside, match=r"shelves3\.csv could not be read"):
        ingest(suite, ["shelves"])
    assert known(suite, 1) == ALL
    (starter / "data/shelves3.csv").unlink()
    deliver(starter, "2", ALL[:-1], odd=",1,2026-01-01")
    assert "the key of 1 row is NULL" in refused(suite)
    (starter / "data/shelves2.csv").write_text("")
    ingest(suite, ["shelves"], way=Way(withdraw=20))
    assert known(suite, 1) == ""


def test_a_row_without_a_key_refuses_nothing_where_no_fact_is_lacking(starter: Path) -> None:
    deliver(starter, "1", ALL)
    ingest(shelves(starter, 0), ["shelves"])
    deliver(starter, "2", ALL + "z", odd=",1,2026-01-01")
    (result,) = ingest(shelves(starter, 1), ["shelves"])
    assert result.ingestion is not None
    assert (result.ingestion.rows_new, result.ingestion.rows_withdrawn, result.ingestion.rows_rejected) == (1, 0, 1)
    assert known(shelves(starter, 1), 1) == ALL + "z"


@pytest.mark.parametrize("mistake", ["whole", "{kind: complete, at_most: most}", "{kind: complete, at_most: 2}"])
def test_a_kind_of_delivery_that_is_not_understood_is_a_mistake(starter: Path, mistake: str) -> None:
    with pytest.raises(DefinitionError, match="delivery"):
        shelves(starter, 0, mistake)


def test_complete_by_file_needs_a_glob(starter: Path) -> None:
    with pytest.raises(DefinitionError, match="complete by file"):
        shelves(starter, 0, "complete by file", files="[data/shelves1.csv]")
