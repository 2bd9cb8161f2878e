"""The views on a product's predictions: what applications and people read.

They are made in the commit that publishes a page, so that a snapshot shows its own. `PRODUCT_current` and `_page` name,
as literals, the pages that they show: what a reader asks then opens no file of another page, and does not read the
ledger. A view is replaced where its text would differ, and left alone otherwise: each replacement makes readers
load the lake's list of tables again.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime

from warehouse.definitions import Product
from warehouse.definitions.export import FallbackSettings
from warehouse.errors import UsageError
from warehouse.lake.lake import Commit, table_columns
from warehouse.lake.registry import FALLBACK
from warehouse.lake.view_texts import drop_view, ensure_each_view
from warehouse.sandbox import timestamp_literal
from warehouse.system_sql import literal, quote, quote_all, system_sql


@dataclass(frozen=True)
class _Span:
    """The pages that hold what is current: the oldest that can still hold a valid row, and the newest of all."""

    oldest: datetime
    newest: datetime


def ensure_views(commit: Commit, product: Product) -> None:
    """Make a product's views what they should be after this commit, as far as they are not.

    Call it in every commit that publishes predictions or labels, after the ledger's rows are appended: which pages
    can hold a valid row is read from them.
    """
    columns = table_columns(commit.connection, "predictions", product.name)
    span = _current_span(commit, product)
    # Where keys were changed, and no page has the new ones yet, views stay what they were.
    if not columns.keys() >= {*product.keys} or span is None:
        return
    wanted = {f"{product.name}_{name}": query for name, query in _queries(commit, product, columns, span)}
    ensure_each_view(commit, "predictions", wanted)
    if product.header.fallback is None:
        drop_view(commit, "predictions", f"{product.name}_{FALLBACK}")


def _queries(commit: Commit, product: Product, columns: Mapping[str, str], span: _Span) -> Iterator[tuple[str, str]]:
    """Give what each view selects, by the ending of its name."""
    table, keys = quote(product.name), quote_all(product.keys)
    newest = {"columns": quote_all(columns), "table": table, "newest": timestamp_literal(span.newest)}
    page = system_sql("publish/page", **newest)
    if span.oldest == span.newest:
        yield "current", page
    else:
        ranking = product.ranking
        literals = {"oldest": timestamp_literal(span.oldest), "newest": newest["newest"]}
        picked = ", ".join(_picked(name, product) for name in columns)
        if ranking is not None:
            more = {"columns": newest["columns"], "table": table, "list": quote_all(ranking.keys)}
            yield "current", system_sql("publish/current_lists", **more, **literals)
        else:
            of_keys = _qualified(product)
            yield "current", system_sql("publish/current", picked=picked, table=table, keys=of_keys, **literals)
    yield "page", page
    if product.header.fallback is not None:
        features = table_columns(commit.connection, "features", product.name)
        yield FALLBACK, _fallback_query(product, product.header.fallback, features, newest["newest"])
    if table_columns(commit.connection, "labels", product.name).keys() >= {"as_of", *product.keys}:
        of_predictions = quote_all(columns, "predictions.")
        yield "outcomes", system_sql("publish/outcomes", columns=of_predictions, table=table, keys=keys)


def _qualified(product: Product) -> str:
    return quote_all(product.keys, "predictions.")


def _picked(column: str, product: Product) -> str:
    """Give SQL of a column of an entity's newest row, NULL where that has NULL."""
    if column in product.keys:
        return f"predictions.{quote(column)}"
    if column == "as_of":
        return "max(predictions.as_of) AS as_of"
    return f"arg_max_null(predictions.{quote(column)}, predictions.as_of) AS {quote(column)}"


def _current_span(commit: Commit, product: Product) -> _Span | None:
    row = commit.execute(system_sql("publish/current_span"), [product.name]).fetchone()
    return _Span(*row) if row and row[0] is not None else None


