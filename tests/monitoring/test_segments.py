"""Segments: profiled with the page, judged beside it, and told of without a higher rate of false alarms."""

from __future__ import annotations

import json
from dataclasses import replace
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from jobs.monitoring.profile import monitor
from jobs.monitoring.segments import SEGMENT, beside_wholes, halved
from jobs.monitoring.watched import Watch
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite, open_suite
from tests.command_line import almanac, said
from tests.conftest import NOW, PAGE, PRODUCT, clock_at
from tests.lakes import rows
from tests.monitoring.worlds import SHOPS, WORLDS, Year, shops_of, year_of
from warehouse.definitions import Product
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import RowsOfPages
from warehouse.pages.profiles import ProfiledColumn, bins_of, edges_of
from warehouse.pages.profiling import cuts
from warehouse.pages.profiling.page_counts import PageCounts
from warehouse.pages.profiling.segments import SegmentCounts, segment_counts
from warehouse.pages.profiling.segments_by import segments_by

WORLD = {world.name: world for world in WORLDS}
OF_SEGMENTS = "FROM ledger.segment_profiles SELECT * EXCLUDE (run_id) ORDER BY kind, as_of, segment, column_name"


def coarse_bins_of(values: np.ndarray, centre: float) -> np.ndarray:
    """Give of each four bins in turn the one nearest to the centre."""
    bins = bins_of(values, centre)
    magnitude = np.where(bins < 0, -1 - bins, bins) & ~3
    return np.where(bins < 0, -1 - magnitude, magnitude)


def _with_segments(product: Product, *columns: str) -> Product:
    settings = product.header.monitor.model_copy(update={"segments": list(columns)})
    return replace(product, header=product.header.model_copy(update={"monitor": settings}))


def _counted(of: RowsOfPages, table: pa.Table, rows_at_a_time: int) -> pa.Table:
    """Profile the segments of a table, so many rows at a time."""
    centres = {(of.kind, "x"): 3.0}
    parts = SegmentCounts(of, centres)
    pages = PageCounts(of, centres, parts)
    names, more = [column.name for column in pages.columns], segments_by(of.product, of.kind, of.columns)
    for start in range(0, table.num_rows, rows_at_a_time):
        piece = table.slice(start, rows_at_a_time).combine_chunks()
        arrays, own = ([piece[name].chunk(0) for name in read] for read in (names, more))
        list(pages.add(piece["as_of"].chunk(0), arrays, own))
    list(pages.rest())
    order = [(name, "ascending") for name in ("as_of", "segment", "column_name")]
    return pa.concat_tables(parts.tables).sort_by(order)


@pytest.fixture
def many(ingested: Suite) -> tuple[RowsOfPages, pa.Table]:
    """Three pages of rows in which shops have up to 1,300 rows, codes are many, and one page has too many shops."""
    pages = [
        PageRecord(PRODUCT, "features", PAGE + timedelta(days=n), "published", "r", "", 0, PAGE, 0) for n in range(3)
    ]
    query = """
        SELECT * REPLACE (CASE WHEN day = 2 THEN i::VARCHAR ELSE shop END AS shop)
        FROM (
            SELECT
                TIMESTAMP '2026-03-10 18:00' + to_days(day) AS as_of, i, day, 'k' || i AS order_id,
                CASE WHEN hash(i) % 50 > 1 THEN 's' || (hash(i) % 50)::INTEGER // (10 - 3 * day) ELSE NULL END AS shop,
                CASE WHEN hash(i + 1) % 9 > 0 THEN round(sin(i) * 7, 3) END AS x, 'c' || (hash(i + 3) % 300) AS c
            FROM (SELECT i, (i % 3)::INTEGER AS day FROM range(6000) r(i))
        )
        ORDER BY day, hash(i + 5)
    """
    with duckdb.connect() as connection:
        table = connection.execute(query).to_arrow_table().drop(["i", "day"])
    types = {"as_of": "TIMESTAMP", "order_id": "VARCHAR", "shop": "VARCHAR", "x": "DOUBLE", "c": "VARCHAR"}
    pages = [replace(page, n_rows=2000) for page in pages]
    product = _with_segments(ingested.definitions.product(PRODUCT), "Shop", "nothing")
    return RowsOfPages(product, "features", "t", types, pages), table


