"""Profiles of pages: added up as the whole, written with the page, read beside a reference that moves."""

from __future__ import annotations

import csv
import itertools
import json
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pytest

from jobs.monitoring import distances
from jobs.monitoring.comparison import compare
from jobs.monitoring.profile import compare_page, monitor
from jobs.monitoring.references import reference_pages
from jobs.monitoring.series import read_series
from jobs.pages.predict import run_page
from jobs.pages.rollback import rollback
from jobs.suite import Suite
from tests.command_line import said
from tests.conftest import PAGE, PRODUCT, reopened
from tests.lakes import rows
from tests.monitoring.counted import numbers_counted, profiles_in, texts_counted
from warehouse.batching.batch import Batch
from warehouse.errors import NotFoundError
from warehouse.ledger.records import PageRecord
from warehouse.pages.profiled_pages import Profile, RowsOfPages, new_centres
from warehouse.pages.profiles import MAX_DISTINCT, NumberCounts, as_floats, bins_of, edges_of, profiled_columns
from warehouse.pages.profiling.appended import append_profiles
from warehouse.pages.profiling.in_passing import in_passing
from warehouse.pages.profiling.page_counts import PageCounts, profile_rows
from warehouse.pages.publishing import StagedRows
from warehouse.sandbox import Sandbox
from warehouse.system_sql import parquet

VECTORS = list(csv.DictReader((Path(__file__).parent / "statistics.csv").read_text().splitlines()))
OF_PAGES = "FROM ledger.profiles SELECT * EXCLUDE (run_id) ORDER BY kind, as_of, column_name"


def profile_of(values: list[float | None] | np.ndarray, centre: float = 0.0) -> Profile:
    return Profile("p", "features", PAGE, "x", "number", "r", **numbers_counted(values, centre).figures())


def profile_of_text(values: list[str | None]) -> Profile:
    return Profile("p", "features", PAGE, "x", "category", "r", **texts_counted(values).figures())


@pytest.mark.parametrize("n_values", [50, 3 * MAX_DISTINCT])
def test_parts_added_up_in_any_order_are_the_whole(n_values: int) -> None:
    rng = np.random.default_rng(3)
    values = np.round(rng.normal(1000, 1, 40_000), 1 if n_values == 50 else 9)
    values[::7] = np.nan
    values[:6] = [-0.0, 0.0, np.inf, -np.inf, 1e300, -1e300]
    whole = numbers_counted(values, 1000.0)
    for cuts in ([1, 2, 17_000], [20_000], list(range(0, 40_000, 3_000))):
        parts = [numbers_counted(part, 1000.0) for part in np.split(values, cuts)]
        total = NumberCounts(1000.0)
        for place in rng.permutation(len(parts)):
            total.merge(parts[place])
        assert total.figures() == whole.figures()
    assert whole.n_rows == 40_000
    assert whole.n_missing == np.isnan(values).sum()
    assert whole.figures()["n_distinct"] == (len(np.unique(values[~np.isnan(values)])) if n_values == 50 else None)


def test_a_value_lies_between_the_ends_of_its_bin_and_bins_ascend_with_the_values() -> None:
    values = np.sort(np.concatenate([np.random.default_rng(1).normal(0, 10.0**k, 500) for k in range(-8, 9)]))
    bins = bins_of(values, 0.25)
    low, high = edges_of(bins, 0.25)
    assert (np.diff(bins) >= 0).all()
    assert ((low <= values) & (values <= high)).all()
    assert ((high - low) <= np.abs(values - 0.25) / 32 * 1.0001 + 1e-300).all()


def test_few_categories_and_many_are_counted_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [None, "", "a", "a", "\u2603", None, "b"]
    few = profile_of_text(texts), profile_of_text([None]), profile_of_text([])
    monkeypatch.setattr("warehouse.pages.profiling.groups._COUNTED_HERE", -1)
    assert (profile_of_text(texts), profile_of_text([None]), profile_of_text([])) == few
    assert few[0].n_missing == 2


def test_lists_have_no_profile_whatever_is_in_them() -> None:
    lists = ("DECIMAL(4,2)[]", "DECIMAL(4,2)[3]", "TIMESTAMP[]", "DATE[]", "ENUM('a')[]", "DOUBLE[]", "INTEGER[][]")
    types = {f"c{place}": kind for place, kind in enumerate(lists)}
    others = {"s": "STRUCT(a DECIMAL(4,2))", "m": "MAP(VARCHAR, DOUBLE)", "b": "BLOB"}
    assert profiled_columns(types | others, []) == []
    numbers = {"d": "DECIMAL(4,2)", "u": "UINTEGER", "h": "UHUGEINT", "f": "FLOAT"}
    assert [one.scale for one in profiled_columns(numbers, [])] == ["number"] * 4


