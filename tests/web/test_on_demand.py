"""An entity that no page has is scored from the bundle, to the bit as the newest page would have scored it."""

from __future__ import annotations

import contextlib
import json
import random
import shutil
import sqlite3
import subprocess
import sys
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

import pytest

from jobs.bundles.bundle_reader import Bundle, open_bundle
from jobs.bundles.key_columns import NOWHERE, KeyColumn, KeyRefused
from jobs.bundles.on_demand import OnDemand, Scoring
from jobs.bundles.one_file import javascript_file, one_file
from jobs.export.export import export
from jobs.facts.ingest import ingest
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.predict import run_page
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from jobs.web.answers import answer
from jobs.web.openapi import description
from tests.conftest import NOW, PAGE, PRODUCT, clock_at, reopened
from tests.lakes import rows
from tests.web.bundles import key_pair, with_bundle
from warehouse.errors import DefinitionError

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Route
    from playwright.sync_api import Page as BrowserPage

ROOT = Path(__file__).parents[2]
TARGET = "{to: out/late.bundle, signed_with: BUNDLE_KEY, format: json}"
ASKED = ("depot", "courier", "parcels", "promised_hours", "hours_left")


def rewritten(suite: Suite, file: str, old: str, new: str) -> Suite:
    path = suite.root / f"sql/{file}"
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))
    return reopened(suite)


def asking(suite: Suite) -> Suite:
    header = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + "\non_demand: true\n")
    return reopened(suite)


def page_of(suite: Suite) -> dict[str, tuple[dict[str, Any], float]]:
    """Give the columns of entities.sql and the prediction of each entity of the page."""
    listed = ", ".join(f"features.{name}" for name in ASKED)
    query = (
        f"SELECT order_id, probability, {listed} FROM predictions.{PRODUCT} JOIN features.{PRODUCT} AS features"
        " USING (as_of, order_id) WHERE as_of = $1 ORDER BY order_id"
    )
    return {row[0]: (dict(zip(ASKED, row[2:], strict=True)), row[1]) for row in rows(suite, query, [PAGE])}


def exported(suite: Suite) -> Bundle:
    assert export(suite, PRODUCT, "served").failed == {}
    return open_bundle(suite.root / "out/late.bundle")


def invented(number: int) -> dict[str, Any]:
    """Give an entity that no source has, of any depots and couriers, with what is not known among them."""
    drawn = random.Random(number)
    return {
        "depot": drawn.choice(["north", "south", "east", "west", "harbour", "nowhere", "", None]),
        "courier": drawn.choice(["Metro", "Royal", "Swift", "nobody", "é", None]),
        "parcels": drawn.choice([None, 0, 1, 2, 3, 4, 5, 9, -1, 2_000_000_000]),
        "promised_hours": drawn.choice([None, 1, 4, 9, 20, 30, 80, 2**53 + 1]),
        "hours_left": drawn.choice([None, *range(0, 40, 3), -7]),
    }


def with_rows(suite: Suite, extra: dict[str, dict[str, Any]]) -> Suite:
    """Let the product's pages have entities besides."""
    listed = ",\n    ".join(
        f"({', '.join('NULL' if value is None else repr(value) for value in (key, *row.values()))})"
        for key, row in extra.items()
    )
    path = suite.root / f"sql/products/{PRODUCT}/entities.sql"
    path.write_text(f"{path.read_text()}UNION ALL\nSELECT * FROM (VALUES\n    {listed}\n)\n")
    return reopened(suite)


@pytest.fixture(scope="module")
def world(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Suite, dict[str, tuple[Any, float]]]:
    """A suite whose newest page lacks entities, and what it would have held of them."""
    root = tmp_path_factory.mktemp("on_demand") / "shop"
    shutil.copytree(_trained, root)
    suite = asking(with_bundle(open_suite(root, clock_at(NOW))))
    entities = root / f"sql/products/{PRODUCT}/entities.sql"
    told = entities.read_text()
    suite = with_rows(suite, {f"new {number}": invented(number) for number in range(120)})
    run_page(suite, PRODUCT, PAGE)
    whole = page_of(suite)
    # The same page without them, and without some whose facts stay what they were.
    entities.write_text(told.replace("WHERE", "WHERE hash(order_id) % 3 > 0 AND"))
    suite = reopened(suite)
    run_page(suite, PRODUCT, PAGE)
    there = page_of(suite)
    return suite, {key: row for key, row in whole.items() if key not in there}


