"""Judging what is new: the rows and alarms of the ledger are those of judging all pages from the first, whatever came.

Pages of columns that jump, stand still, begin, stop, change their scale or have no value are published in any order,
made again and put under other versions. After each step what stands in the ledger is compared, row for row, with what
judging from scratch gives.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from jobs.monitoring.judging.judgements import judge, judge_and_write
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from tests.command_line import said
from tests.conftest import NOW, PRODUCT, clock_at
from tests.effort import times
from tests.monitoring.counted import numbers_counted, texts_counted
from warehouse.definitions import Product
from warehouse.ledger import records as ledger
from warehouse.ledger.alarms import ACUTE, DRIFT, WITHDRAWN, alarms_of
from warehouse.ledger.model_record import ModelRecord
from warehouse.ledger.records import PageRecord, Promotion
from warehouse.pages.profiled_pages import Profile, RowsOfPages
from warehouse.pages.profiling.page_counts import profile_rows
from warehouse.pages.profiling.segments import append_segment_profiles, segment_counts

FIRST, N_PAGES = datetime(2026, 1, 15), 200
LOST = (101, 128, 129, 158)
COLUMNS = "kind, as_of, column_name, segment, reference"


def _grid(suite: Suite) -> list[datetime]:
    return suite.definitions.product(PRODUCT).pages_between(FIRST, datetime(2027, 1, 1))[:N_PAGES]


def _values(place: int, again: int) -> dict[str, Any]:
    """Give the columns of a page, so that the same page made again has other values."""
    rng = np.random.default_rng((place, again))
    n_rows = 60 if place % 41 == 40 else int(rng.integers(150, 260))
    x = rng.normal(0.02 * (place - 126) if 126 < place < 150 else 0.0, 1.0, n_rows)
    if place in LOST:
        x[: n_rows // 2] = np.nan
    values: dict[str, Any] = {"x": x, "weather": rng.normal(place % 5, 3, 3).round(1)[rng.integers(0, 3, n_rows)]}
    if place % 37 == 5:
        values["weather"] = values["weather"] + 50
    values["far"] = np.where(rng.random(n_rows) < 0.002, np.inf, rng.exponential(1.0, n_rows))
    values["still"] = np.arange(n_rows) % 7 + (place if place % 60 < 55 else 0.5) / 100
    values["empty"] = np.full(n_rows, np.nan if place < 130 else 4.0) + rng.normal(size=n_rows)
    names = [*"abcdef"] if place % 50 < 49 else [*"abcxyz"]
    values["c"] = rng.choice(names, n_rows).tolist()
    if place >= 60 and not 90 <= place < 97:
        values["young"] = rng.normal(size=n_rows)
    values["turned"] = values["c"] if place >= 110 else rng.normal(size=n_rows)
    # One half of the segments hovers about the 100 rows that a profile takes, and has faults of its own.
    shops = np.array(["north", "south", None], object)[(rng.random(n_rows)[:, None] > [0.62, 0.97]).sum(axis=1)]
    if place == 134 or 140 < place < 156:
        x[shops == "north"] += 4.0 if place == 134 else 0.4
    values["shop"] = ["west" if 150 <= place < 160 and shop == "north" else shop for shop in shops]
    return values


def _profiled(column: str, values: Any, of_page: tuple[str, str, datetime], run: str, version: str | None) -> Profile:
    is_category = isinstance(values, list)
    centre = 0.0 if column != "empty" else None if is_category or np.isnan(values).all() else 4.0
    figures = (texts_counted(values) if is_category else numbers_counted(values, centre)).figures()
    return Profile(*of_page, column, "category" if is_category else "number", run, model_version=version, **figures)


def _publish(suite: Suite, places: Sequence[int], again: int = 0) -> None:
    pages, run = _grid(suite), f"run {again}"
    with suite.lake.commit("pages") as commit:
        records, profiles, segments = list[PageRecord](), list[Profile](), list[pa.Table]()
        for place in places:
            values = _values(place, again)
            score = {"probability": np.abs(values["x"]) % 1}
            # The second version was taken back for a while.
            version = "v2" if place >= 100 and not 120 <= place < 125 else "v1"
            for kind, columns in (("features", values), ("predictions", score)):
                if kind == "predictions" and place < 60:
                    continue
                of_page = (PRODUCT, kind, pages[place])
                n_rows = len(values["x"])
                snapshot = commit.snapshot_id
                records.append(PageRecord(*of_page, "published", run, "d", 0, suite.clock(), snapshot, n_rows=n_rows))
                if kind == "features":
                    segments += _of_segments(suite, records[-1], values)
                profiles += [
                    _profiled(name, one, of_page, run, version if kind == "predictions" else None)
                    for name, one in columns.items()
                ]
        ledger.append(commit, records)
        ledger.append(commit, profiles)
        append_segment_profiles(commit, segments, records)


def _of_segments(suite: Suite, page: PageRecord, values: dict[str, Any]) -> list[pa.Table]:
    rows = pa.table({"as_of": [page.as_of] * page.n_rows, **values})
    with duckdb.connect() as connection:
        connection.register("rows_of_page", rows)
        types = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE rows_of_page)").fetchall())
        of = RowsOfPages(suite.definitions.product(PRODUCT), "features", "rows_of_page", types, [page])
        centres = {("features", name): 0.0 for name in values if name != "empty"}
        if not np.isnan(values["empty"]).all():
            centres["features", "empty"] = 4.0
        parts = segment_counts(of, centres)
        assert parts is not None
        assert sum(table.num_rows for table in profile_rows(connection, of, centres, parts)) == len(values)
    return parts.tables


def _promote(suite: Suite, version: str, place: int, importance: dict[str, float]) -> None:
    pages = _grid(suite)
    last = pages[place - 20]
    times_of = {"label_cutoff": None, "trained_at": last, "first_page": pages[0], "last_page": last}
    texts = "run_id definitions estimator parameters artifact sha256 scorer scorer_reason trained_by".split()
    model = ModelRecord(
        product=PRODUCT,
        version=version,
        n_pages=place,
        n_rows=1,
        ingest_id=0,
        seed=0,
        features=["x", "weather", "c", "young"],
        metrics={},
        libraries={},
        importance=importance,
        **times_of,  # type: ignore[arg-type]
        **dict.fromkeys(texts, "a test"),  # type: ignore[arg-type]
    )
    with suite.lake.commit(version) as commit:
        ledger.append(commit, [model])
        ledger.append(commit, [Promotion(PRODUCT, version, pages[place], last, "a test", None)])


def _is_as_from_scratch(suite: Suite, product: Product) -> int:
    """Judge what is new, and compare all that stands with judging from scratch; tell which page was the first."""
    found = judge_and_write(suite, product)
    with suite.lake.reading() as connection:
        scratch = judge(connection, product)
        assert scratch.rows is not None
        connection.register("scratch", scratch.rows)
        standing = "SELECT * EXCLUDE (known_by, snapshot_id) FROM ledger.newest_drift SEMI JOIN scratch USING (as_of)"
        columns = ", ".join(scratch.rows.column_names)
        there = "segment IS NULL OR n_rows > 0"  # a segment may have been on a page that was made again without it
        written = connection.execute(f"SELECT {columns} FROM ({standing}) WHERE {there} ORDER BY {COLUMNS}").fetchall()
        anew = connection.execute(f"SELECT {columns} FROM scratch ORDER BY {COLUMNS}").fetchall()
        alarms = [one for one in alarms_of(connection, PRODUCT) if one.kind in (ACUTE, DRIFT)]
    assert len(written) == len(anew)
    for one, other in zip(written, anew, strict=True):
        assert one == other, {name: pair for name, *pair in zip(scratch.rows.column_names, one, other, strict=True)}
    told = [replace(one, run_id=None, snapshot_id=0, known_by=None) for one in alarms if one.state != WITHDRAWN]
    assert told == scratch.alarms
    return found.first


@pytest.fixture(scope="module")
def judged(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A suite whose alarms on slow drift come soon, with 126 pages but one that are judged, and two versions."""
    root = tmp_path_factory.mktemp("judged") / "shop"
    make_starter(root)
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + "\nmonitor: {false_alarms: 1 a week, segments: [shop]}\n")
    suite = open_suite(root, clock_at(NOW))
    suite.lake.create(NOW, "a test")
    _publish(suite, [place for place in range(126) if place != 123])
    _promote(suite, "v1", 60, {"x": 1.0, "c": 0.5, "weather": 0.2})
    _promote(suite, "v2", 100, {"x": 1.0, "young": 0.5})
    assert _is_as_from_scratch(suite, suite.definitions.product(PRODUCT)) == 0
    return root