def test_values_of_arrow_are_those_that_arrow_gives() -> None:
    rng = np.random.default_rng(2)
    for n_values in (0, 1, 8, 63, 1000):
        for share in (0.0, 0.3, 1.0):
            values = rng.normal(size=n_values)
            array = pa.array(values, mask=rng.random(n_values) < share)
            for piece in (array, array.slice(1), array.slice(3, 9), array.slice(n_values)):
                expected = piece.to_numpy(zero_copy_only=False)
                assert np.array_equal(as_floats(piece), expected.astype(float), equal_nan=True)


@pytest.mark.parametrize("batches", [[300_000], [100_000, 1_000, 199_000], [50_000] * 6])
def test_a_page_that_comes_in_many_batches_has_the_profile_of_one(ingested: Suite, batches: list[int]) -> None:
    rng = np.random.default_rng(11)
    x = np.concatenate([rng.normal(50, 20, 299_990), [np.inf, -np.inf, -0.0, 0.0, 1e300, -1e300, np.nan, 50, 50, 50]])
    rng.shuffle(x)
    table = {
        "x": pa.array(x, mask=rng.random(len(x)) < 0.1),
        "few": pa.array(np.round(rng.normal(size=len(x)), 1)),
        "same": pa.array(x),
    }
    product, types = ingested.definitions.product(PRODUCT), dict.fromkeys(table, "DOUBLE")
    other = PageRecord(PRODUCT, "features", PAGE - timedelta(days=1), "published", "r", "", 0, PAGE, 0, n_rows=2)
    page = replace(other, as_of=PAGE, n_rows=len(x))
    centres = {("features", "x"): 50.0, ("features", "few"): 1.0, ("features", "same"): 0.0}
    pages = PageCounts(RowsOfPages(product, "features", "", types, [other, page]), centres)
    found = []
    for start, end in itertools.pairwise(np.cumsum([0, *batches]).tolist()):
        # The other page comes in between, with as many rows as are told apart and one that is not.
        if start and other.n_rows:
            assert not list(pages.add(pa.array([other.as_of], pa.timestamp("us")), [one[:1] for one in table.values()]))
            other = replace(other, n_rows=0)
        instants = pa.array([PAGE] * (end - start), pa.timestamp("us"))
        found += profiles_in(pages.add(instants, [one.slice(start, end - start) for one in table.values()]))
    assert [one.column_name for one in found] == list(table)
    for one in found:
        whole = numbers_counted(table[one.column_name].to_numpy(zero_copy_only=False), one.centre).figures()
        assert {name: getattr(one, name) for name in whole} == whole
    assert [one.n_distinct is None for one in found] == [True, False, True]


@pytest.mark.parametrize("centre", [0.0, 1000.0, -3.5e-310, 1e300])
def test_values_are_counted_in_the_bins_that_they_are_in(centre: float) -> None:
    rng = np.random.default_rng(5)
    values = np.concatenate([rng.normal(1000, 10.0**k, 300) for k in range(-300, 308, 32)])
    values = np.concatenate([values, np.round(rng.normal(size=30_000), 2), [centre, -0.0, 0.0, np.inf, -np.inf]])
    given = [None, np.nan, *values.tolist()]
    counts = numbers_counted(given, centre)
    bins, numbers = np.unique(bins_of(values, centre), return_counts=True)
    figures = counts.figures()
    assert (figures["bins"], figures["counts"]) == (bins.tolist(), numbers.tolist())
    assert (figures["n_rows"], figures["n_missing"]) == (len(given), 2)
    finite = values[np.isfinite(values)]
    assert (figures["low"], figures["high"]) == (finite.min(), finite.max())
    assert figures["n_distinct"] == len(np.unique(values))


