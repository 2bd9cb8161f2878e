"""Lists whose candidates are scored while they are made are, to the bit, those of candidates that are all put down."""

from __future__ import annotations

import threading
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import run_page
from jobs.pages.scores import sifted
from jobs.pages.scores.scoring import Scoring
from jobs.progress import Silent
from jobs.scoring.sieves import sieve
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import clock_at
from tests.lakes import page_rows, rows
from warehouse.batching import batch
from warehouse.batching.batch import Batch
from warehouse.errors import RunFailed
from warehouse.pages.profiling.in_passing import InPassing
from warehouse.system_sql import quote_all

PAGE = datetime(2026, 1, 10)
LISTED_AT = datetime(2026, 1, 1)
FILES = {
    "sources/offers.sql": """/*
description: What may be shown to whom.
key: [item]
files: data/offers.parquet
known_at: listed_at
*/
SELECT item, text, day, price, number, flag, worth, known, listed_at FROM read_parquet($files)
""",
    "features/known.sql": """/*
description: What is known of a number.
key: [number]
*/
SELECT number, count(*) AS n_offers, max(worth) AS highest FROM offers WHERE number IS NOT NULL GROUP BY number
""",
    "products/shelf/entities.sql": """/*
description: All of them.
*/
SELECT * EXCLUDE (listed_at) FROM offers WHERE number IS NOT NULL
""",
    "products/shelf/label.sql": """/*
description: The dear ones.
*/
SELECT {keys}, (price > 20)::INTEGER AS label FROM offers WHERE $known_by >= $as_of + INTERVAL 1 DAY
""",
    "products/shelf/score.sql": """/*
description: A number with few values, so that many are tied.
*/
SELECT {keys}, worth + n_offers % 2 AS score FROM page
""",
    "products/shelf/product.yaml": """
description: What is shown.
keys: [{keys}]
features: [known]
label: {{kind: ranking, list: [{lists}], top: 5, at_most: 5000, matures_within: 1 day{keep}}}
model: {{sql: score.sql}}
pages: {{cron: "0 0 * * *", since: 2026-01-02}}
valid_for: 24 hours
""",
}
LISTS = [("number",), ("text", "flag"), ("day", "number"), ("price",)]


def define(root: Path, lists: tuple[str, ...], keep: str = ', keep: "20 %"') -> Suite:
    keys = ", ".join((*lists, "item"))
    for name, text in FILES.items():
        (root / "sql" / name).parent.mkdir(parents=True, exist_ok=True)
        (root / "sql" / name).write_text(
            text.format(keys=keys, lists=", ".join(lists), keep=keep) if "{" in text else text
        )
    return open_suite(root, clock_at(PAGE + timedelta(days=9)))


