"""Publications go to their targets whole, once, and each target holds what it is to hold."""

from __future__ import annotations

import json
import shutil
import sqlite3
from datetime import timedelta
from pathlib import Path

import pytest

from jobs.export.export import ExportResult, export
from jobs.export.listing import export_states
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite, open_suite
from jobs.suites.doctor import Finding, doctor
from jobs.suites.upkeep import upkeep
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.export.targets import in_duckdb, in_files, in_sqlite, manifest, with_targets
from tests.lakes import rows
from warehouse.errors import DefinitionError, NotFoundError, UsageError

DAY = timedelta(days=1)
CURRENT = f"FROM predictions.{PRODUCT}_current ORDER BY order_id"


@pytest.fixture(scope="module")
def _waiting(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("waiting") / "shop"
    shutil.copytree(_trained, root)
    run_page(with_targets(open_suite(root, clock_at(NOW))), PRODUCT, PAGE)
    return root


@pytest.fixture
def waiting(_waiting: Path, tmp_path: Path) -> Suite:
    """A suite with three targets and one published page, which waits for all of them."""
    shutil.copytree(_waiting, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def states(suite: Suite) -> list[tuple[str, str, str]]:
    found = export_states(suite, 100)
    return sorted((f"{each.page:%m-%d}", each.target, each.state) for each in found)


def outcome(result: ExportResult) -> list[tuple[str, bool]]:
    return [(sent.target, sent.was_there) for sent in result.sent]


def troubled(suite: Suite) -> list[Finding]:
    return [one for one in doctor(suite.root, suite.clock) if one.subject.startswith("target ")]


def test_a_publication_goes_to_all_targets_and_is_what_the_lake_shows(waiting: Suite) -> None:
    assert states(waiting) == [("03-10", name, "waiting") for name in ("analysts", "app", "files")]
    assert outcome(export(waiting, PRODUCT)) == [("app", False), ("analysts", False), ("files", False)]
    current = rows(waiting, CURRENT)
    assert in_duckdb(waiting) == current
    assert in_sqlite(waiting, "SELECT order_id, probability, as_of FROM late_order ORDER BY order_id") == rows(
        waiting, f"SELECT order_id, probability, as_of::VARCHAR FROM predictions.{PRODUCT}_current ORDER BY order_id"
    )
    assert sorted((row["order_id"], row["probability"]) for row in in_files(waiting)[PAGE.isoformat()]) == [
        tuple(row) for row in rows(waiting, f"SELECT order_id, probability FROM predictions.{PRODUCT} ORDER BY ALL")
    ]
    assert states(waiting) == [("03-10", name, "exported") for name in ("analysts", "app", "files")]
    assert (
        rows(waiting, "SELECT job, state, n_pages FROM ledger.runs WHERE job = 'export'")
        == [("export", "succeeded", 1)] * 3
    )


def test_what_is_current_without_a_page_whose_file_was_lost_goes_out(waiting: Suite) -> None:
    backfill(waiting, BackfillOrder(PRODUCT, PAGE - 2 * DAY, PAGE))
    export(waiting, PRODUCT)
    with waiting.lake.reading() as connection:
        query = "SELECT data_file FROM ducklake_list_files('lake', $1, schema => 'predictions')"
        files = [Path(row[0]) for row in connection.execute(query, [PRODUCT]).fetchall()]
    max(files, key=lambda path: path.stat().st_mtime_ns).unlink()
    pages = in_files(waiting)
    run_page(waiting, PRODUCT, PAGE - 2 * DAY)
    lost = [row for row in states(waiting) if row[0] == "03-09" and row[2] in ("waiting", "not due")]
    assert ("03-09", "app", "waiting") in lost
    assert ("03-09", "files", "not due") in lost
    assert export(waiting, PRODUCT).failed == {}
    assert in_duckdb(waiting) == rows(waiting, CURRENT)
    assert [row for row in states(waiting) if row[2] == "waiting"] == []
    ((held,),) = in_sqlite(waiting, "SELECT snapshot_id FROM almanac_exports")
    ((marked,),) = rows(waiting, "SELECT max(snapshot_id) FROM ledger.pages WHERE state = 'lost'")
    assert held >= marked
    assert in_files(waiting)[(PAGE - DAY).isoformat()] == pages[(PAGE - DAY).isoformat()]


def test_the_outbox_played_twice_changes_nothing(waiting: Suite) -> None:
    export(waiting, PRODUCT)
    out = waiting.root / "out"
    before = {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()}
    assert export(waiting, PRODUCT) == ExportResult()
    # As after a crash between the target's commit and the ledger's: the target knows, and nothing is written.
    with waiting.lake.commit("forget") as commit:
        commit.execute("DELETE FROM ledger.exports")
    assert outcome(export(waiting, PRODUCT)) == [("app", True), ("analysts", True), ("files", True)]
    assert {sent.n_rows for sent in export(waiting, PRODUCT, "app").sent} == {len(rows(waiting, CURRENT))}
    assert {path: (path.stat().st_ino, path.stat().st_mtime_ns) for path in out.rglob("*") if path.is_file()} == before


def test_a_backfilled_older_page_is_not_due_where_the_current_is_held(waiting: Suite) -> None:
    export(waiting, PRODUCT)
    backfill(waiting, BackfillOrder(PRODUCT, PAGE - 3 * DAY, PAGE - DAY))
    older = [("03-07", "files", "waiting"), ("03-08", "files", "waiting")]
    found = states(waiting)
    assert [row for row in found if row[2] == "waiting"] == older
    assert [row for row in found if row[2] == "not due"] == [
        (day, name, "not due") for day in ("03-07", "03-08") for name in ("analysts", "app")
    ]
    assert [sent.as_of for sent in export(waiting, PRODUCT).sent] == [PAGE - 3 * DAY, PAGE - 2 * DAY]
    assert list(in_files(waiting)) == [(PAGE - back * DAY).isoformat() for back in (3, 2, 0)]


def test_of_several_that_wait_the_newest_alone_is_swapped_in(waiting: Suite) -> None:
    run_page(waiting, PRODUCT, PAGE + DAY)
    result = export(waiting, PRODUCT)
    assert [(sent.target, sent.as_of) for sent in result.sent] == [
        ("app", PAGE + DAY),
        ("analysts", PAGE + DAY),
        ("files", PAGE),
        ("files", PAGE + DAY),
    ]
    assert ("03-10", "app", "superseded") in states(waiting)
    assert in_duckdb(waiting) == rows(waiting, CURRENT)


def test_what_is_swapped_in_is_what_was_current_at_that_publication(waiting: Suite) -> None:
    # The page of before goes out late, after a publication that changes nothing of what is current.
    wanted = rows(waiting, CURRENT)
    backfill(waiting, BackfillOrder(PRODUCT, PAGE - 3 * DAY, PAGE - 2 * DAY))
    export(waiting, PRODUCT)
    assert in_duckdb(waiting) == wanted
    assert in_sqlite(waiting, "SELECT as_of, n_rows FROM almanac_exports") == [(str(PAGE), len(wanted))]


def test_after_a_rollback_the_page_before_is_exported_again(waiting: Suite) -> None:
    export(waiting, PRODUCT)
    first, files = waiting.lake.newest_snapshot(), in_files(waiting)
    before = in_duckdb(waiting)
    run_page(waiting, PRODUCT, PAGE)
    export(waiting, PRODUCT)
    assert in_duckdb(waiting) != before  # the rows bear the run that made them
    rollback(waiting, PRODUCT, PAGE, first)
    assert [row for row in states(waiting) if row[2] == "waiting"] == [
        ("03-10", name, "waiting") for name in ("analysts", "app", "files")
    ]
    export(waiting, PRODUCT)
    assert in_duckdb(waiting) == before
    assert in_files(waiting) == files
    # The file that the manifest before this one named is still there for its readers, and no older one.
    left = {path.name for path in (waiting.root / "out/pages").iterdir()} - {"manifest.json"}
    assert left == {manifest(waiting)["pages"][0]["file"], *manifest(waiting)["left"]}
    assert len(left) == 2


def test_a_target_that_came_later_gets_the_newest_page_and_others_by_name(published: Suite) -> None:
    run_page(published, PRODUCT, PAGE + DAY)
    suite = with_targets(published)
    assert states(suite) == []
    assert [(sent.target, sent.as_of) for sent in export(suite, PRODUCT, "files").sent] == [("files", PAGE + DAY)]
    assert [sent.as_of for sent in export(suite, PRODUCT, "files", PAGE).sent] == [PAGE]
    assert list(in_files(suite)) == [PAGE.isoformat(), (PAGE + DAY).isoformat()]
    assert [sent.target for sent in export(suite, PRODUCT).sent] == ["app", "analysts"]
    (suite.root / "out/predictions.duckdb").unlink()
    assert export(suite, PRODUCT).sent == []
    assert outcome(export(suite, PRODUCT, "analysts")) == [("analysts", False)]


def test_a_target_that_lost_what_it_had_gets_what_is_current_by_name(waiting: Suite) -> None:
    run_page(waiting, PRODUCT, PAGE + DAY)
    export(waiting, PRODUCT)
    # The newest publication is that of an older page, which changes nothing of what is current.
    backfill(waiting, BackfillOrder(PRODUCT, PAGE - 3 * DAY, PAGE - 2 * DAY))
    (waiting.root / "out/predictions.sqlite").unlink()
    assert [sent.as_of for sent in export(waiting, PRODUCT, "app").sent] == [PAGE + DAY]
    assert in_sqlite(waiting, "SELECT as_of FROM almanac_exports") == [(str(PAGE + DAY),)]
    assert outcome(export(waiting, PRODUCT, "app")) == [("app", True)]


def test_after_a_lake_was_put_back_the_next_publication_goes_out(waiting: Suite, tmp_path: Path) -> None:
    shutil.copytree(waiting.lake.root, tmp_path / "backup")
    for _ in range(3):
        run_page(waiting, PRODUCT, PAGE)
    export(waiting, PRODUCT)
    shutil.rmtree(waiting.lake.root)
    shutil.copytree(tmp_path / "backup", waiting.lake.root)
    again = reopened(waiting, NOW + DAY)
    run_page(again, PRODUCT, PAGE)
    assert outcome(export(again, PRODUCT)) == [("app", False), ("analysts", False), ("files", False)]
    assert in_duckdb(again) == rows(again, CURRENT)


def test_what_a_killed_export_left_is_cleared_and_permissions_stay(waiting: Suite) -> None:
    export(waiting, PRODUCT)
    app, pages = waiting.root / "out/predictions.sqlite", waiting.root / "out/pages"
    app.chmod(0o640)
    named = manifest(waiting)["pages"][0]["file"]
    # A process died between a page's file and the manifest; what is not named like ours is left alone.
    left, theirs = pages / f"{PRODUCT}-{PAGE:%Y%m%dT%H%M%S}-999.jsonl", pages / f"{PRODUCT}-notes.jsonl"
    left.touch(), theirs.touch()
    run_page(waiting, PRODUCT, PAGE)
    export(waiting, PRODUCT)
    found = {path.name for path in pages.iterdir()}
    assert found == {"manifest.json", theirs.name, named, manifest(waiting)["pages"][0]["file"]}
    assert app.stat().st_mode & 0o777 == 0o640


def test_a_place_whose_name_is_a_pattern_is_cleared_too(waiting: Suite) -> None:
    suite = with_targets(waiting, "\nexport:\n  app: {to: 'out [1]/p[1]*?.sqlite', table: 'its \"table\"'}\n")
    assert outcome(export(suite, PRODUCT)) == [("app", False)]
    run_page(suite, PRODUCT, PAGE)
    assert outcome(export(suite, PRODUCT)) == [("app", False)]
    assert [path.name for path in (suite.root / "out [1]").iterdir()] == ["p[1]*?.sqlite"]


def test_a_publication_whose_snapshot_upkeep_let_go_of_still_goes_out(waiting: Suite) -> None:
    wanted = rows(waiting, CURRENT)
    later = reopened(waiting, NOW + 400 * DAY)
    backfill(waiting, BackfillOrder(PRODUCT, PAGE - 3 * DAY, PAGE - 2 * DAY))
    upkeep(later, keep=timedelta(0), grace=timedelta(0))
    assert export(later, PRODUCT).failed == {}
    assert in_duckdb(later) == wanted
    assert len(in_files(later)) == 2


def test_a_target_that_fails_delays_no_other_and_is_told_of(waiting: Suite) -> None:
    blocked = waiting.root / "out/predictions.sqlite"
    blocked.mkdir(parents=True)
    done = almanac(waiting.root, "export", PRODUCT)
    assert done.returncode == 1
    assert "late_order was not exported to app" in done.stderr
    assert [row for row in states(waiting) if row[1] == "app"] == [("03-10", "app", "waiting")]
    assert in_duckdb(waiting) == rows(waiting, CURRENT)
    # Once for each reason, however often it is tried.
    almanac(waiting.root, "export", PRODUCT)
    assert rows(waiting, "SELECT target, count(*) FROM ledger.exports WHERE state = 'failed' GROUP BY ALL") == [
        ("app", 1)
    ]
    why = next(row["why"] for row in json.loads(said(waiting.root, "exports", "--json")) if row["target"] == "app")
    assert "the target fails" in why
    assert [(one.subject, one.state) for one in troubled(waiting)] == [(f"target {PRODUCT} app", "warning")]
    blocked.rmdir()
    assert "predictions.sqlite" in said(waiting.root, "export", PRODUCT)
    assert "failed" not in said(waiting.root, "exports")
    assert troubled(waiting) == []


def test_what_we_did_not_make_is_refused_and_stays(waiting: Suite) -> None:
    out = waiting.root / "out"
    (out / "pages").mkdir(parents=True)
    for name in ("predictions.sqlite", "predictions.duckdb"):
        connect = sqlite3.connect if name.endswith("sqlite") else __import__("duckdb").connect
        database = connect(out / name)
        database.execute("CREATE TABLE theirs (x INTEGER)")
        database.commit()
        database.close()
    (out / "pages/manifest.json").write_text("{}")
    before = {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()}
    failed = export(waiting, PRODUCT).failed
    assert {name: "nothing was written" in text for name, text in failed.items()} == {
        "app": True,
        "analysts": True,
        "files": True,
    }
    assert "theirs" in failed["app"]
    assert {path.name: path.read_bytes() for path in out.rglob("*") if path.is_file()} == before


def test_a_table_put_beside_ours_and_a_file_of_another_product_are_refused(waiting: Suite) -> None:
    export(waiting, PRODUCT)
    with sqlite3.connect(waiting.root / "out/predictions.sqlite") as database:
        database.execute("CREATE TABLE notes (x TEXT)")
    with waiting.lake.commit("another suite's") as commit:
        commit.execute("UPDATE ledger.format SET suite_id = 'other'")
    failed = export(waiting, PRODUCT, "app").failed | export(waiting, PRODUCT, "analysts").failed
    assert "notes" in failed["app"]
    assert "another suite" in failed["analysts"]


def test_a_log_beside_the_file_of_a_program_that_writes_to_it_is_refused(waiting: Suite) -> None:
    export(waiting, PRODUCT)
    log = waiting.root / "out/predictions.sqlite-wal"
    log.write_bytes(b"theirs")
    run_page(waiting, PRODUCT, PAGE + DAY)
    failed = export(waiting, PRODUCT).failed
    assert list(failed) == ["app"]
    assert "for reading only" in failed["app"]
    log.unlink()
    assert outcome(export(waiting, PRODUCT)) == [("app", False)]


def test_values_that_a_target_cannot_hold_are_refused(waiting: Suite) -> None:
    with waiting.lake.commit("a score that is no number") as commit:
        commit.execute(f"UPDATE predictions.{PRODUCT} SET probability = 'nan'")
        for table in ("pages", "outbox"):
            commit.execute(f"UPDATE ledger.{table} SET snapshot_id = $1", [commit.snapshot_id])
    failed = export(waiting, PRODUCT).failed
    assert "`probability`" in failed["app"]
    assert "JSON" in failed["files"]
    assert not (waiting.root / "out/predictions.sqlite").exists()
    assert not list((waiting.root / "out").rglob(".*"))


@pytest.mark.parametrize(("format", "reader"), [("csv", "read_csv"), ("parquet", "read_parquet")])
def test_files_of_each_format_hold_the_page(waiting: Suite, format: str, reader: str) -> None:
    suite = with_targets(waiting, f"\nexport:\n  files: {{to: out/pages/, format: {format}}}\n")
    export(suite, PRODUCT)
    file = suite.root / "out/pages" / manifest(suite)["pages"][0]["file"]
    wanted = f"FROM predictions.{PRODUCT} ORDER BY order_id"
    assert rows(suite, f"FROM {reader}('{file}') ORDER BY order_id") == rows(suite, wanted)


@pytest.mark.parametrize(
    ("export", "said_of_it"),
    [
        ("app: {to: s3cret://user:hunter2@host/x.sqlite}", "URLs are not written to"),
        ("app: {to: out/predictions.txt}", "end it in .sqlite"),
        ("app: {to: out/, table: x}", "`table` goes with a database"),
        ("app: {to: out/x.sqlite, format: csv}", "`format` goes with a directory"),
        ("app: {to: out/, columns: [probability]}", "leaves out `order_id`"),
        ("App: {to: out/}", "lower-case"),
        ("app: {to: out/x.duckdb, write: upsert}", "`write` goes with PostgreSQL"),
        ("app: {to: APP_DB, format: csv}", "`format` goes with a directory"),
        ("app: {to: APP_DB, table: a.b.c}", "has a schema where there are none"),
        ("app: {to: APP_DB, write: replace_page, columns: [order_id]}", "leaves out `as_of`"),
        ("a: {to: APP_DB, table: x}\n  b: {to: APP_DB, table: x, write: upsert}", "two targets are `APP_DB`"),
        ("a: {to: out/}\n  b: {to: out//}", "two targets are `out/`"),
    ],
)
def test_a_target_that_cannot_be_is_told_with_its_line(ingested: Suite, export: str, said_of_it: str) -> None:
    with pytest.raises(DefinitionError) as refused:
        with_targets(ingested, f"\nexport:\n  {export}\n")
    assert said_of_it in str(refused.value)
    assert "product.yaml:" in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_what_is_asked_for_and_is_not_there_is_told(waiting: Suite) -> None:
    with pytest.raises(NotFoundError, match="no target `nowhere`"):
        export(waiting, PRODUCT, "nowhere")
    with pytest.raises(NotFoundError, match="not published"):
        export(waiting, PRODUCT, "files", PAGE - DAY)
    with pytest.raises(UsageError, match="--page goes with targets that hold pages"):
        export(waiting, PRODUCT, "app", PAGE)
    odd = with_targets(waiting, "\nexport:\n  files: {to: out/, columns: [order_id, nothing]}\n")
    assert "no column `nothing`" in export(odd, PRODUCT).failed["files"]
    inside = with_targets(waiting, "\nexport:\n  files: {to: lake/out/}\n")
    assert "outside" in export(inside, PRODUCT).failed["files"]
    for name in ("almanac_exports", "SQLite_x"):
        reserved = with_targets(waiting, f"\nexport:\n  app: {{to: out/p.sqlite, table: {name}}}\n")
        assert "Give another `table`" in export(reserved, PRODUCT).failed["app"]
    without = with_targets(waiting, "\n")
    with pytest.raises(UsageError, match="has no targets"):
        export(without, PRODUCT)