@pytest.mark.parametrize("threads", [1, 2, 8])
def test_any_number_of_threads_gives_the_same(ingested: Suite, threads: int) -> None:
    product = ingested.definitions.product(PRODUCT)
    pages = [
        PageRecord(PRODUCT, "features", PAGE + timedelta(days=n), "published", "r", "", 0, PAGE, 0) for n in range(3)
    ]
    made = []
    for n_threads in (1, threads):
        with duckdb.connect() as connection:
            connection.execute(f"SET threads = {n_threads}")
            connection.execute(
                "CREATE TABLE t AS SELECT TIMESTAMP '2026-03-10 18:00' + to_days((i % 2)::INTEGER) AS as_of,"
                " i::VARCHAR AS order_id, sin(i) * 7 AS x, (i % 11)::VARCHAR AS c,"
                " DATE '2020-01-01' + (i % 90)::INTEGER AS d, CASE WHEN i % 3 > 0 THEN i END AS n, [1] AS l"
                " FROM range(300000) r(i)"
            )
            types = dict(connection.execute("SELECT column_name, column_type FROM (DESCRIBE t)").fetchall())
            wanted = RowsOfPages(product, "features", "t", types, pages)
            centres = new_centres(connection, wanted, {})
            made.append((centres, profiles_in(profile_rows(connection, wanted, centres))))
    assert made[0] == made[1]
    profiles = made[0][1]
    assert [one.column_name for one in profiles[:4]] == ["x", "c", "d", "n"]
    assert [one.n_rows for one in profiles[::4]] == [150_000, 150_000, 0]
    assert [one.n_missing for one in profiles if one.column_name == "n"] == [50_000, 50_000, 0]
    assert all(sum(one.counts) + one.n_missing + one.n_other == one.n_rows for one in profiles)


def test_profiles_taken_in_passing_are_those_of_the_staged_file(ingested: Suite, tmp_path: Path) -> None:
    product = ingested.definitions.product(PRODUCT)
    pages = [
        PageRecord(PRODUCT, "features", PAGE + timedelta(days=n), "published", "r", "", 0, PAGE, 0, n_rows=300)
        for n in range(2)
    ]
    file, wanted = tmp_path / "features.parquet", ["as_of", "x", "n"]
    with duckdb.connect() as connection:
        connection.execute(
            "COPY (SELECT TIMESTAMP '2026-03-10 18:00' + to_days((i % 2)::INTEGER) AS as_of, i::VARCHAR AS order_id,"
            " sin(i) AS x, (i % 11)::VARCHAR AS c, CASE WHEN i % 3 > 0 THEN i END AS n FROM range(600) r(i))"
            f" TO '{file}' (FORMAT parquet)"
        )
        types = {"as_of": "TIMESTAMP", "order_id": "VARCHAR", "x": "DOUBLE", "c": "VARCHAR", "n": "BIGINT"}
        staged = StagedRows("features", file, types, pages)
        rows_of_pages = RowsOfPages(product, "features", f"'{file}'", types, pages)
        centres = new_centres(connection, rows_of_pages, {})
        assert in_passing(product, [staged], 2, {}) is None  # a centre is still to be found
        assert in_passing(product, [staged], 3, centres) is None  # other pages are scored too
        for limit, is_whole in ((600, True), (599, False)):
            passing = in_passing(product, [staged], 2, centres)
            assert passing is not None
            more = passing.sql_of_more(wanted)
            query = f"SELECT {', '.join(wanted)}{more} FROM '{file}' LIMIT {limit}"
            batches = passing.counted(connection.execute(query).to_arrow_reader(100), wanted)
            there = pa.Table.from_batches(list(batches), batches.schema)
            assert there.column_names == wanted
            assert there.schema.field("n").type == pa.int64()  # the scorer reads what it would have read
            found = passing.profiles()
            assert (found is not None) == is_whole
            assert not found or profiles_in(found) == profiles_in(profile_rows(connection, rows_of_pages, centres))


def _of_entities_alone(suite: Suite, more: str = "") -> Suite:
    """Let the product's pages have no columns but those of its entities."""
    directory = suite.root / "sql/products" / PRODUCT
    header, entities = directory / "product.yaml", directory / "entities.sql"
    header.write_text(
        header.read_text().replace("  - depot_history\n  - courier_load\n", "").replace("features: ", "#")
    )
    entities.write_text(entities.read_text().replace("    parcels,", f"    parcels,{more}"))
    return reopened(suite)


