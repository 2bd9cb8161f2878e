"""Plan: what is missing, failed and stale of a product's pages, and why; how it would be made, and at what cost.

Changes nothing. What it says is what `almanac backfill` acts on: both read `jobs.pages.states`.
"""

from __future__ import annotations

import functools
import itertools
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from jobs.models.columns.requirements import require_bound
from jobs.pages.batch_size import batch_size
from jobs.pages.costs import Cost, estimate_cost
from jobs.pages.shards.choice import n_shards
from jobs.pages.states import Kind, PageState, grid_pages, page_states
from jobs.suite import Suite
from warehouse.batching.lifted_pass import lifted_forms
from warehouse.batching.lifting import LiftedForm
from warehouse.batching.page_shards import forms_of
from warehouse.batching.range_pass import range_forms
from warehouse.batching.ranges.recognition import RangeForm
from warehouse.batching.shared_rows import ENTITIES
from warehouse.batching.splitting.forms import Split
from warehouse.batching.syntax.shapes import Reason
from warehouse.definitions import Definitions, Product
from warehouse.engine_names import IN_SHARDS
from warehouse.lake.lake import table_columns
from warehouse.ledger.derivations import HeldFacts, facts_among, held_facts
from warehouse.pages.lifted_checks import lifted_checks
from warehouse.sandbox import source_columns


@dataclass(frozen=True)
class Span:
    """Pages that follow one another on the grid, from `first` to `last`, both included."""

    first: datetime
    last: datetime
    n_pages: int


@dataclass(frozen=True)
class Group:
    """Pages of one state for one reason."""

    state: str
    why: str | None
    n_pages: int
    spans: list[Span]


@dataclass(frozen=True)
class Way:
    """How the pages of a feature group would be made, and why not a quicker way.

    `range`: many in one pass over time; `lifted`: its query once for some dozens of pages; `page by page`: once a page.
    """

    feature_group: str
    way: str
    why: str | None


@dataclass(frozen=True)
class ShardWay:
    """How a query is asked where pages are made in shards: `in shards`, and by what; or `whole`, and why."""

    query: str
    way: str
    why: str


@dataclass(frozen=True)
class CheckWay:
    """How one of the product's own checks would be run, `lifted` or `page by page`, and why not the quicker way."""

    check: str
    way: str
    why: str | None


@dataclass(frozen=True)
class Plan:
    """The plan of one product's pages from `first` to `last`.

    Attributes
    ----------
    n_pages
        How many pages the grid has in the range.
    groups
        All of them by state and reason; a stale page's state is `stale`.
    n_wanted
        How many of them `almanac backfill` would make without `--only`: those missing or failed.
    n_without_model
        How many more it would make if a version had been in effect.
    n_unfit
        How many more it would make if the version in effect could write pages as the product is defined now.
    unfit
        Why versions in effect cannot.
    n_stale
        How many it would make with `--only stale`.
    n_rolled_back
        How many were rolled back, and stay as they are until it is run with `--only rolled-back`, or all.
    pages_per_commit
        How many it would make at a time.
    ways
        One for each feature group, in the order in which they are made.
    check_ways
        One for each of the product's own checks, once there are feature pages to check.
    shard_ways
        One for each query of the product, where its engine makes pages in shards.
    cost, cost_of_stale
        What that would cost, each by itself.
    """

    product: str
    first: datetime
    last: datetime
    n_pages: int
    groups: list[Group]
    n_wanted: int
    n_without_model: int
    n_unfit: int
    unfit: list[str]
    n_stale: int
    n_rolled_back: int
    pages_per_commit: int
    ways: list[Way]
    check_ways: list[CheckWay]
    shard_ways: list[ShardWay]
    cost: Cost
    cost_of_stale: Cost


