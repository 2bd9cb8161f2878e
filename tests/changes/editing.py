"""Edits of the starter's definitions, as people make them, and the suite opened again after each."""

from __future__ import annotations

from datetime import datetime

from jobs.suite import Suite
from tests.conftest import NOW, PRODUCT, reopened

GROUP = "sql/features/depot_history.sql"
SOURCE = "sql/sources/orders.sql"
LABEL = f"sql/products/{PRODUCT}/label.sql"
ENTITIES = f"sql/products/{PRODUCT}/entities.sql"
YAML = f"sql/products/{PRODUCT}/product.yaml"


def edited(suite: Suite, path: str, old: str, new: str, now: datetime = NOW) -> Suite:
    """Replace a text that stands in a file of the suite, and open the suite again."""
    file = suite.root / path
    text = file.read_text()
    assert old in text
    file.write_text(text.replace(old, new))
    return reopened(suite, now)