@pytest.mark.parametrize("at_a_time", [1, 500, 100_000])
def test_profiles_of_rows_in_memory_are_those_of_the_staged_file(ingested: Suite, at_a_time: int) -> None:
    suite = _of_entities_alone(ingested)
    product, file = suite.definitions.product(PRODUCT), suite.lake.staging / "features.parquet"
    days = [PAGE + timedelta(days=n) for n in range(-4, 2)]
    with Sandbox(suite.lake) as sandbox, Batch(sandbox, suite.definitions, product) as batch:
        made = batch.compute(days, file, 2, lambda n_pages: None)
        pages = [
            PageRecord(PRODUCT, "features", page, "published", "r", "", 0, PAGE, 0, n_rows=n_rows)
            for page, n_rows in made.n_rows.items()
        ]
        assert made.held is not None
        found = []
        for relation, most in ((made.held, at_a_time), (parquet(made.files), None)):
            of_pages = RowsOfPages(product, "features", relation, made.columns, pages, most)
            centres = new_centres(batch.cursor, of_pages, {})
            made_of = profiles_in(profile_rows(batch.cursor, of_pages, centres))
            profiles = {(one.as_of, one.column_name): one for one in made_of}
            found.append((centres, profiles))
    assert found[0] == found[1]
    assert len(found[0][1]) == len(days) * len(of_pages.profiled)
    assert all(page.n_rows for page in pages)


def test_rows_are_read_from_the_file_where_it_has_other_types_or_is_joined(ingested: Suite) -> None:
    for suite, names in (
        (ingested, {"courier_open_orders"}),
        (_of_entities_alone(ingested, " promised_at::TIMESTAMP_S AS due,"), {"due"}),
    ):
        product = suite.definitions.product(PRODUCT)
        with Sandbox(suite.lake) as sandbox, Batch(sandbox, suite.definitions, product) as batch:
            made = batch.compute([PAGE], suite.lake.staging / "features.parquet", 1, lambda n_pages: None)
        assert names <= made.columns.keys()
        assert made.held is None


def test_a_page_has_profiles_of_its_columns_in_its_own_commit_and_again_the_same(published: Suite) -> None:
    first = rows(published, OF_PAGES)
    others = "SELECT DISTINCT kind, column_name FROM ledger.profiles WHERE kind <> 'features' ORDER BY kind"
    there = rows(published, others)
    assert there == [("labels", "label"), ("predictions", "probability")]
    of_page = "SELECT count(*), any_value(n_rows) FROM ledger.profiles WHERE kind = 'features' AND as_of = $1"
    n_columns, n_rows = rows(published, of_page, [PAGE])[0]
    assert n_columns > 1
    assert n_rows == rows(published, "SELECT count(*) FROM features.late_order WHERE as_of = $1", [PAGE])[0][0]
    snapshot = published.lake.newest_snapshot()
    run_page(published, PRODUCT, PAGE)
    predictions = [one for one in first if one[1] == "predictions"]
    # The feature page is used again, with the profile that it has.
    assert rows(published, OF_PAGES) == sorted([*first, *predictions], key=lambda one: (one[1], one[2], one[3]))
    assert {one.kind for one in compare_page(published, PRODUCT, PAGE)} == {"features", "predictions", "labels"}
    rollback(published, PRODUCT, PAGE, snapshot)
    assert {one.kind for one in compare_page(published, PRODUCT, PAGE)} == {"features", "predictions", "labels"}