World = tuple[Suite, dict[str, tuple[dict[str, Any], float]]]


def test_what_is_scored_on_demand_is_what_the_page_would_have_held(world: World) -> None:
    suite, left_out = world
    assert len(left_out) > 125
    assert len({probability for _, probability in left_out.values()}) > 20
    with contextlib.closing(exported(suite)) as bundle:
        assert bundle.manifest.not_on_demand is None
        for order, (given, probability) in left_out.items():
            said = bundle.look_up({"order_id": order, **given}, PAGE)
            assert said is not None
            assert (said["made"], said["as_of"]) == ("on demand", f"{PAGE.isoformat()}Z")
            assert said["model_version"] == "v1"
            assert said["probability"].hex() == probability.hex(), given
            assert said["valid_until"] == "2026-03-13T18:00:00Z"


@pytest.fixture
def copied(world: World, tmp_path: Path) -> Suite:
    """A copy of that suite, to be changed."""
    shutil.copytree(world[0].root, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW))


def why_not(suite: Suite) -> str:
    """Export what is current anew, and give why nothing is scored."""
    shutil.rmtree(suite.root / "out", ignore_errors=True)
    assert export(suite, PRODUCT, "served").failed == {}
    with contextlib.closing(open_bundle(suite.root / "out/late.bundle")) as bundle:
        said = json.loads(f"{{{answer(bundle, {'order_id': 'nobody'}, 0).inside}}}")
        assert said == {"keys": {"order_id": "nobody"}, "made": "nothing", "why": bundle.manifest.not_on_demand}
        return str(bundle.manifest.not_on_demand)


def test_facts_that_came_after_the_page_change_nothing_of_it(copied: Suite, world: World) -> None:
    # Orders that were all delivered a week late, of which nobody had told by then.
    depots, couriers = ("east", "harbour", "north", "south", "west"), ("Metro", "Royal", "Swift")
    late = [f"L{n},{depots[n % 5]},{couriers[n % 3]},9,2026-03-01 12:00:00,2026-03-02 12:00:00" for n in range(600)]
    for name, lines in (("orders", late), ("deliveries", [f"L{n},2026-03-09 12:00:00" for n in range(600)])):
        header = (copied.root / f"data/{name}.csv").read_text().splitlines()[0]
        (copied.root / f"data/{name}_late.csv").write_text("\n".join([header, *lines]) + "\n")
    ingest(copied)
    # Also where the features alone were made again, with them: the page's predictions are of the earlier ones.
    ensure_feature_pages(copied, copied.definitions.product(PRODUCT), [PAGE], Silent())
    shutil.rmtree(copied.root / "out", ignore_errors=True)
    with contextlib.closing(exported(copied)) as bundle:
        for order, (given, probability) in list(world[1].items())[:60]:
            assert (bundle.look_up({"order_id": order, **given}, PAGE) or {})["probability"] == probability
    # And where the page was made again, it is another one.
    run_page(copied, PRODUCT, PAGE)
    with contextlib.closing(exported(copied)) as bundle:
        found = {order: bundle.look_up({"order_id": order, **row[0]}, PAGE) for order, row in world[1].items()}
        assert any((found[order] or {})["probability"] != row[1] for order, row in world[1].items())


def test_what_cannot_be_made_exactly_is_left_out_with_the_reason(copied: Suite) -> None:
    run_page(rewritten(copied, "features/depot_history.sql", "::INTEGER", "::DOUBLE"), PRODUCT, PAGE)
    assert "depot_history.sql: avg of delivered_at add up DOUBLE" in why_not(reopened(copied))
    assert "the definitions have changed" in why_not(
        rewritten(copied, "features/depot_history.sql", "28 DAY", "27 DAY")
    )


