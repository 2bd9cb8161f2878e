"""The view PRODUCT_fallback: what is said of entities that no page has, by coarser keys.

It is made of the newest page in the commit that publishes that, as the other views are, so that a rollback, a backfill
or a rollout changes it with the page. Groups are shrunk towards the next coarser one, which is an empirical Bayes
estimate with a prior worth `shrink` rows (Efron and Morris 1977).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from warehouse.definitions import Product
from warehouse.definitions.export import FallbackSettings
from warehouse.errors import UsageError
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: A sum that does not depend on the order of rows: of probabilities as decimals, which is exact; of others sorted.
_TOTALS = {
    "binary": "sum(score::DECIMAL(38, 18))::DOUBLE",
    "regression": "list_sum(list(score ORDER BY score))",
}


def fallback_query(product: Product, settings: FallbackSettings, features: Mapping[str, str], newest: str) -> str:
    """Give the query of the view.

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
    parts = [_level(product, levels, place, settings.shrink) for place in reversed(range(len(levels)))]
    rows = [_rows(product, levels[place], place, newest) for place in range(len(levels))]
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


def _level(product: Product, levels: Sequence[tuple[str, list[str]]], place: int, shrink: float) -> str:
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


def _rows(product: Product, level: tuple[str, list[str]], place: int, newest: str) -> str:
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