def test_pages_counted_at_once_are_written_as_those_counted_each_for_itself(published: Suite) -> None:
    rng, product = np.random.default_rng(8), published.definitions.product(PRODUCT)
    names = ["", "it's", '"', "\\", "NULL", "\u2603", "[1, 2]", "a,b", None]
    odd = [np.nan, np.inf, -np.inf, -0.0, 0.0, 5e-324, 1e300, 0.1 + 0.2]
    n_rows = [1, 700, 12_000, 40_000, 3, 2, 999]
    groups = []
    for place, n in enumerate(n_rows):
        x = [
            odd[:1],
            rng.choice(odd, n),
            rng.normal(50, 9, n),
            rng.normal(50, 9, n),
            odd[1:3],
            odd[:2],
            rng.choice(9, n),
        ]
        texts = rng.choice(np.array(names, object), n).tolist() if place % 3 else [f"{one}" for one in range(n)]
        groups.append((np.resize(x[place], n).astype(float), texts))
    pages = [
        PageRecord(
            PRODUCT, "features", PAGE + timedelta(days=900 + place), "published", "odd", "", 0, PAGE, 0, n_rows=n
        )
        for place, n in enumerate(n_rows)
    ]
    of, centres = (
        RowsOfPages(product, "features", "", {"x": "DOUBLE", "c": "VARCHAR"}, pages),
        {("features", "x"): 50.0},
    )
    instants = pa.array([page.as_of for page in pages for _ in range(page.n_rows)], pa.timestamp("us"))
    arrays = [pa.array(np.concatenate([x for x, _ in groups]), pa.float64())]
    arrays.append(pa.array([text for _, texts in groups for text in texts], pa.string()))
    tables = list(PageCounts(of, centres).add(instants, arrays))
    with published.lake.commit("odd") as commit:
        append_profiles(commit, tables, pages[1:])  # the first was not published after all
    written = "SELECT * FROM ledger.profiles WHERE run_id = 'odd' ORDER BY as_of, column_name DESC"
    with published.lake.reading() as connection:
        found = [Profile(**row) for row in connection.execute(written).to_arrow_table().to_pylist()]
    expected = []
    for page, (x, texts) in list(zip(pages, groups, strict=True))[1:]:
        of_page = (PRODUCT, "features", page.as_of)
        expected.append(Profile(*of_page, "x", "number", "odd", **numbers_counted(x, 50.0).figures()))
        expected.append(Profile(*of_page, "c", "category", "odd", **texts_counted(texts).figures()))
    assert [str(one) for one in found] == [str(one) for one in expected]  # negative zero is equal to zero


def test_pages_without_profiles_get_the_ones_that_they_would_have_had(published: Suite) -> None:
    before, centres = rows(published, OF_PAGES), "FROM ledger.profile_centres ORDER BY ALL"
    there = {row[1:4] for row in rows(published, centres)}
    with published.lake.commit("as a lake of before") as commit:
        commit.execute("DELETE FROM ledger.profiles")
        commit.execute("DELETE FROM ledger.profile_centres")
    with pytest.raises(NotFoundError, match="almanac monitor late_order --profile"):
        compare_page(published, PRODUCT, PAGE)
    assert [one.had for one in monitor(published, PRODUCT)] == [0, 0, 0]
    made = json.loads(said(published.root, "monitor", PRODUCT, "--profile", "--json"))
    assert [one["made"] for one in made] == [one["published"] for one in made]
    assert rows(published, OF_PAGES) == before
    assert {row[1:4] for row in rows(published, centres)} == there
    assert [one.made for one in monitor(published, PRODUCT, make_profiles=True)] == [0, 0, 0]


def test_a_longer_hash_of_values_as_it_was_written_before_tells_the_same(published: Suite) -> None:
    with published.lake.reading() as connection:
        now = read_series(connection, PRODUCT, [PAGE])
    assert {len(one) for series in now for one in series.values if one is not None} == {8}
    with published.lake.commit("as it was written before") as commit:
        commit.execute("UPDATE ledger.profiles SET values_hash = values_hash || 'c0ffee00'")
    with published.lake.reading() as connection:
        before = read_series(connection, PRODUCT, [PAGE])
    assert [one.values.tolist() for one in before] == [one.values.tolist() for one in now]


def test_a_reference_is_the_last_eight_pages_of_the_same_weekday(published: Suite) -> None:
    product = published.definitions.product(PRODUCT)
    days = [PAGE - timedelta(days=n) for n in range(1, 100)] + [PAGE + timedelta(days=7), PAGE]
    assert reference_pages(product, PAGE, days) == [PAGE - timedelta(weeks=n) for n in range(8, 0, -1)]
    assert reference_pages(product, PAGE, [PAGE]) == []


def test_missing_new_and_far_values_are_bins_of_the_distribution() -> None:
    rng = np.random.default_rng(5)
    usual = [profile_of(rng.normal(0, 1, 900)) for _ in range(8)]
    same = compare(profile_of(rng.normal(0, 1, 900)), usual)
    assert same.psi is not None
    assert same.psi < 3 * (same.by_chance or 0)
    gone = rng.normal(0, 1, 900)
    gone[:540] = np.nan
    assert (compare(profile_of(gone), usual).psi or 0) > 1
    one_far = rng.normal(0, 1, 900)
    apart = compare(profile_of(one_far), usual).psi or 0
    one_far[0] = 1e9
    assert abs((compare(profile_of(one_far), usual).psi or 0) - apart) < 0.01
    texts = [profile_of_text(["a", "b"] * 300)]
    renamed = compare(profile_of_text(["a", "B"] * 300), texts)
    assert [(one.name, one.n_page) for one in renamed.bins] == [("a", 300), ("b", 0), ("(new)", 300)]
    assert (renamed.psi or 0) > 1


