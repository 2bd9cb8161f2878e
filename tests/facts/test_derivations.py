"""When the definition of a source changes, its facts are what they would be had it been so from the start."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.plan import plan
from jobs.pages.predict import run_page
from jobs.suite import Suite, open_suite
from tests.conftest import PAGE, PRODUCT, clock_at, reopened
from tests.facts.orders_suite import FIRST, SECOND, T1, T2, T3, THIRD, define, deliver, facts, rows_of, taken_in
from warehouse.errors import IngestFailed, UsageError
from warehouse.sandbox import Sandbox


@pytest.fixture(scope="module")
def _two_deliveries(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("orders") / "one"
    define(root)
    deliver(root, "1.csv", FIRST)
    taken_in(root, T1)
    deliver(root, "2.csv", SECOND)
    taken_in(root, T2)
    # Nothing is where it was recorded: each test's own copy is found by what is in it.
    return root.rename(root.with_name("template"))


@pytest.fixture
def suite(_two_deliveries: Path, tmp_path: Path) -> Path:
    """A suite of one source, with two deliveries: one row restated, one new."""
    shutil.copytree(_two_deliveries, tmp_path / "one")
    return tmp_path / "one"


@pytest.fixture
def fresh(tmp_path: Path) -> Callable[..., Path]:
    """A lake that has taken in the same deliveries under a definition from the start."""

    def make(*deliveries: tuple[datetime, str, list[str]], **parts: str) -> Path:
        root = tmp_path / f"fresh-{len(list(tmp_path.iterdir()))}"
        define(root, **parts)
        for now, name, rows in deliveries or ((T1, "1.csv", FIRST), (T2, "2.csv", SECOND)):
            deliver(root, name, rows)
            taken_in(root, now)
        return root

    return make


#: What can be made of the facts that are held, without opening a file.
FROM_FACTS = {
    "a column more": {"select": "id, depot, n, placed, n > 2 AS is_big, upper(depot) || n AS label"},
    "a column less": {"select": "id, n, placed"},
    "what was restated is gone": {"select": "id, depot, placed"},
    "a column of another type": {"select": "id, depot, n::VARCHAR AS n, placed"},
}
EDITS = {
    "known later": {"known_at": "placed + INTERVAL 2 DAY"},
    "a rule": {"more": "rules:\n  few: n < 4\n"},
    "a key that is not unique": {"key": "depot"},
    "known from a column": {"more": "restated_at: placed + INTERVAL (n) HOUR\n"},
    "withdrawn": {"more": "withdrawn: n = 5\n"},
}


@pytest.mark.parametrize("edit", [*EDITS.values(), *FROM_FACTS.values()], ids=[*EDITS, *FROM_FACTS])
def test_the_facts_are_those_of_a_lake_that_had_this_definition_from_the_start(
    suite: Path, fresh: Callable[..., Path], edit: dict[str, str]
) -> None:
    define(suite, **edit)
    done = taken_in(suite, T3)
    assert done.derived is not None
    assert (done.derived.derivation, done.ingestion, done.caught_up) == (2, None, [])
    assert done.derived.way == ("facts" if edit in FROM_FACTS.values() else "replay")
    assert facts(suite) == facts(fresh(**edit))


def test_what_comes_later_is_taken_in_as_if_nothing_had_been(suite: Path, fresh: Callable[..., Path]) -> None:
    edit = FROM_FACTS["a column more"]
    define(suite, **edit)
    deliver(suite, "3.csv", THIRD)
    done = taken_in(suite, T3)
    assert done.ingestion is not None
    assert (done.ingestion.rows_new, done.ingestion.rows_restated) == (1, 1)
    assert facts(suite) == facts(fresh((T1, "1.csv", FIRST), (T2, "2.csv", SECOND), (T3, "3.csv", THIRD), **edit))


def test_comments_and_arrival_times_change_no_fact(suite: Path) -> None:
    before = facts(suite)
    define(suite, more="arrives_within: 2 hours\n# a word\n")
    assert taken_in(suite, T3).derived is None
    assert facts(suite) == before


def test_going_back_opens_no_file(suite: Path) -> None:
    before = facts(suite)
    define(suite, **EDITS["a key that is not unique"])
    taken_in(suite, T3)
    shutil.rmtree(suite / "data")
    define(suite)
    with pytest.raises(IngestFailed, match="no file matches"):
        taken_in(suite, T3)  # after what was recorded, it looks for new files
    assert facts(suite, "orders@1") == before
    opened = open_suite(suite, clock_at(T3))
    source = opened.definitions.source("orders")
    with Sandbox(opened.lake) as sandbox:
        assert sandbox.relation(source).endswith('.sources."orders@1"')


def test_two_checkouts_of_one_lake_take_turns(tmp_path: Path, suite: Path, fresh: Callable[..., Path]) -> None:
    edit = EDITS["a rule"]
    other = tmp_path / "other"
    other.mkdir()
    define(other, **edit)
    (other / "lake").symlink_to(suite / "lake")
    (other / "data").symlink_to(suite / "data")
    taken_in(other, T3)
    deliver(suite, "3.csv", THIRD)
    taken_in(suite, T3 + timedelta(days=1))
    deliver(suite, "4.csv", ["f,west,2,2026-01-31 10:00:00", "a,north ,1,2026-01-01 10:00:00"])
    done = taken_in(other, T3 + timedelta(days=2))
    assert (len(done.caught_up), done.caught_up[0].ingested_at) == (1, T3 + timedelta(days=1))
    taken_in(suite, T3 + timedelta(days=3))
    last = ["f,west,2,2026-01-31 10:00:00", "a,north ,1,2026-01-01 10:00:00"]
    taken = ((T1, "1.csv", FIRST), (T2, "2.csv", SECOND), (T3 + timedelta(days=1), "3.csv", THIRD))
    same = (*taken, (T3 + timedelta(days=2), "4.csv", last))
    assert facts(suite, "orders", ids=False) == facts(fresh(*same, **edit), ids=False)
    assert facts(suite, "orders@1", ids=False) == facts(fresh(*same), ids=False)


def test_one_path_that_is_overwritten_is_refused_and_then_kept_as_it_is_held(suite: Path) -> None:
    define(suite, select="id, depot, n, placed, n > 2 AS is_big", known_at="placed + INTERVAL 0 DAY")
    deliver(suite, "1.csv", THIRD)
    with pytest.raises(IngestFailed, match=r"1 of its 2 deliveries cannot be read again .* 3 facts .* --keep-gone"):
        taken_in(suite, T3)
    assert rows_of(suite, "SELECT count(*) FROM ledger.derivations") == [(1,)]
    done = taken_in(suite, T3, keep_gone=True)
    assert done.derived is not None
    assert done.derived.n_gone == 1
    found = rows_of(suite, "SELECT id, n, is_big, known_at FROM sources.orders ORDER BY id, known_at")
    assert found == [
        ("a", 1, None, datetime(2026, 1, 1, 10)),
        ("a", 5, True, T2),
        ("b", 2, None, datetime(2026, 1, 2, 10)),
        ("b", 2, False, T2),  # the second delivery tells it, and not before
        ("c", 3, None, datetime(2026, 1, 3, 10)),
        ("c", 1, False, T3),
        ("d", 4, True, datetime(2026, 1, 12, 10)),
        ("e", 7, True, datetime(2026, 1, 25, 10)),
    ]


def test_facts_that_are_kept_are_dated_and_judged_by_the_new_definition(suite: Path) -> None:
    define(suite, known_at="placed + INTERVAL 2 DAY", more="rules:\n  few: n < 3\n")
    (suite / "data/1.csv").unlink()
    (suite / "data/2.csv").unlink()
    deliver(suite, "3.csv", THIRD)
    taken_in(suite, T3, keep_gone=True)
    assert rows_of(suite, "SELECT id, n, known_at FROM sources.orders ORDER BY id, known_at") == [
        ("a", 1, datetime(2026, 1, 3, 10)),
        ("b", 2, datetime(2026, 1, 4, 10)),
        ("c", 1, datetime(2026, 1, 5, 10)),
    ]
    assert rows_of(suite, "SELECT count(*) FROM rejects.orders") == [(4,)]


def test_facts_that_lack_what_dates_them_are_not_kept(suite: Path) -> None:
    define(suite, select="id, depot, n, placed, placed AS seen_at", known_at="seen_at")
    (suite / "data/1.csv").unlink()
    with pytest.raises(IngestFailed, match="seen_at"):
        taken_in(suite, T3, keep_gone=True)
    assert rows_of(suite, "SELECT count(*) FROM ledger.derivations") == [(1,)]


def test_copies_are_kept_where_the_header_says_so(tmp_path: Path, fresh: Callable[..., Path]) -> None:
    root = tmp_path / "keeping"
    define(root, more="keep: true\n")
    for now, rows in ((T1, FIRST), (T2, SECOND)):
        deliver(root, "orders.csv", rows)
        taken_in(root, now)
    edit = EDITS["a key that is not unique"]
    define(root, **edit, more="keep: true\n")
    assert taken_in(root, T3).derived is not None
    assert facts(root) == facts(fresh(**edit))


def test_a_loader_is_not_called_for_what_was_delivered_before(tmp_path: Path) -> None:
    root = tmp_path / "loading"
    define(root, files="", more="loader: loads:fill\nkeep: true\n")
    text = (root / "sql/sources/orders.sql").read_text().replace("files: \n", "")
    (root / "sql/sources/orders.sql").write_text(text)
    (root / "loads.py").write_text(
        "from pathlib import Path\n\n"
        "def fill(directory):\n"
        "    if Path(__file__).with_name('is_down').exists():\n"
        "        raise RuntimeError('the database is down')\n"
        "    path = directory / 'orders.csv'\n"
        "    path.write_text(Path(__file__).with_name('now.csv').read_text())\n"
        "    return [path]\n"
    )
    for now, rows in ((T1, FIRST), (T2, SECOND)):
        (root / "now.csv").write_text("\n".join(["id,depot,n,placed", *rows]) + "\n")
        taken_in(root, now)
    (root / "sql/sources/orders.sql").write_text(
        text.replace("n, placed", "n + 1 AS m, placed").replace("at: placed", "at: placed + INTERVAL 1 DAY")
    )
    (root / "is_down").touch()
    with pytest.raises(IngestFailed, match="the database is down"):
        taken_in(root, T3)  # what was delivered before is derived, and then the loader is called for what is new
    assert rows_of(root, "SELECT id, m FROM sources.orders ORDER BY ingest_id, id") == [
        ("a", 2),
        ("b", 3),
        ("c", 4),
        ("a", 6),
        ("d", 5),
    ]


def test_a_list_of_another_length_is_no_delivery_of_before(tmp_path: Path) -> None:
    root = tmp_path / "listed"
    define(root, files="[data/1.csv, data/2.csv]")
    deliver(root, "1.csv", FIRST)
    deliver(root, "2.csv", THIRD[:1])
    taken_in(root, T1)
    deliver(root, "3.csv", [])
    define(root, files="[data/1.csv, data/2.csv, data/3.csv]", known_at="placed + INTERVAL 1 DAY")
    with pytest.raises(IngestFailed, match="it had 2 files, and the definition lists 3"):
        taken_in(root, T2)


def test_a_dry_run_changes_nothing(suite: Path) -> None:
    before = facts(suite)
    define(suite, **EDITS["a rule"])
    done = taken_in(suite, T3, dry_run=True)
    assert done.derived is not None
    assert (done.derived.n_facts, done.derived.n_rejects) == (3, 2)
    assert "would be made anew" in done.derived.said(dry_run=True)
    assert facts(suite) == before
    assert rows_of(suite, "SELECT count(*) FROM ledger.derivations") == [(1,)]


def test_no_page_is_made_of_facts_of_another_definition(published: Suite) -> None:
    path = published.root / "sql/sources/orders.sql"
    path.write_text(path.read_text().replace("known_at: ordered_at", "known_at: ordered_at + INTERVAL 2 DAY"))
    edited = reopened(published)
    with pytest.raises(UsageError, match="run `almanac ingest orders` first"):
        run_page(edited, PRODUCT, PAGE)
    with pytest.raises(UsageError, match="run `almanac ingest orders` first"):
        plan(edited, PRODUCT)
    ingest(edited, ["orders"])
    run_page(edited, PRODUCT, PAGE)
    with edited.lake.reading() as connection:
        query = "SELECT derivations FROM ledger.definitions ORDER BY recorded_at, derivations['orders']"
        assert [row[0] for row in connection.execute(query).fetchall()][-1] == {"deliveries": 1, "orders": 2}
        late = "SELECT count(*) FROM sources.orders WHERE known_at < ordered_at + INTERVAL 2 DAY"
        assert connection.execute(late).fetchone() == (0,)


def test_a_lake_of_before_there_were_derivations_has_one(suite: Path, fresh: Callable[..., Path]) -> None:
    opened = open_suite(suite, clock_at(T3))
    with opened.lake.commit("as an earlier version made it") as commit:
        commit.execute("UPDATE ledger.format SET version = 4")
        commit.execute("DROP TABLE ledger.derivations")
        commit.execute("ALTER TABLE ledger.ingestions DROP COLUMN derivation")
        commit.execute("ALTER TABLE ledger.ingestions DROP COLUMN columns")
        commit.execute("ALTER TABLE ledger.definitions DROP COLUMN derivations")
    source = opened.definitions.source("orders")
    with Sandbox(opened.lake) as sandbox:
        assert sandbox.facts_of({"orders": source})["orders"].n_rows == 5
    assert taken_in(suite, T3).derived is None
    assert rows_of(suite, "SELECT derivation, way FROM ledger.derivations") == [(1, "ingest")]
    edit = EDITS["known later"]
    define(suite, **edit)
    assert taken_in(suite, T3).derived is not None
    assert facts(suite) == facts(fresh(**edit))


def test_what_is_not_held_as_it_was_delivered_is_read_again(suite: Path, fresh: Callable[..., Path]) -> None:
    define(suite, select="id, trim(depot) AS depot, n, placed")
    taken_in(suite, T3)
    edit = {"select": "id, trim(depot) AS depot, n, placed, length(depot) AS length"}
    define(suite, **edit)
    done = taken_in(suite, T3)
    assert done.derived is not None
    assert done.derived.way == "facts"  # of the first derivation, which has it bare
    assert facts(suite) == facts(fresh(**edit))
    with open_suite(suite, clock_at(T3)).lake.commit("take those away that can tell") as commit:
        commit.execute("UPDATE ledger.derivations SET state = 'dropped' WHERE derivation <> 2")
    edit = {"select": "id, trim(depot) AS depot, n, placed, length(depot) + 2 AS more"}
    define(suite, **edit)
    done = taken_in(suite, T3)
    assert done.derived is not None
    assert done.derived.way == "replay"
    assert facts(suite) == facts(fresh(**edit))


def test_what_was_taken_in_under_another_definition_and_is_gone_can_be_taken_over(suite: Path) -> None:
    define(suite, **FROM_FACTS["a column less"])
    deliver(suite, "3.csv", THIRD)
    taken_in(suite, T3)
    (suite / "data/3.csv").unlink()
    define(suite)
    with pytest.raises(IngestFailed, match=r"taken in under another definition .* --keep-gone"):
        taken_in(suite, T3 + timedelta(days=1))
    done = taken_in(suite, T3 + timedelta(days=1), keep_gone=True)
    assert [(one.ingested_at, one.rows_new, one.rows_restated) for one in done.caught_up] == [(T3, 1, 1)]
    found = rows_of(suite, 'SELECT id, depot, n, known_at FROM sources."orders@1" WHERE ingest_id > 3 ORDER BY id')
    assert found == [("c", None, 1, T3), ("e", None, 7, datetime(2026, 1, 25, 10))]


def test_a_file_that_was_read_again_once_its_time_had_come_is_read_again_then(tmp_path: Path) -> None:
    early = ["a,north,1,2026-01-05 10:00:00", "x,east,2,2026-01-25 10:00:00"]
    root, other = tmp_path / "edited", tmp_path / "fresh"
    for each, edit in ((root, {}), (other, EDITS["a rule"])):
        define(each, **edit)
        deliver(each, "1.csv", early)
        taken_in(each, T1)
        assert taken_in(each, T2).ingestion is None
        done = taken_in(each, T3).ingestion
        assert done is not None
        assert done.rows_new == 1
    define(root, **EDITS["a rule"])
    done_anew = taken_in(root, T3 + timedelta(days=1))
    assert done_anew.derived is not None
    assert (done_anew.derived.way, done_anew.derived.n_deliveries, done_anew.ingestion) == ("replay", 2, None)
    assert facts(root) == facts(other)
