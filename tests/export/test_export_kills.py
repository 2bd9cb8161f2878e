"""An export that is killed leaves each target with one publication, whole; readers all the while see no other."""

from __future__ import annotations

import contextlib
import random
import threading
import time
from typing import Any

from jobs.bundles.bundle_reader import open_bundle
from jobs.export.export import export
from jobs.pages.predict import run_page
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from tests.effort import times
from tests.export.targets import in_duckdb, in_sqlite, manifest, with_targets
from tests.lakes import rows
from tests.page_makers import PageMaker

KILLS = times(5)
TARGETS = """
export:
  app: {to: out/predictions.sqlite}
  analysts: {to: out/predictions.duckdb, table: late}
  files: {to: out/pages/}
  served: {to: out/late.bundle}
"""
MADE_BY = "SELECT count(*), min(run_id), max(run_id) FROM"


def publishes_and_exports_forever(suite: Suite) -> None:
    while True:
        run_page(suite, PRODUCT, PAGE)
        export(suite, PRODUCT)


def seen(suite: Suite) -> dict[str, tuple[Any, ...]]:
    """Give how many rows each target that is there has, and the runs that made them."""
    found: dict[str, tuple[Any, ...]] = {}
    out = suite.root / "out"
    if (out / "predictions.sqlite").exists():
        found["app"] = in_sqlite(suite, f"{MADE_BY} late_order")[0]
    if (out / "predictions.duckdb").exists():
        found["analysts"] = in_duckdb(suite, f"{MADE_BY} late")[0]
    if (out / "pages/manifest.json").exists():
        file = out / "pages" / manifest(suite)["pages"][0]["file"]
        found["files"] = in_duckdb(suite, f"{MADE_BY} read_parquet('{file}')")[0] if "analysts" in found else ()
    if (out / "late.bundle/manifest.json").exists():
        with contextlib.closing(open_bundle(out / "late.bundle")) as bundle:
            query = "SELECT count(*), min(facts ->> 'run_id'), max(facts ->> 'run_id') FROM"
            facts = "SELECT '{' || facts || '}' AS facts FROM predictions JOIN almanac_made USING (almanac_made)"
            found["served"] = bundle._database.execute(f"{query} ({facts})").fetchone()
    return {name: row for name, row in found.items() if row}


def test_kills_at_random_moments(trained: Suite) -> None:
    suite = with_targets(trained, TARGETS)
    n_rows = run_page(suite, PRODUCT, PAGE).n_rows
    export(suite, PRODUCT)
    dice, torn, done = random.Random(1), list[Any](), threading.Event()

    def look_all_the_while() -> None:
        while not done.is_set():
            torn.extend(row for row in seen(suite).values() if row[0] != n_rows or row[1] != row[2])

    reader = threading.Thread(target=look_all_the_while)
    reader.start()
    try:
        for _ in range(KILLS):
            maker = PageMaker(suite, publishes_and_exports_forever)
            maker.let_go()
            time.sleep(dice.uniform(0, 2.5))
            maker.kill()
    finally:
        done.set()
        reader.join()
    assert torn == []
    assert export(suite, PRODUCT).failed == {}
    made_by = rows(suite, f"{MADE_BY} predictions.{PRODUCT}")[0]
    assert seen(suite) == dict.fromkeys(("app", "analysts", "files", "served"), made_by)
    assert not [path.name for path in (suite.root / "out").rglob(".*") if not path.name.endswith(".new")]
    # The next export clears away what killed ones had begun.
    for name in (".late_order-killed.new", ".late_order-killed.new-journal"):
        (suite.root / "out/late.bundle" / name).touch()
    run_page(suite, PRODUCT, PAGE)
    export(suite, PRODUCT)
    assert list((suite.root / "out").rglob(".*")) == []
    assert export(suite, PRODUCT).sent == []