def plan(
    suite: Suite,
    product_name: str,
    start: datetime | None = None,
    end: datetime | None = None,
    *,
    features_only: bool = False,
) -> Plan:
    """Make the plan of a product's pages from `start` (default: the first) to before `end` (default: now).

    Raises
    ------
    UsageError
        If the grid has no page there.
    DefinitionError
        If a query of the product does not bind, or its parts do not go together: with every mistake.
    """
    product = suite.definitions.product(product_name)
    pages = grid_pages(product, start, end, suite.clock())
    kind: Kind = "features" if features_only else "predictions"
    with suite.lake.reading() as connection:
        require_bound(connection, suite.definitions, product)
        states = page_states(suite, product, pages, kind, connection)
        chosen = [state for state in states if state.is_wanted(None)]
        without_model = sum(state.model is None for state in chosen) if kind == "predictions" else 0
        unfit = sum(state.unfit is not None for state in chosen)
        wanted = len(chosen) - without_model - unfit
        stale = sum(state.stale and state.unfit is None for state in states)
        per_commit = batch_size(connection, product).pages()
        job = "features" if features_only else "predict"
        costs = [estimate_cost(connection, product.name, job, n, per_commit) for n in (wanted, stale)]
        held = held_facts(connection)
        ways = ways_of(suite.definitions, product, connection, held)
        shards = shard_ways_of(suite.definitions, product, connection, held)
        check_ways = [] if features_only else check_ways_of(suite.definitions, product, connection, held)
    return Plan(
        product.name,
        pages[0],
        pages[-1],
        len(pages),
        group_states(states),
        wanted,
        without_model,
        unfit,
        list(dict.fromkeys(state.unfit for state in states if state.unfit is not None)),
        stale,
        sum(state.rolled_back is not None for state in states),
        per_commit,
        ways,
        check_ways,
        shards,
        *costs,
    )


def group_states(states: Sequence[PageState]) -> list[Group]:
    """Put pages of the same state and reason together, the most urgent first; `states` are in the grid's order."""
    spans: dict[tuple[str, str | None], list[Span]] = {}
    for key, same in itertools.groupby(states, key=lambda state: (state.shown, state.why)):
        spans.setdefault(key, []).append(_span(same))
    groups = [Group(state, why, sum(span.n_pages for span in found), found) for (state, why), found in spans.items()]
    return sorted(groups, key=lambda group: (_ORDER.index(group.state), group.spans[0].first))


_ORDER = ("running", "failed", "rejected", "missing", "stale", "rolled back", "published")


def _span(states: Iterable[PageState]) -> Span:
    pages = [state.as_of for state in states]
    return Span(pages[0], pages[-1], len(pages))


def ways_of(
    definitions: Definitions, product: Product, connection: duckdb.DuckDBPyConnection, held: Mapping[str, HeldFacts]
) -> list[Way]:
    """Say which way each feature group of a product goes where many pages are made; `connection` reads the lake."""
    columns_of = functools.partial(source_columns, connection, held)
    facts = facts_among(held, definitions.sources.values())
    groups = definitions.groups_of(product)
    ranges = range_forms(definitions, groups, facts, columns_of)
    made = {name for name, form in ranges.items() if not isinstance(form, Reason)}
    queries = [(group.name, group.query) for group in groups]
    lifted = lifted_forms(definitions, queries, facts, columns_of, made)
    return [_way(group.name, ranges[group.name], lifted.get(group.name)) for group in groups]


def _way(name: str, ranged: RangeForm | Reason, lifted: LiftedForm | Reason | None) -> Way:
    if not isinstance(ranged, Reason):
        return Way(name, "range", None)
    if isinstance(lifted, Reason):
        return Way(name, "page by page", f"{lifted}; and {ranged}")
    return Way(name, "lifted", str(ranged))


def shard_ways_of(
    definitions: Definitions, product: Product, connection: duckdb.DuckDBPyConnection, held: Mapping[str, HeldFacts]
) -> list[ShardWay]:
    """Say how each query of a product is asked in shards, if its engine makes any; `connection` reads the lake."""
    if product.header.engine not in IN_SHARDS:
        return []
    columns = {one.name: source_columns(connection, held, one) for one in definitions.sources_of(product)}
    forms = forms_of(definitions, product, columns, facts_among(held, definitions.sources.values()))
    names = {ENTITIES: "entities"}
    ways = {True: f"in {n_shards(product)} shards", False: "whole, in one task"}
    return [ShardWay(names.get(name, name), ways[isinstance(form, Split)], str(form)) for name, form in forms.items()]


def check_ways_of(
    definitions: Definitions, product: Product, connection: duckdb.DuckDBPyConnection, held: Mapping[str, HeldFacts]
) -> list[CheckWay]:
    """Say which way each of a product's own checks goes where many pages are checked; `connection` reads the lake."""
    features = table_columns(connection, "features", product.name)
    if not features:
        return []
    page = {**features, **product.columns_of_kind, "model_version": "VARCHAR"}
    columns_of = functools.partial(source_columns, connection, held)
    facts = facts_among(held, definitions.sources.values())
    found = lifted_checks(definitions, product, page, facts, columns_of)
    return [
        CheckWay(name, "page by page", str(form)) if isinstance(form, Reason) else CheckWay(name, "lifted", None)
        for name, form in found.items()
    ]