def test_what_a_request_gives_is_held_to_its_type_and_told_if_it_lacks(world: World) -> None:
    suite, left_out = world
    given, probability = left_out["new 1"]
    with contextlib.closing(exported(suite)) as bundle:
        for name, value in {"parcels": "many", "hours_left": 1.5, "depot": 3, "promised_hours": 2**63}.items():
            with pytest.raises(KeyRefused, match=name):
                bundle.look_up({"order_id": "x", **given, name: value}, PAGE)
        # Also where the request does not give what scoring takes, and where a page has the entity.
        with pytest.raises(KeyRefused, match="parcels"):
            bundle.look_up({"order_id": "x", "parcels": 2**70}, PAGE)
        # Nor is an entity scored that no page could have: half of a pair of surrogates is in no text.
        with pytest.raises(KeyRefused, match="`order_id` is VARCHAR, which cannot hold that value"):
            bundle.look_up({"order_id": "late\ud800", **given}, PAGE)
        assert bundle.look_up({"order_id": "late\ud800", "depot": "east"}, PAGE) is None
        # No page has an entity without a key.
        assert answer(bundle, {"order_id": None, **given}, 0).made == "nothing"
        said = json.loads(f"{{{answer(bundle, {'order_id': 'x', 'depot': 'east'}, 0).inside}}}")
        assert said["made"] == "nothing"
        assert said["why"] == "to be scored on demand it lacks: courier, parcels, promised_hours, hours_left"
        with pytest.raises(KeyRefused, match="for entities that no page has: depot, courier, parcels"):
            bundle.look_up({"order_id": "x", "other": 1}, PAGE)
        assert bundle.look_up({"order_id": "new 1", **given}, PAGE + timedelta(days=3)) is None
        # An entity that a page has is looked up, whatever the request says of it.
        known = next(iter(page_of(suite)))
        assert (bundle.look_up({"order_id": known, **given}, PAGE) or {})["made"] == "page"
        paths = description([bundle.manifest], has_token=False)["paths"]
        parameters = paths[f"/v1/{PRODUCT}/predictions"]["get"]["parameters"]
        assert [one["name"] for one in parameters] == ["order_id", *ASKED]
    one_file_reads_it_too(suite, given, probability)


def test_an_entity_whose_key_its_column_cannot_hold_is_not_scored() -> None:
    # The model reads neither key, so that nothing else would look at them.
    told = OnDemand((), (), (), (), "probability", '"made": 1', 1, None)
    keys = [KeyColumn("flight", "SMALLINT"), KeyColumn("day", "DATE")]
    with contextlib.closing(sqlite3.connect(":memory:")) as database:
        scoring = Scoring(database, told, keys)
        for wrong in (1.5, "40000", -(2**15) - 1):
            with pytest.raises(KeyRefused, match="`flight` is SMALLINT, which cannot hold that value"):
                scoring.score({"flight": wrong, "day": "2026-03-10"})


def one_file_reads_it_too(suite: Suite, given: dict[str, Any], probability: float) -> None:
    asked = {"order_id": "new", **given}
    file = suite.root / "reader.py"
    file.write_text(
        f"{one_file()}\nreader = open_bundle({str(suite.root / 'out/late.bundle')!r})\n"
        f"print(reader.look_up({asked!r}, datetime(2026, 3, 10, 19))['probability'].hex())\n"
    )
    run = [sys.executable, "-I", "-S", str(file)]
    assert subprocess.run(run, capture_output=True, text=True, check=True).stdout.strip() == probability.hex()


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("", "", "goes with a target under `export`"),
        ("kind: binary", "kind: multiclass", "of binary and regression labels"),
    ],
)
def test_a_product_that_cannot_be_scored_on_demand_is_told(starter: Path, old: str, new: str, told: str) -> None:
    header = starter / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text().replace(old, new) + "\non_demand: true\n")
    with pytest.raises(DefinitionError, match=told):
        open_suite(starter, clock_at(NOW))