#: A sum that does not depend on the order of rows: of probabilities as decimals, which is exact; of others sorted.
_TOTALS = {
    "binary": "sum(score::DECIMAL(38, 18))::DOUBLE",
    "regression": "list_sum(list(score ORDER BY score))",
}


def _fallback_query(product: Product, settings: FallbackSettings, features: Mapping[str, str], newest: str) -> str:
    """Give the query of PRODUCT_fallback: what is said of entities that no page has, by coarser keys.

    Groups are shrunk towards the next coarser one, which is an empirical Bayes estimate with a prior worth `shrink`
    rows (Efron and Morris 1977).

    Parameters
    ----------
    product, settings
        Whose page, and by which columns.
    features
        The columns of the product's feature pages, where columns stand that are no keys.
    newest
        The newest page, as a literal.

    Raises
    ------
    UsageError
        If a column of a level is neither a key nor on the pages of features.
    """
    lacking = [name for name in settings.columns if name not in product.keys and name not in features]
    if lacking:
        raise UsageError(
            f"{product.at('fallback', 'levels')}: `{lacking[0]}` is neither a key nor a column of the feature pages of"
            f" {product.name}, which have {', '.join(features)}. Nothing was published."
        )
    levels = list(settings.levels.items())
    parts = [_fallback_level(product, levels, place, settings.shrink) for place in reversed(range(len(levels)))]
    rows = [_fallback_rows(product, levels[place], place, newest) for place in range(len(levels))]
    from_features = [name for name in settings.columns if name not in product.keys]
    join = f"LEFT JOIN features.{quote(product.name)} AS features USING (as_of, {quote_all(product.keys)})"
    picked = [
        f"{'features' if name in from_features else 'predictions'}.{quote(name)} AS {quote(name)}"
        for name in settings.columns
    ]
    return system_sql(
        "publish/fallback",
        columns=", ".join(picked) or "NULL AS nothing",
        score=quote(product.score_column),
        table=quote(product.name),
        join=join if from_features else "",
        newest=newest,
        shrink=f"{settings.shrink:g}",
        levels=",\n".join(parts),
        rows="\nUNION ALL BY NAME\n".join(rows),
    )


def _fallback_level(product: Product, levels: Sequence[tuple[str, list[str]]], place: int, shrink: float) -> str:
    """Give the two parts of a level: its groups, and their means drawn towards the next coarser level's."""
    columns, level, mean = levels[place][1], f"level_{place}", f"mean_{place}"
    groups = system_sql(
        "publish/fallback_level",
        level=level,
        groups="".join(f"{quote(name)}, " for name in columns),
        total=_TOTALS[product.kind.name],
        known=f"WHERE {' AND '.join(f'{quote(name)} IS NOT NULL' for name in columns)}" if columns else "",
        by=f"GROUP BY {quote_all(columns)}" if columns else "",
    )
    coarser, estimate = "", "total / n_rows"
    if place + 1 < len(levels):
        shared, beyond = levels[place + 1][1], f"mean_{place + 1}"
        on = " AND ".join(f"{level}.{quote(name)} = {beyond}.{quote(name)}" for name in shared) or "true"
        coarser = f"JOIN {beyond} ON {on}"
        weight = f"{float(shrink)!r}::DOUBLE"
        estimate = f"({level}.total + {weight} * {beyond}.estimate) / ({level}.n_rows + {weight})"
    means = system_sql("publish/fallback_mean", mean=mean, level=level, estimate=estimate, coarser=coarser)
    return f"{groups},\n{means}"


def _fallback_rows(product: Product, level: tuple[str, list[str]], place: int, newest: str) -> str:
    name, columns = level
    return system_sql(
        "publish/fallback_rows",
        place=str(place),
        level=literal(name),
        names=f"[{', '.join(map(literal, columns))}]::VARCHAR[]",
        groups="".join(f"{quote(each)}, " for each in columns),
        newest=newest,
        score=quote(product.score_column),
        mean=f"mean_{place}",
    )