@pytest.fixture(scope="module")
def offers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite of 4,000 candidates in lists of any length, in no order."""
    root, random, n = tmp_path_factory.mktemp("sifted") / "suite", np.random.default_rng(5), 4_000
    (root / "data").mkdir(parents=True)
    near = (40 * random.random(n) ** 2).astype(int)
    table = {
        "item": np.arange(n),
        "text": pa.array([f"{place % 7} and more than twelve letters" for place in near]),
        "day": pa.array([datetime(2026, 1, 1 + int(place) % 9).date() for place in near]),
        "price": pa.array((near % 30) / 4, pa.float64()).cast(pa.decimal128(9, 2)),
        "number": near,
        "flag": near % 2 == 0,
        "worth": random.integers(0, 30, n) / 8.0,
        "known": pa.array([None if place % 3 else f"kind {place % 5}" for place in near]),
        "listed_at": pa.array([LISTED_AT] * n),
    }
    pq.write_table(pa.table(table), root / "data/offers.parquet")
    ingest(define(root, LISTS[0]))
    return root


@pytest.fixture
def few_at_a_time(monkeypatch: pytest.MonkeyPatch) -> pytest.MonkeyPatch:
    """Let batches, what waits and what is held be small, so that all of them run full."""
    monkeypatch.setattr(batch, "SIEVED_ROWS", 200)
    monkeypatch.setattr(sifted, "WAITING_BYTES", 30_000)
    monkeypatch.setattr(sifted, "HELD_BYTES", 40_000)
    return monkeypatch


@pytest.fixture
def sieves(monkeypatch: pytest.MonkeyPatch) -> list[sieve.Sieve]:
    """Give the sieves that are made."""
    made: list[sieve.Sieve] = []

    class Noted(sieve.Sieve):
        def __init__(self, top: int) -> None:
            super().__init__(top)
            made.append(self)

    monkeypatch.setattr(sifted, "Sieve", Noted)
    return made


def written(suite: Suite) -> tuple[list[Any], list[Any], list[Any]]:
    of_run = "WHERE run_id = (SELECT any_value(run_id) FROM predictions.shelf) ORDER BY ALL"
    found = rows(suite, f"SELECT name, passed, wrong_rows, message FROM ledger.checks {of_run}")
    found += rows(suite, f"SELECT * EXCLUDE (run_id) FROM ledger.profiles {of_run}")
    return page_rows(suite, "shelf"), page_rows(suite, "shelf", "features"), found


class Noting(Silent):
    """Adds up the rows that it is told of, and keeps warnings."""

    def __init__(self) -> None:
        self.rows = 0

    def advance(self, done: int = 1, rows: int = 0) -> None:
        self.rows += rows


def in_steps(suite: Suite, monkeypatch: pytest.MonkeyPatch) -> tuple[list[Any], list[Any], list[Any]]:
    """Make the page by putting all candidates down."""
    with monkeypatch.context() as patched:
        patched.setattr(Scoring, "sieve", lambda *_: None)
        assert not run_page(suite, "shelf", PAGE).rejected
    return written(suite)


@pytest.mark.parametrize("lists", LISTS, ids=" and ".join)
def test_a_page_is_the_same_sifted_and_in_steps(
    offers: Path, few_at_a_time: pytest.MonkeyPatch, sieves: list[sieve.Sieve], lists: tuple[str, ...]
) -> None:
    suite = define(offers, lists)
    train(suite, "shelf", PAGE)
    expected = in_steps(suite, few_at_a_time)
    counted = rows(suite, "SELECT count(*) FROM sources.offers WHERE known_at < $1", [PAGE])
    progress = Noting()
    result = run_page(suite, "shelf", PAGE, progress=progress)
    assert written(suite) == expected
    assert (result.n_rows, progress.rows) == (4_000, 4_000) == (counted[0][0], 4_000)
    # All of it is asked again with little room for lists, with lists of one hash, and with no page so large.
    few_at_a_time.setattr(sieve, "HELD_SCORES", 40)
    run_page(suite, "shelf", PAGE)
    assert written(suite) == expected
    few_at_a_time.setattr(sieve, "HELD_SCORES", 1_000_000)
    few_at_a_time.setattr(
        Batch, "_hash_of_lists", lambda self: {batch.LIST_COLUMN: f"hash({quote_all(lists, 'entities.')}) % 3"}
    )
    run_page(suite, "shelf", PAGE)
    assert written(suite) == expected
    few_at_a_time.setattr(sifted, "WAITING_BYTES", 2**30)
    run_page(suite, "shelf", PAGE)
    assert written(suite) == expected
    # Few lists had room, and of one hash only one.
    n_rows = [int(one.n_rows.sum()) for one in sieves]
    assert n_rows[0] == 4_000 > max(n_rows[1:]) >= min(n_rows[1:]) > 0
    assert len(n_rows) == 3


def test_a_page_is_profiled_as_what_is_kept_of_it_is_written(offers: Path, few_at_a_time: pytest.MonkeyPatch) -> None:
    define(offers, ("number",))
    entities = offers / "sql/products/shelf/entities.sql"
    entities.write_text(
        entities.read_text().replace(
            "EXCLUDE (listed_at)",
            "EXCLUDE (listed_at, known_at, day, price, flag), (worth / 3)::FLOAT AS small,"
            " (1::BIGINT << 60) + item AS large, (CASE WHEN item % 5 > 0 THEN item % 90 END)::TINYINT AS few",
        )
    )
    suite = open_suite(offers, clock_at(PAGE + timedelta(days=9)))
    train(suite, "shelf", PAGE)
    in_steps(suite, few_at_a_time)
    expected = in_steps(suite, few_at_a_time)
    asked = list[bool]()
    counts = InPassing.kept
    few_at_a_time.setattr(InPassing, "kept", lambda self, *how: asked.append(self.can_count_kept) or counts(self, *how))
    assert not run_page(suite, "shelf", PAGE).rejected
    assert written(suite) == expected
    assert asked == [True]
    assert {"small", "large", "few", "known"} <= {row[3] for row in expected[2] if len(row) > 10}


def test_candidates_go_on_as_they_come(offers: Path, few_at_a_time: pytest.MonkeyPatch) -> None:
    suite, waiting, take = define(offers, ("number",)), list[int](), sifted._Staging.take

    def noted(self: sifted._Staging, batch: pa.RecordBatch) -> None:
        take(self, batch)
        waiting.append(self._waiting.n_bytes)
        assert waiting[-1] == sum(one.nbytes for one in self._waiting)

    train(suite, "shelf", PAGE)
    few_at_a_time.setattr(sifted._Staging, "take", noted)
    few_at_a_time.setattr(sifted, "WAITING_BYTES", 200_000)
    run_page(suite, "shelf", PAGE)
    assert len(waiting) == 20
    # As soon as enough wait, about as many do: the stages before never wait for many to be sifted at once.
    reached = next(place for place, n_bytes in enumerate(waiting) if n_bytes + waiting[0] > sifted.WAITING_BYTES)
    assert 3 < reached < 15
    assert max(waiting) < sifted.WAITING_BYTES < min(waiting[reached:]) + 2 * waiting[0]


def test_of_a_batch_it_is_asked_a_few_times_how_large_it_is(offers: Path, few_at_a_time: pytest.MonkeyPatch) -> None:
    suite, asked, bytes_of = define(offers, ("number",)), list[int](), sifted._bytes_of

    def noted(batch: pa.RecordBatch) -> int:
        asked.append(batch.num_rows)
        return bytes_of(batch)

    train(suite, "shelf", PAGE)
    few_at_a_time.setattr(sifted, "_bytes_of", noted)
    run_page(suite, "shelf", PAGE)
    # Once each of 20 as it comes, has a place, passes, and passes again: not as often as there are others beside it.
    assert 40 <= len(asked) <= 100


def test_a_page_whose_candidates_cannot_be_written_fails(offers: Path, few_at_a_time: pytest.MonkeyPatch) -> None:
    suite = define(offers, ("number",))
    train(suite, "shelf", PAGE)
    writing = list[str]()

    def fail(*_: Any) -> None:
        writing.append(threading.current_thread().name)
        raise OSError("No space left on device")

    few_at_a_time.setattr(pq.ParquetWriter, "write_table", fail)
    with pytest.raises(RunFailed, match=r"No space left on device\. Nothing was published"):
        run_page(suite, "shelf", PAGE)
    assert len(writing) == 1
    assert writing[0].startswith("almanac-stage")


def test_a_page_that_keeps_all_is_the_same_sifted_and_in_steps(
    offers: Path, few_at_a_time: pytest.MonkeyPatch, sieves: list[sieve.Sieve]
) -> None:
    suite = define(offers, ("day", "number"), keep="")
    train(suite, "shelf", PAGE)
    in_steps(suite, few_at_a_time)
    expected = of_day(suite, PAGE)
    assert len(expected[1]) == 4_000
    for after, held_scores in enumerate((1_000_000, 40)):
        few_at_a_time.setattr(sieve, "HELD_SCORES", held_scores)
        page = PAGE + timedelta(days=1 + after)
        assert not run_page(suite, "shelf", page).rejected
        assert of_day(suite, page) == expected
    few_at_a_time.setattr(sifted, "WAITING_BYTES", 2**30)
    run_page(suite, "shelf", PAGE + timedelta(days=3))
    assert of_day(suite, PAGE + timedelta(days=3)) == expected
    assert len(sieves) == 2


def of_day(suite: Suite, page: datetime) -> list[list[Any]]:
    """Give what the page of a day has, without what differs from day to day."""
    without = "* EXCLUDE (as_of, valid_until"
    columns = {"predictions": f"{without}, run_id, published_at)", "features": f"{without})"}
    query = "SELECT {} FROM {}.shelf WHERE as_of = $1 ORDER BY ALL"
    return [rows(suite, query.format(listed, schema), [page]) for schema, listed in columns.items()]


def test_lists_of_too_many_candidates_are_told_though_these_are_not_put_down(
    offers: Path, few_at_a_time: pytest.MonkeyPatch
) -> None:
    define(offers, ("number",))
    header = offers / "sql/products/shelf/product.yaml"
    header.write_text(header.read_text().replace("at_most: 5000", "at_most: 200"))
    suite = open_suite(offers, clock_at(PAGE + timedelta(days=9)))
    train(suite, "shelf", PAGE)
    found = [run_page(suite, "shelf", PAGE).audit]
    few_at_a_time.setattr(Scoring, "sieve", lambda *_: None)
    found.append(run_page(suite, "shelf", PAGE).audit)
    checks = [[(check.name, check.wrong_rows, check.message) for check in audit.complaints()] for audit in found]
    assert checks[0] == checks[1]
    assert checks[0][0][0] == "lists_are_whole"
    wrong = [sorted(row.wrong_row for row in audit.wrong_rows) for audit in found]
    assert wrong[0] == wrong[1] != []


def made_otherwise(offers: Path, file: str, before: str, after: str) -> tuple[Suite, str]:
    """Give the suite with another text in a file, and the version that was registered then."""
    define(offers, ("number",))
    path = offers / "sql/products/shelf" / file
    path.write_text(path.read_text().replace(before, after))
    suite = open_suite(offers, clock_at(PAGE + timedelta(days=9)))
    return suite, train(suite, "shelf", PAGE).model.version


def test_a_page_whose_query_fails_in_the_middle_says_on_what(offers: Path, few_at_a_time: pytest.MonkeyPatch) -> None:
    few_at_a_time.setattr(batch, "SIEVED_ROWS", 20_000)
    odd = "(CASE WHEN item = 3999 AND other = 39 THEN text ELSE number::VARCHAR END)::INTEGER"
    more = f"SELECT * EXCLUDE (listed_at, other) REPLACE ({odd} AS number)"
    more += " FROM offers CROSS JOIN (SELECT item AS other FROM offers WHERE item < 40)"
    suite, version = made_otherwise(offers, "entities.sql", "SELECT * EXCLUDE (listed_at) FROM offers", more)
    progress = Noting()
    with pytest.raises(RunFailed, match=r"entities.sql: the query failed on the data: Conversion"):
        run_page(suite, "shelf", PAGE, version=version, progress=progress)
    # Some of it had been scored by then.
    assert progress.rows > 0


def test_a_page_that_the_model_refuses_says_what(offers: Path, few_at_a_time: pytest.MonkeyPatch) -> None:
    lacking = "CASE WHEN item <> 3999 THEN worth END +"
    suite, version = made_otherwise(offers, "score.sql", "worth +", lacking)
    with pytest.raises(RunFailed, match="of 4000 rows no score"):
        run_page(suite, "shelf", PAGE, version=version)
