"""Classes and quantiles on real data: CDNOW's customers and New York's flights, trained, written and measured.

    python -m tests.benchmarks.bench_kinds [cdnow] [flights]

From this repository's own SQL, with other labels. Of customers: how many purchases they make in the next 12 weeks, as
classes, and what they spend, as quantiles; of flights: whether they come on time, late or are cancelled. Figures are of
pages after the training, against labels that it had not seen, beside those of what is always frequent. The data come
with the extras `cdnow` and `demo`, whose packages hold them.
"""

from __future__ import annotations

import argparse
import re
import shutil
import tempfile
from datetime import datetime
from pathlib import Path

from jobs.facts.ingest import ingest
from jobs.monitoring.evaluate import Evaluation, evaluate
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import open_suite
from jobs.suites.starter import make_bare
from jobs.training.train import train
from tests.benchmarks.timing import machine, table, versions

SQL = Path(__file__).parents[2] / "sql"
PURCHASES = """/*
description: How many purchases the customer makes in the 12 weeks from the page's day on.
*/
WITH customers AS (
    SELECT customer_id
    FROM purchases
    WHERE known_at < $as_of AND known_at >= $as_of - INTERVAL 182 DAY
    GROUP BY customer_id
),

made AS (
    SELECT customer_id, count(*) AS purchases
    FROM purchases
    WHERE bought_on >= $as_of::DATE AND bought_on < $as_of::DATE + 84
    GROUP BY customer_id
)

SELECT
    customer_id,
    CASE coalesce(purchases, 0) WHEN 0 THEN 'none' WHEN 1 THEN 'one' WHEN 2 THEN 'two' ELSE 'more' END AS label
FROM customers
LEFT JOIN made USING (customer_id)
WHERE $known_by >= $as_of + INTERVAL 84 DAY
"""
OUTCOMES = """/*
description: Whether the flight came on time, half an hour late or more, or was cancelled; diverted ones have no label.
*/
SELECT
    flight_date,
    carrier,
    flight,
    origin,
    CASE WHEN outcome = 'cancelled' THEN 'cancelled' WHEN arrival_delay >= 30 THEN 'late' ELSE 'on time' END AS label
FROM landings
WHERE flight_date = ($as_of AT TIME ZONE 'UTC' AT TIME ZONE 'America/New_York')::DATE + 1
    AND outcome IN ('landed', 'cancelled')
"""
FLIGHT_GROUPS = ("calendar", "carrier_history", "route_history", "origin_history", "carrier_today", "origin_today",
                 "airport_weather", "congestion")  # fmt: skip


def take(root: Path, sources: tuple[str, ...], groups: tuple[str, ...], product: str, name: str) -> Path:
    """Copy definitions of this repository into a suite, a product under another name; give its directory."""
    for kind, names in (("sources", sources), ("features", groups)):
        for each in names:
            for path in (SQL / kind).glob(each):
                shutil.copy(path, root / "sql" / kind / path.name)
    target = root / "sql/products" / name
    shutil.copytree(SQL / "products" / product, target)
    shutil.rmtree(target / "checks")
    return target


def relabel(directory: Path, kind: str, label: str | None, **changes: str) -> None:
    """Give a product another label, a training of the estimator for it, and changed keys of product.yaml."""
    header = directory / "product.yaml"
    text = re.sub(r"^label: \{kind: \w+", f"label: {{{kind}", header.read_text(), flags=re.M)
    if "multiclass" in kind:
        text = text.replace("_regressor", "_classifier")
    for old, new in changes.items():
        text = re.sub(old, new, text, flags=re.M | re.S)
    header.write_text(text)
    if label is not None:
        (directory / "label.sql").write_text(label)


def measured(root: Path, product: str, trained_as_of: datetime, until: datetime, now: datetime) -> Evaluation:
    """Train, write the pages after, and measure them."""
    suite = open_suite(root, lambda: now)
    train(suite, product, trained_as_of)
    suite = open_suite(root, lambda: now)
    backfill(suite, BackfillOrder(product, trained_as_of, until))
    return evaluate(suite, product, trained_as_of, until)


def shown(title: str, found: Evaluation) -> None:
    (figures,) = found.groups
    rows = [[name, f"{value:.4f}" if isinstance(value, float) else f"{value}"] for name, value in figures.items()]
    print(f"\n{title}: {found.n_pages} pages\n\n" + table(["figure", "value"], rows[1:]), flush=True)
    if found.confusion:
        told = [[row["class"], row["taken_for"], f"{row['n_rows']:,}"] for row in found.confusion]
        print("\n" + table(["class", "taken for", "rows"], told), flush=True)


def cdnow(root: Path) -> None:
    make_bare(root)
    groups, fewer = ("customer_*.sql",), {"max_iter: 120": "max_iter: 60", "1997-01-13": "1997-07-07"}
    directory = take(root, ("purchases.sql",), groups, "customer_value", "purchases_next")
    relabel(directory, "kind: multiclass", PURCHASES, **fewer)
    quantiles = "kind: regression, quantiles: [0.1, 0.5, 0.9]"
    relabel(take(root, ("purchases.sql",), groups, "customer_value", "value_next"), quantiles, None, **fewer)
    now, cutoff, until = datetime(1998, 7, 6), datetime(1998, 2, 2), datetime(1998, 4, 1)
    ingest(open_suite(root, lambda: now))
    shown("CDNOW, purchases in the next 12 weeks", measured(root, "purchases_next", cutoff, until, now))
    shown("CDNOW, dollars in the next 12 weeks", measured(root, "value_next", cutoff, until, now))


def flights(root: Path) -> None:
    make_bare(root)
    sources = ("airlines.sql", "airports.sql", "landings.sql", "planes.sql", "schedule.sql", "weather.sql")
    directory = take(root, sources, ("*.sql",), "flight_delay", "flight_outcome")
    for path in (root / "sql/features").glob("customer_*.sql"):
        path.unlink()
    listed = "\n".join(f"  - {name}" for name in FLIGHT_GROUPS)
    changes = {
        r"^features:.*?(?=^label)": f"features:\n{listed}\n",
        r"^  leave_out:.*?(?=^pages)": "  leave_out: [tailnum, dest]\n",
        "2013-01-08": "2013-03-01",
    }
    relabel(directory, "kind: multiclass, classes: [on time, late, cancelled]", OUTCOMES, **changes)
    now, cutoff, until = datetime(2013, 7, 1), datetime(2013, 5, 15), datetime(2013, 6, 5)
    ingest(open_suite(root, lambda: now))
    shown("Flights from New York, tomorrow's outcome", measured(root, "flight_outcome", cutoff, until, now))


WORLDS = {"cdnow": cdnow, "flights": flights}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("worlds", nargs="*", choices=[*WORLDS, []], default=list(WORLDS))
    chosen = parser.parse_args(arguments)
    print(machine())
    print(versions("duckdb", "scikit-learn"))
    for name in chosen.worlds:
        with tempfile.TemporaryDirectory() as directory:
            WORLDS[name](Path(directory) / "suite")


if __name__ == "__main__":
    main()
