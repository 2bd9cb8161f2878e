"""The customer products of this repository's suite in a suite of their own, on the real purchases."""

from __future__ import annotations

import shutil
from datetime import datetime
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import clock_at
from tests.customers.by_hand import Purchase, data_file, read_purchases

SQL = Path(__file__).parents[2] / "sql"
#: After the last purchase, so that every label up to April has matured.
NOW = datetime(1998, 7, 6)
PRODUCTS = ("customer_value", "customer_churn")
TRAINED_AS_OF = datetime(1998, 2, 2)
UNTIL = datetime(1998, 3, 10)


def write_suite(root: Path, data: Path | None = None, since: str = "1997-09-01", trees: int = 40) -> None:
    """Write the suite, with fewer training pages and trees than the real one to save time.

    `data` is read instead of the file.
    """
    for folder, pattern in (("sources", "purchases.sql"), ("features", "customer_*.sql"), ("products", "customer_*")):
        (root / "sql" / folder).mkdir(parents=True)
        for path in (SQL / folder).glob(pattern):
            (shutil.copytree if path.is_dir() else shutil.copy)(path, root / "sql" / folder / path.name)
    for product in PRODUCTS:
        file = root / f"sql/products/{product}/product.yaml"
        text = file.read_text().replace("since: 1997-01-13", f"since: {since}")
        assert "max_iter: 120" in text
        file.write_text(text.replace("max_iter: 120", f"max_iter: {trees}"))
    if data is not None:
        source = root / "sql/sources/purchases.sql"
        text = source.read_text().replace("package:lifetimes/datasets/CDNOW_master.txt", str(data))
        source.write_text(text.replace("requires: almanac[cdnow]\n", ""))


@pytest.fixture(scope="session")
def purchases() -> list[Purchase]:
    return read_purchases(data_file())


@pytest.fixture(scope="session")
def customers(tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """The suite with both products trained as of February, and a backfill of the six weeks after that."""
    root = tmp_path_factory.mktemp("customers") / "shop"
    write_suite(root)
    suite = open_suite(root, clock_at(NOW))
    ingest(suite)
    for product in PRODUCTS:
        train(suite, product, TRAINED_AS_OF)
        backfill(suite, BackfillOrder(product, TRAINED_AS_OF, UNTIL))
    return suite