def test_the_profiles_of_segments_are_those_of_their_rows_however_they_are_read(
    many: tuple[RowsOfPages, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    of, table = many
    whole = _counted(of, table, 10_000)
    for size in (2000, 700, 64):
        assert _counted(of, table, size).equals(whole)
    mixed = table.take(np.random.default_rng(1).permutation(table.num_rows))
    assert _counted(of, mixed, 900).equals(whole)
    monkeypatch.setattr(cuts, "_MOST_CELLS", 0)  # counted by sorting
    assert _counted(of, mixed, 900).equals(whole)
    found = {(one["as_of"], one["segment"], one["column_name"]): one for one in whole.to_pylist()}
    # A page with too many shops has none, and says so.
    last = PAGE + timedelta(days=2)
    assert [key[1:] for key in found if key[0] == last] == [("shop", None)]
    assert (found[last, "shop", None]["n_rows"], found[last, "shop", None]["n_other"]) == (2000, 2000)
    n_told = 0
    for day in range(2):
        page = PAGE + timedelta(days=day)
        own = [one for one in table.to_pylist() if one["as_of"] == page]
        for shop in {one["shop"] for one in own}:
            name = f"shop = {shop}" if shop is not None else "shop missing"
            there = [one for one in own if one["shop"] == shop]
            assert ((page, name, "x") in found) == (len(there) >= cuts.LEAST_ROWS)
            if len(there) < cuts.LEAST_ROWS:
                continue
            n_told += len(there)
            x, c = found[page, name, "x"], found[page, name, "c"]
            values = np.array([one["x"] for one in there if one["x"] is not None])
            bins, counts = np.unique(coarse_bins_of(values, 3.0), return_counts=True)
            assert (x["n_rows"], x["n_missing"], x["centre"]) == (len(there), len(there) - len(values), 3.0)
            assert (x["bins"], x["counts"]) == (bins.tolist(), counts.tolist())
            names, counts = np.unique([one["c"] for one in there], return_counts=True)
            listed = sorted(zip((-counts).tolist(), names.tolist(), strict=True))[: cuts.MAX_CATEGORIES]
            assert list(zip(c["top_values"], c["counts"], strict=True)) == [(name, -n) for n, name in listed]
            assert sum(c["counts"]) + c["n_other"] == len(there)
    assert n_told + sum(found[PAGE + timedelta(days=day), "shop", None]["n_other"] for day in range(2)) == 4000


def test_only_the_largest_segments_have_a_profile(
    many: tuple[RowsOfPages, pa.Table], monkeypatch: pytest.MonkeyPatch
) -> None:
    of, table = many
    monkeypatch.setattr(cuts, "MOST_SEGMENTS", 2)
    monkeypatch.setattr(cuts, "_MOST_NUMBERED", 3)  # values and categories are numbered anew at each page
    few = _counted(of, table, 64).to_pylist()
    by_page = {(one["as_of"], one["segment"]): one["n_rows"] for one in few if one["column_name"] == "x"}
    assert len(by_page) == 4
    monkeypatch.setattr(cuts, "MOST_SEGMENTS", 20)
    every = _counted(of, table, 64).to_pylist()
    for page in (PAGE, PAGE + timedelta(days=1)):
        sizes = sorted(
            (one["n_rows"] for one in every if (one["as_of"], one["column_name"]) == (page, "x")), reverse=True
        )
        assert sorted((n for (own, _), n in by_page.items() if own == page), reverse=True) == sizes[:2]


def test_a_coarse_bin_is_four_of_the_others() -> None:
    values = np.sort(np.random.default_rng(1).normal(3, 5, 4000))
    edges = [np.nan, -np.inf, -1e300, -0.0, 0.0, 3.0, 3.0 + 1e-15, 1e300, np.inf]
    for given, centre in ((values, 3.0), (np.array(edges), 3.0), (np.array(edges), 0.0)):
        found = cuts.coded(ProfiledColumn("x", "number", ""), centre, pa.array(given))
        told = np.asarray(found.codes)[found.places]
        assert found.is_missing[found.places].tolist() == np.isnan(given).tolist()
        assert told[~np.isnan(given)].tolist() == coarse_bins_of(given[~np.isnan(given)], centre).tolist()
    coarse = coarse_bins_of(values, 3.0)
    assert (np.diff(coarse) >= 0).all()
    assert len(np.unique(coarse)) < len(np.unique(bins_of(values, 3.0))) / 2
    low, high = edges_of(coarse, 3.0)
    assert (np.abs((low + high) / 2 - values) <= 0.13 * np.abs(values - 3) + 1e-300).all()


def _judged(year: Year, shops: np.ndarray) -> Watch:
    return year.judged(parts=shops)


@pytest.mark.parametrize("name", ["season and day effects", "yearly wave"])
def test_segments_raise_no_alarms_where_nothing_breaks(name: str) -> None:
    year = year_of(WORLD[name], seed=1, n_pages=200)
    found = _judged(year, shops_of(year, 1))
    assert found.segments is not None
    assert found.segments.names == [f"shop = {number}" for number in range(len(SHOPS))]
    assert np.isfinite(found.segments.bound[120:]).all()
    assert len(found.evidence.alarms) <= 1
    assert len(found.flagged) <= 4
    assert found.segments.flags.any(axis=0).sum() <= 1


def test_a_fault_in_one_segment_that_the_page_does_not_show_is_found() -> None:
    year = year_of(WORLD["day effects"], seed=3, n_pages=130)
    shops = shops_of(year, 3)
    rows_of_shop = year.rows(129) & (shops == 3)  # an eighth of the rows
    year.values["normal #0"][rows_of_shop] += 1.5
    found = _judged(year, shops)
    assert year.judged().flagged[-1:] != [129]
    assert found.flagged[-1:] == [129]
    assert found.segments is not None
    assert [name for name, flags in zip(found.segments.names, found.segments.flags[:, 129], strict=True) if flags] == [
        "shop = 3"
    ]
    flagged = [
        one.series.column
        for one in found.columns
        if one.series.segment == "shop = 3" and any(flags[129] for flags in one.flags.values())
    ]
    assert flagged == ["normal #0"]


def test_a_steady_shift_in_one_segment_comes_together_as_its_evidence() -> None:
    year = year_of(WORLD["independent"], seed=5, n_pages=140)
    shops = shops_of(year, 5)
    moved = ["normal #0", "near 1000 #1", "normal #7"]
    for name in moved:
        year.values[name][(year.of_page >= 115) & (shops == 3)] += 1.0
    evidence, columns = (found := _judged(year, shops)).evidence, found.columns
    most = np.nanmax(evidence.columns[:, 115:], axis=1)
    is_moved = np.array([one.series.segment == "shop = 3" and one.series.column in moved for one in columns])
    assert most[is_moved].min() > 2 * np.median(most[~is_moved])
    # Half of the weight is that of the whole pages.
    is_part = np.array([one.series.segment is not None for one in columns])
    assert evidence.weights[:, 130][is_part].sum() == pytest.approx(0.5)
    assert evidence.weights[:, 130][~is_part].sum() == pytest.approx(0.5)


def test_whole_pages_keep_half_of_the_weight() -> None:
    weights = np.array([[1.0, 1.0], [3.0, 3.0], [1.0, 1.0], [1.0, 1.0]])
    there = np.array([[True, True], [True, True], [True, False], [True, False]])
    shares = halved(weights, there, np.array([False, False, True, True]))
    # A column's 1 / (1 + 3) of one half, for each segment one half of the other; without segments all as it was.
    assert shares[:, 0].tolist() == [0.25, 0.75, 0.5, 0.5]
    assert shares[:, 1].tolist() == [1.0, 3.0, 0.0, 0.0]


def test_segments_that_come_and_go_are_compared_with_themselves() -> None:
    year = year_of(WORLD["independent"], seed=6, n_pages=150)
    shops = shops_of(year, 6)
    shops[(shops == 3) & (year.of_page < 100)] = 0  # begins
    shops[(shops == 2) & (year.of_page >= 120)] = 1  # goes
    found = _judged(year, shops)
    assert found.segments is not None
    begun, gone = found.segments.names.index("shop = 3"), found.segments.names.index("shop = 2")
    # There is no page of a new segment to compare with: its first ones have no distance, and nothing is flagged.
    assert np.isnan(found.segments.ratio[begun, :150]).all()
    assert np.isnan(found.segments.ratio[gone, 120:]).all()
    assert not found.segments.flags[[begun, gone]].any()
    assert (found.segments.n_rows[gone] > 0).tolist() == [page < 120 for page in range(150)]


def test_after_a_long_time_without_rows_a_segment_begins_anew() -> None:
    year = year_of(WORLD["independent"], seed=7, n_pages=160)
    shops = shops_of(year, 7)
    shops[(shops == 1) & (year.of_page >= 20) & (year.of_page < 140)] = 0
    wholes, parts = year.series(parts=shops)
    own = [one for one in beside_wholes(wholes, parts) if (one.segment, one.column) == ("shop = 1", "normal #0")]
    assert [(int(one.pages[0]), int(one.pages[-1])) for one in own] == [(0, 19), (20, 159)]
    assert [int((one.n_rows > 0).sum()) for one in own] == [20, 20]


def test_pages_have_profiles_of_their_segments_in_their_own_commit(
    published: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "LEAST_ROWS", 5)
    header = published.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + '\nmonitor: {segments: [depot], cold: "parcels = 1"}\n')
    suite = open_suite(published.root, clock_at(NOW))
    assert rows(suite, "SELECT count(*) FROM ledger.segment_profiles") == [(0,)]
    # Pages of before get theirs; those that have them are left alone.
    features, predictions, labels = json.loads(said(suite.root, "monitor", PRODUCT, "--profile", "--json"))
    assert features["made"] == features["published"]
    for one in (predictions, labels):  # they have no such column
        assert (one["had"], one["made"]) == (1, 0)
    assert [one.made for one in monitor(suite, PRODUCT, make_profiles=True)] == [0, 0, 0]
    first = rows(suite, OF_SEGMENTS)
    there = (
        "SELECT DISTINCT segment FROM ledger.segment_profiles WHERE as_of = $1 AND column_name = 'parcels' ORDER BY 1"
    )
    named = "'depot = ' || depot, 'cold (parcels = 1) = ' || (parcels = 1)"
    segments = f"FROM (SELECT unnest([{named}]) AS segment FROM features.late_order WHERE as_of = $1)"
    large = f"SELECT segment {segments} GROUP BY segment HAVING count(*) >= 5 ORDER BY segment"
    assert rows(suite, there, [PAGE]) == rows(suite, large, [PAGE])
    snapshot = suite.lake.newest_snapshot()
    next_page = PAGE + timedelta(days=1)
    run_page(suite, PRODUCT, next_page)
    assert {one[1] for one in rows(suite, OF_SEGMENTS) if one[2] == next_page} == {"features"}
    assert len(rows(suite, there, [next_page])) > 1
    # What was counted on the way to the scorer is what the lake's rows give.
    taken = [one for one in rows(suite, OF_SEGMENTS) if one[2] == next_page]
    with suite.lake.commit("as a lake of before") as commit:
        commit.execute("DELETE FROM ledger.segment_profiles WHERE as_of = $1", [next_page])
    assert monitor(suite, PRODUCT, make_profiles=True)[0].made == 1
    assert [one for one in rows(suite, OF_SEGMENTS) if one[2] == next_page] == taken
    run_page(suite, PRODUCT, PAGE)
    rollback(suite, PRODUCT, PAGE, snapshot)
    of_published = "ledger.segment_profiles SEMI JOIN ledger.published_pages USING (kind, as_of, run_id)"
    assert rows(suite, f"SELECT count(DISTINCT run_id) FROM {of_published} WHERE as_of = $1", [PAGE]) == [(1,)]
    assert [one for one in rows(suite, OF_SEGMENTS) if one[2] < PAGE] == [one for one in first if one[2] < PAGE]


def test_cold_entities_are_segments_of_feature_pages_by_the_very_condition(
    published: Suite, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(cuts, "LEAST_ROWS", 5)
    header = published.root / f"sql/products/{PRODUCT}/product.yaml"
    whole = header.read_text()
    there = "SELECT DISTINCT segment FROM ledger.segment_profiles WHERE column_name IS NOT NULL"
    ((n_pages,),) = rows(published, "SELECT count(*) FROM ledger.published_pages WHERE kind = 'features'")
    for condition, made in (
        ("parcels = 1", n_pages),
        ("courier::INTEGER > 0", n_pages),
        ("no_such = 1", 0),
        ("sum(parcels) > 1", 0),
    ):
        header.write_text(f'{whole}\nmonitor: {{cold: "{condition}"}}\n')
        suite = open_suite(published.root, clock_at(NOW))
        assert monitor(suite, PRODUCT, make_profiles=True)[0].made == made, condition
    # Of what fails on every row nothing is known; what cannot be asked keeps no page back.
    assert {name for (name,) in rows(suite, there)} == {"cold (courier::INTEGER > 0) missing"}
    run_page(suite, PRODUCT, PAGE + timedelta(days=1))
    refused = almanac(suite.root, "monitor", PRODUCT, "--by", "cold")
    assert refused.returncode == 2
    assert "`sum(parcels) > 1` cannot be asked of feature pages" in refused.stderr
    header.write_text(f'{whole}\nmonitor: {{cold: "courier::INTEGER > 0"}}\n')
    shown = json.loads(said(suite.root, "monitor", PRODUCT, "--by", "cold", "--json"))
    print(shown["drift"]["segments"])
    assert {one["segment"] for one in shown["drift"]["segments"]} == {"cold (courier::INTEGER > 0) missing"}


def test_nothing_is_counted_where_no_segments_are_named(ingested: Suite) -> None:
    product = ingested.definitions.product(PRODUCT)
    page = PageRecord(PRODUCT, "features", datetime(2026, 3, 10), "published", "r", "", 0, PAGE, 0)
    of = RowsOfPages(product, "features", "t", {"as_of": "TIMESTAMP", "x": "DOUBLE"}, [page])
    assert segment_counts(of, {}) is None
    assert segment_counts(replace(of, product=_with_segments(product, "elsewhere")), {}) is None
    assert SEGMENT.name == "segment"