@pytest.fixture
def suite(judged: Path, tmp_path: Path) -> Suite:
    """A copy of it."""
    shutil.copytree(judged, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def test_new_pages_are_judged_as_from_scratch_and_alone(suite: Suite) -> None:
    product = suite.definitions.product(PRODUCT)
    behind = []
    for place in [*range(126, 133), *range(133, 163, 5)]:
        _publish(suite, [place] if place < 133 else range(place, place + 5))
        behind.append(place - 1 - _is_as_from_scratch(suite, product))  # a page lacks
    # A run of faulty pages is judged from its first page on, and what explains slow drift is in all pages.
    assert behind.count(0) >= 4
    assert sum(pages > 20 for pages in behind) <= 4
    with suite.lake.reading() as connection:
        kinds = [one.kind for one in alarms_of(connection, PRODUCT)]
    assert kinds.count(DRIFT) >= 1
    assert kinds.count(ACUTE) >= 2


def test_what_is_found_in_a_segment_is_named_where_people_look(suite: Suite, tmp_path: Path) -> None:
    _publish(suite, range(126, 135))
    page = _grid(suite)[134]
    shown = json.loads(said(suite.root, "monitor", PRODUCT, "--by", "Shop", "--json"))["drift"]
    at = shown["pages"][-1]["page"]
    assert at.startswith(str(page.date()))
    told = shown["pages"][-1]["found"]
    assert told["segment"] == ["shop = north"]
    assert "x in shop = north" in told["shape"]
    last = [one for one in shown["segments"] if one["as_of"] == at]
    assert [one["segment"] for one in last if one["flags"]] == ["shop = north"]
    assert all(one["score"] > one["score_bound"] > 1 for one in last if one["flags"])
    [alarm] = [one for one in json.loads(said(suite.root, "alarms", PRODUCT, "--json")) if "segment" in one["flags"]]
    assert "x in shop = north" in alarm["message"]
    assert alarm["columns"][0] == "x"
    assert "Drift by shop: the largest distance" in said(suite.root, "monitor", PRODUCT, "--by", "shop")
    said(suite.root, "report", PRODUCT, "--output", str(tmp_path / "report.html"))
    assert "shop = north" in (tmp_path / "report.html").read_text()


def test_where_the_past_changes_what_is_behind_it_is_judged_anew(suite: Suite) -> None:
    product = suite.definitions.product(PRODUCT)
    _publish(suite, [123])
    assert 110 < _is_as_from_scratch(suite, product) <= 123
    _publish(suite, [121], again=1)
    assert 110 < _is_as_from_scratch(suite, product) <= 121
    _publish(suite, [70, 130], again=1)
    assert _is_as_from_scratch(suite, product) <= 70
    _promote(suite, "v3", 90, {"weather": 1.0})
    assert _is_as_from_scratch(suite, product) <= 90


@pytest.mark.parametrize("seed", range(times(1)))
def test_whatever_is_published_in_whatever_order(suite: Suite, seed: int) -> None:
    product, rng = suite.definitions.product(PRODUCT), np.random.default_rng(seed)
    newest = 126
    for again in range(2, 10):
        match rng.integers(0, 4):
            case 0:
                _publish(suite, rng.integers(0, newest, 2).tolist(), again)
            case 1:
                _publish(suite, [newest - 1 - int(rng.integers(0, 6))], again)
            case 2:
                with suite.lake.commit("a page that is published no more") as commit:
                    page = _grid(suite)[newest - 1]
                    commit.execute("DELETE FROM ledger.pages WHERE as_of = $1", [page])
                newest -= 1
            case _:
                more = int(rng.integers(1, 9))
                _publish(suite, range(newest, newest + more)[::-1], again)
                newest += more
        _is_as_from_scratch(suite, product)