def test_what_cannot_be_compared_has_no_distance() -> None:
    number = profile_of([1.0, 2.0, 3.0])
    assert compare(number, []).psi is None
    assert compare(profile_of([]), [number]).psi is None
    assert compare(profile_of([None, None]), [profile_of([None])]).psi is None
    assert compare(profile_of([5.0] * 9), [profile_of([5.0] * 9)]).psi is None
    assert compare(number, [replace(number, centre=1.0)]).psi is None


def _samples(case: str) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(7)
    if case == "ln_scale":
        return rng.lognormal(0, 1, 5000), rng.lognormal(0, 1.3, 2000)
    location = {"n_same": 0.0, "n_shift": 0.3, "n_shift_one_outlier": 1.0}[case]
    reference, page = rng.normal(0, 1, 5000), rng.normal(location, 1, 2000)
    if case == "n_shift_one_outlier":
        page[0] = 1e9
    return reference, page


def _expected(case: str, statistic: str) -> float:
    return next(float(row["value"]) for row in VECTORS if (row["case"], row["statistic"]) == (case, statistic))


CASES = ["n_same", "n_shift", "ln_scale", "n_shift_one_outlier"]


@pytest.mark.parametrize("case", CASES)
def test_distances_of_the_same_bins_are_those_of_other_tools(case: str) -> None:
    reference, page = _samples(case)
    # Deciles of the reference, with 1e-4 for an empty bin, are what most people call PSI.
    cuts = np.quantile(reference, np.arange(1, 10) / 10)
    shares = [np.bincount(np.searchsorted(cuts, x, side="right"), minlength=10) / len(x) for x in (page, reference)]
    js = distances.jensen_shannon_distance(*shares) / np.sqrt(np.log(2))
    assert js == pytest.approx(_expected(case, "js_distance_base2_deciles"), rel=1e-9)
    filled = [np.where(share == 0, 1e-4, share) for share in shares]
    psi = distances.population_stability_index(*filled)
    assert psi == pytest.approx(_expected(case, "psi_deciles_of_reference"), rel=1e-9)
    # NannyML's bins are numpy's `doane` of the reference, and what lies outside is one more.
    edges = np.histogram_bin_edges(reference, "doane")
    inner = [np.histogram(x, edges)[0] / len(x) for x in (page, reference)]
    outer = [np.append(share, 1 - share.sum()) for share in inner]
    hellinger = distances.hellinger_distance(*outer)
    assert hellinger == pytest.approx(_expected(case, "nannyml_hellinger"), rel=1e-6)
    js = distances.jensen_shannon_distance(*outer) / np.sqrt(np.log(2))
    assert js == pytest.approx(_expected(case, "nannyml_jensen_shannon"), rel=1e-6)


@pytest.mark.parametrize("case", CASES)
def test_distances_of_profiles_are_those_of_the_values_but_for_the_width_of_bins(case: str) -> None:
    reference, page = _samples(case)
    found = compare(profile_of(page), [profile_of(reference)])
    assert found.ks == pytest.approx(_expected(case, "ks_statistic"), abs=0.01)
    assert found.wasserstein == pytest.approx(_expected(case, "wasserstein"), rel=0.02, abs=0.005)
    # Ours takes the deciles of both together, and half a row for an empty bin.
    assert found.psi == pytest.approx(_expected(case, "psi_deciles_of_reference"), rel=0.2, abs=0.01)


def test_the_command_shows_figures_and_a_columns_distribution(published: Suite) -> None:
    shown = said(published.root, "profile", PRODUCT, "--page", PAGE.isoformat())
    assert f"features of the page {PAGE}" in shown
    shown = json.loads(said(published.root, "profile", PRODUCT, "--page", PAGE.isoformat(), "--json"))
    assert [one["kind"] for one in shown] == ["features", "predictions", "labels"]
    name = shown[0]["columns"][0]["column"]
    shown = said(published.root, "profile", PRODUCT, "--page", PAGE.isoformat(), "--column", name)
    assert f"{name}: share of rows" in shown
    with pytest.raises(NotFoundError, match="column nothing"):
        compare_page(published, PRODUCT, PAGE, "nothing")
