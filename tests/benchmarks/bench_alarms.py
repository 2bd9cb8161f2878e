"""Every alarm and every flagged page of a product, with what the data says of it.

    python -m tests.benchmarks.bench_alarms customers [DIR]     a year and a half of Mondays, of both products
    python -m tests.benchmarks.bench_alarms example [DIR]       all days of the suite that `almanac init` makes
    python -m tests.benchmarks.bench_alarms SUITE PRODUCT       what stands in a suite that is there

The first two make the suite (in DIR, if that is given and empty): facts, a version, all pages. Nothing is put in, so
that each flag is one of the world, or a false one. Beside each flagged column stand the distance, what it had to be
over, and the column's mean, share of missing values and different values on the page and on the pages before it.
"""

from __future__ import annotations

import sys
import tempfile
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

from jobs.cli.options import now
from jobs.cli.output.console import Lines, print_table
from jobs.facts.ingest import ingest
from jobs.monitoring.judging.judgements import judge_and_write
from jobs.monitoring.performance.judge import judge_performance
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.predict import predict_pages
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from jobs.training.train import train
from tests import conftest
from tests.conftest import clock_at
from tests.customers.conftest import NOW, PRODUCTS, write_suite
from warehouse.system_sql import quote

#: The Monday as of which the customers' versions are trained, as in `bench_customers`.
TRAINED_AS_OF = datetime(1998, 1, 5)
QUERY = (Path(__file__).parent / "sql" / "flagged.sql").read_text()
ALARMS = """
SELECT kind, first_page, last_page, state, flags, columns, evidence, message
FROM ledger.newest_alarms
WHERE product = $1 AND state <> 'withdrawn'
ORDER BY kind, first_page
"""
JUDGED = """
SELECT count(*) AS pages, count(*) FILTER (state = 'judged') AS judged, max(evidence) AS most_evidence
FROM ledger.newest_drift
WHERE product = $1 AND column_name IS NULL AND segment IS NULL AND reference = 'season'
"""


def make_pages(suite: Suite, product_name: str, trained_as_of: datetime, until: datetime) -> None:
    """Publish the feature pages of all of the grid, train a version, and let it write the pages since then."""
    product = suite.definitions.product(product_name)
    ensure_feature_pages(suite, product, product.pages_between(datetime.min, until), Lines())
    train(suite, product_name, trained_as_of, Lines())
    predict_pages(suite, product, product.pages_between(trained_as_of, until))


def customers(root: Path) -> Suite:
    """Make the suite of the two products on customers."""
    write_suite(root, since="1997-01-13", trees=120)
    suite = open_suite(root, clock_at(NOW))
    ingest(suite)
    for name in PRODUCTS:
        make_pages(suite, name, TRAINED_AS_OF, NOW)
    return suite


def example(root: Path) -> Suite:
    """Make the suite that `almanac init` makes, with all pages that its facts are there for."""
    make_starter(root)
    suite = open_suite(root, clock_at(conftest.NOW))
    ingest(suite)
    make_pages(suite, conftest.PRODUCT, conftest.TRAINED_AS_OF, conftest.NOW - timedelta(days=1))
    return suite


def tell(suite: Suite, product_name: str) -> None:
    """Judge a product and print what was found."""
    product = suite.definitions.product(product_name)
    judge_and_write(suite, product)
    judged = judge_performance(suite, product_name)
    whole = [row for row in judged.rows if row.segment is None and row.is_mature]
    with suite.lake.reading() as connection:

        def rows(query: str, **fragments: str) -> list[dict[str, Any]]:
            cursor = connection.execute(query.format(**fragments), [product_name])
            names = [column[0] for column in cursor.description]
            return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]

        (told,) = rows(JUDGED)
        print_table([told | {"matured": len(whole)}], f"{product_name}: pages")
        print_table(rows(QUERY, product=quote(product_name)), f"{product_name}: flagged columns")
        print_table(rows(ALARMS), f"{product_name}: alarms")
    if judged.note:
        print(judged.note)
    most = max((row.evidence or 0.0 for row in whole), default=0.0)
    print(f"performance: {len(whole)} matured pages, most evidence {most:.1f} of {whole[0].bound if whole else 0:.0f}")


def main(arguments: list[str]) -> None:
    """Make what is asked for, unless it is there, and tell of it."""
    makers = {"customers": customers, "example": example}
    if len(arguments) == 2 and arguments[0] not in makers:
        tell(open_suite(Path(arguments[0]), now), arguments[1])
    elif arguments and arguments[0] in makers:
        with tempfile.TemporaryDirectory() as directory:
            suite = makers[arguments[0]](Path(arguments[1] if len(arguments) > 1 else directory) / "shop")
            for name in suite.definitions.products:
                tell(suite, name)
            suite.lake.close()
    else:
        sys.exit(__doc__)


if __name__ == "__main__":
    main(sys.argv[1:])