@pytest.fixture
def in_browser(copied: Suite, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A directory with what a browser needs: a signed bundle with plain JSON, the key, the reader, the example page."""
    pair = key_pair(copied.root)
    monkeypatch.setenv("BUNDLE_KEY", str(pair.private))
    rewritten(copied, f"products/{PRODUCT}/product.yaml", "{to: out/late.bundle}", TARGET)
    header = copied.root / f"sql/products/{PRODUCT}/product.yaml"
    header.write_text(header.read_text() + "fallback: {levels: {depot: [depot], all: []}}\n")
    suite = reopened(copied)
    run_page(suite, PRODUCT, PAGE)
    exported(suite).close()
    out = suite.root / "out"
    (out / "late.bundle").rename(out / "late_order.bundle")
    (out / "public.pem").write_text(pair.public)
    (out / "almanac_bundles.js").write_text(javascript_file())
    shutil.copy(ROOT / "docs/edge_example.html", out / "index.html")
    return out


def seen_by(browser: Browser, directory: Path) -> BrowserPage:
    """Give a page of the directory, which no network answers."""
    page = browser.new_context().new_page()

    def answered(route: Route) -> None:
        file = directory / urlsplit(route.request.url).path.lstrip("/")
        route.fulfill(path=file) if file.is_file() else route.fulfill(status=404)

    page.route("**/*", answered)
    page.goto("https://edge.example/index.html?now=2026-03-10T19:00Z")
    return page


#: Gives what a bundle says of each of some keys, or the class and message of what it refuses.
LOOK_UP = """async ([options, asked, at]) => {
    const {openBundle} = await import("/almanac_bundles.js");
    const told = (error) => [error.constructor.name, error.message];
    try {
        const now = options.now ? new Date(options.now) : null;
        const bundle = await openBundle("late_order.bundle", {...options, now});
        return asked.map((keys) => {
            try { return bundle.lookUp(keys, new Date(at)); } catch (error) { return told(error); }
        });
    } catch (error) { return told(error); }
}"""


#: What is said of an entity whose key ends in half of a pair of surrogates, which does not come through to a browser.
OF_NO_PAGE = """async ([keys, at]) => {
    const {openBundle} = await import("/almanac_bundles.js");
    const bundle = await openBundle("late_order.bundle", {});
    try { return bundle.lookUp({...keys, order_id: keys.order_id + String.fromCharCode(0xd800)}, new Date(at)); }
    catch (error) { return [error.constructor.name, error.message]; }
}"""


@pytest.mark.browser
def test_a_browser_without_a_network_says_the_same_bit_for_bit(
    in_browser: Path, world: World, browser: Browser
) -> None:
    public = (in_browser / "public.pem").read_text()
    asked = [{"order_id": order, **given} for order, (given, _) in world[1].items()]
    asked += [{"order_id": "x", "depot": "east"}, {"order_id": "x", "depot": None}, {"order_id": "x"}]
    page = seen_by(browser, in_browser)
    with contextlib.closing(open_bundle(in_browser / "late_order.bundle", public)) as bundle:
        for (known,) in bundle._database.execute("SELECT order_id FROM predictions"):
            asked.append({"order_id": known})
        found = page.evaluate(LOOK_UP, [{"publicKey": public}, asked, "2026-03-10T19:00:00Z"])
        expected = [bundle.look_up(keys, PAGE + timedelta(hours=1)) for keys in asked]
    assert {said["made"] for said in expected if said} == {"page", "on demand", "fallback depot", "fallback all"}
    for one, other in zip(found, expected, strict=True):
        assert one == other
        assert one["probability"].hex() == other["probability"].hex()
    assert page.evaluate(LOOK_UP, [{}, asked[:1], "2026-03-13T18:00:00Z"]) == [None]
    wrong = [{"order_id": 5}, {"courier": "Metro"}, {**asked[0], "parcels": "many"}, {**asked[0], "hours_left": 1.5}]
    wrong.append({"order_id": "x", "parcels": "9" * 20})
    told = page.evaluate(LOOK_UP, [{}, wrong, "2026-03-10T19:00:00Z"])
    assert [one[0] for one in told] == ["KeyRefused"] * 5
    assert "8 " not in page.locator("#answer").inner_text()[:2]
    page.fill("[name=order_id]", "new order")
    for name, value in {"depot": "east", "courier": "Metro", "parcels": "2", "promised_hours": "24"}.items():
        page.fill(f"[name={name}]", value)
    page.fill("[name=hours_left]", "23")
    page.click("button")
    assert '"made": "on demand"' in page.locator("#answer").inner_text()
    half = {"order_id": "late", **world[1]["new 1"][0]}
    assert page.evaluate(OF_NO_PAGE, [half, "2026-03-10T19:00:00Z"]) == [
        "KeyRefused", "`order_id` is VARCHAR, which cannot hold that value",
    ]  # fmt: skip
    page.context.close()


@pytest.mark.browser
def test_a_browser_refuses_what_was_changed_and_what_is_old(in_browser: Path, browser: Browser) -> None:
    public, at = (in_browser / "public.pem").read_text(), "2026-03-10T19:00:00Z"
    page = seen_by(browser, in_browser)
    manifest = in_browser / "late_order.bundle/manifest.json"
    told = json.loads(json.loads(manifest.read_text())["manifest"])
    held = {**told, "published_at": "2027-01-01T00:00:00"}

    def refused(**options: Any) -> str:
        return str(page.evaluate(LOOK_UP, [options, [], at])[0])

    assert refused(publicKey=public, held=held) == "Older"
    assert refused(now="2026-03-13T18:00:00Z") == "Expired"
    assert refused(held={**told, "product": "other"}) == "BundleRefused"
    (in_browser / "other").mkdir()
    assert refused(publicKey=key_pair(in_browser / "other").public) == "WronglySigned"
    whole = manifest.read_text()
    manifest.write_text(whole.replace("2026-03-13", "2027-03-13"))
    assert refused(publicKey=public) == "WronglySigned"
    manifest.write_text(whole[:-40])
    assert refused() == "Damaged"
    manifest.write_text(whole)
    plain = in_browser / "late_order.bundle" / told["json"]["file"]
    plain.write_bytes(plain.read_bytes()[:-1])
    assert refused(publicKey=public) == "Damaged"
    manifest.unlink()
    assert refused() == "NotThere"
    page.context.close()


TYPES = (
    "TINYINT",
    "SMALLINT",
    "BIGINT",
    "HUGEINT",
    "UTINYINT",
    "UBIGINT",
    "UHUGEINT",
    "DECIMAL(9,2)",
    "DECIMAL(4,4)",
    "DOUBLE",
    "BOOLEAN",
    "VARCHAR",
    "DATE",
)
VALUES = (
    *(1, -7, 0, 1.5, -0.0, 1e21, 1e300, 2.0, 1e-7, 12.34, True, False, "1", "+5", "-0", "007", "1.50", "1.505", ".5"),
    *("1e3", "nan", "", " 1", "true", "TRUE", "t", "é", "\u0661", "9" * 25, "9" * 61, "9223372036854775808", "0.1234"),
    *(
        127,
        128,
        -128,
        -129,
        255,
        256,
        32767,
        32768,
        "65536",
        str(2**127 - 1),
        str(2**127),
        str(2**128 - 1),
        str(2**128),
    ),
    *(str(2**64 - 1), str(2**64), str(-(2**63)), str(-(2**63) - 1), str(-(2**127)), str(-(2**127) - 1)),
    *("-2.46E-83", "1e999", 1e-300, 5e-324),
    *("2026-03-10", "2026-02-30", "2024-02-29", "0000-01-01", "2026-3-1", "2026-03-10T18:00Z", "2026-03-10 18:00:59"),
    *("2026-03-10T18:00:00.5+02:00", "2026-03-10T24:00", "1969-12-31T23:59:59.999999-05:30", "2026-03-10T18"),
    *("0B5E0C3E-6C1F-4D0F-9A55-0D6F2F6F1F0A", "0b5e0c3e6c1f4d0f9a550d6f2f6f1f0a", [], {}, "late\x00order"),
)


@pytest.mark.browser
def test_a_browser_reads_keys_as_the_reader_in_python_does(browser: Browser, tmp_path: Path) -> None:
    (tmp_path / "reader.js").write_text(javascript_file())
    (tmp_path / "index.html").write_text("<!doctype html>")
    read = """async ([types, values]) => {
        const {reading, NOWHERE} = await import("/reader.js");
        return types.map((type) => {
            const read = reading({name: "key", type});
            return values.map((value) => {
                try { const kept = read(value); return kept === NOWHERE ? "nowhere" : ["kept", kept]; }
                catch { return "refused"; }
            });
        });
    }"""
    types = [*TYPES, "TIMESTAMP", "UUID"]
    page = seen_by(browser, tmp_path)
    found = page.evaluate(read, [types, list(VALUES)])
    for kind, of_kind in zip(types, found, strict=True):
        column = KeyColumn("key", kind)
        for value, kept in zip(VALUES, of_kind, strict=True):
            try:
                expected: Any = column.reading()(value)
            except KeyRefused:
                expected = "refused"
            if expected is NOWHERE:
                expected = "nowhere"
            elif expected != "refused":
                expected = ["kept", str(expected) if column.storage == "INTEGER" else expected]
            if kind == "DOUBLE" and kept[0] == "kept":
                kept = ["kept", float(kept[1])]
            assert kept == expected, (kind, value)
    page.context.close()
