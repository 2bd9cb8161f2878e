"""How many pages are lifted at once follows from how many facts there are."""

from __future__ import annotations

from dataclasses import replace

from jobs.suite import Suite
from tests.conftest import PRODUCT
from warehouse.batching.lifted_pass import lifted_forms
from warehouse.batching.lifted_slice import PAGES_AT_ONCE, pages_at_once
from warehouse.batching.syntax.shapes import Reason
from warehouse.sandbox import Sandbox


def test_fewer_pages_are_lifted_at_once_where_there_are_more_facts(trained: Suite) -> None:
    product = trained.definitions.product(PRODUCT)
    queries = [(group.name, group.query) for group in trained.definitions.groups_of(product)]
    with Sandbox(trained.lake) as sandbox:
        known = sandbox.facts_of(trained.definitions.sources)
        assert pages_at_once(["orders"], known) == PAGES_AT_ONCE
        many = {name: replace(facts, n_rows=5_000_000) for name, facts in known.items()}
        assert pages_at_once(["orders", "deliveries"], many) == 10
        too_many = {name: replace(facts, n_rows=20_000_000) for name, facts in known.items()}
        found = lifted_forms(trained.definitions, queries, too_many, sandbox.source_columns)
    assert found.keys() == dict(queries).keys()
    assert all(isinstance(form, Reason) and "too many rows" in str(form) for form in found.values())
