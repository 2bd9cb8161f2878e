"""The query of PRODUCT_fallback: what is said of entities that no page has, by coarser keys.

Groups are shrunk towards the next coarser one, which is an empirical Bayes estimate with a prior worth `shrink` rows
(Efron and Morris 1977). Of classes each one's share is, so that shares still add up to one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence

from warehouse.definitions import Product
from warehouse.definitions.export import FallbackSettings
from warehouse.errors import UsageError
from warehouse.label_kinds import MOST_FIELDS
from warehouse.system_sql import literal, quote, quote_all, system_sql

#: The name under which `ledger.label_sums` has the sum of labels that have no classes.
LABEL = "label"


def fallback_query(
    product: Product, settings: FallbackSettings, columns: Mapping[str, str], keys: Mapping[str, str], newest: str
) -> str:
    """Give the query of PRODUCT_fallback.

    Parameters
    ----------
    product, settings
        Whose page, and by which columns.
    columns, keys
        The columns of the product's feature pages, and its keys, with their types.
    newest
        The newest page, as a literal.

    Raises
    ------
    UsageError
        If a column of a level is neither a key nor on the pages of features.
    """
    lacking = [name for name in settings.columns if name not in keys and name not in columns]
    if lacking:
        raise UsageError(
            f"{product.at('fallback', 'levels')}: `{lacking[0]}` is neither a key nor a column of the feature pages of"
            f" {product.name}, which have {', '.join(columns)}. Nothing was published."
        )
    query = _Query(product, settings, {**columns, **keys}, newest)
    return query.of_labels() if settings.of == "labels" else query.of_predictions()


def names_of(columns: Sequence[str]) -> str:
    """Give the columns of a level as SQL of a list."""
    return f"[{', '.join(map(literal, columns))}]::VARCHAR[]"


def where_known(columns: Sequence[str]) -> str:
    """Give the condition that a row belongs to a group of a level: NULL is none."""
    return f"WHERE {' AND '.join(f'{quote(name)} IS NOT NULL' for name in columns)}" if columns else ""


class _Query:
    """The parts of a query. What is averaged are `outcomes`: the classes, or the one number that is predicted."""

    def __init__(self, product: Product, settings: FallbackSettings, types: Mapping[str, str], newest: str) -> None:
        self.product, self.settings, self.types, self.newest = product, settings, types, newest
        self.levels = list(settings.levels.items())
        self.outcomes = product.classes if product.kind.has_classes else (LABEL,)

    def of_predictions(self) -> str:
        product, keys = self.product, self.product.keys
        from_features = [name for name in self.settings.columns if name not in keys]
        picked = [
            f"{'features' if name in from_features else 'predictions'}.{quote(name)} AS {quote(name)}"
            for name in self.settings.columns
        ]
        join = f"LEFT JOIN features.{quote(product.name)} AS features USING (as_of, {quote_all(keys)})"
        scores = [f"{self._predicted(outcome)} AS score_{place}" for place, outcome in enumerate(self.outcomes)]
        return system_sql(
            "fallback/of_predictions",
            columns=", ".join(picked) or "NULL AS nothing",
            scores=", ".join(scores),
            join=join if from_features else "",
            levels=self._levels(self._level_of_predictions),
            **self._shared(),
        )

    def of_labels(self) -> str:
        return system_sql("fallback/of_labels", levels=self._levels(self._level_of_labels), **self._shared())

    def _shared(self) -> dict[str, str]:
        return {
            "table": quote(self.product.name),
            "newest": self.newest,
            "shrink": f"{self.settings.shrink:g}",
            "rows": "\nUNION ALL BY NAME\n".join(self._rows(place) for place in range(len(self.levels))),
        }

    def _predicted(self, outcome: str) -> str:
        if self.product.kind.has_classes:
            return f"coalesce(predictions.probabilities[{literal(outcome)}], 0)"
        return f"predictions.{quote(self.product.score_column)}"

    def _levels(self, groups_of: Callable[[int], str]) -> str:
        """Give the two parts of each level, the coarsest first: its groups, and their means."""
        parts = [f"{groups_of(place)},\n{self._mean(place)}" for place in reversed(range(len(self.levels)))]
        return ",\n".join(parts)

    def _level_of_predictions(self, place: int) -> str:
        columns = self.levels[place][1]
        # No sum depends on the order of rows: that of probabilities is of decimals, and exact; others are sorted.
        exact = self.product.kind.name != "regression"
        total = "sum({}::DECIMAL(38, 18))::DOUBLE" if exact else "list_sum(list({0} ORDER BY {0}))"
        totals = [f"{total.format(f'score_{n}')} AS total_{n}" for n in range(len(self.outcomes))]
        return system_sql(
            "fallback/level_of_predictions",
            level=f"level_{place}",
            groups="".join(f"{quote(name)}, " for name in columns),
            totals=", ".join(totals),
            known=where_known(columns),
            by=f"GROUP BY {quote_all(columns)}" if columns else "",
        )

    def _level_of_labels(self, place: int) -> str:
        columns = self.levels[place][1]
        groups = [
            f"sums.group_values[{n}]::{self.types[name]} AS {quote(name)}, " for n, name in enumerate(columns, start=1)
        ]
        totals = [f"coalesce(sums.sums[{literal(each)}], 0) AS total_{n}" for n, each in enumerate(self.outcomes)]
        return system_sql(
            "fallback/level_of_labels",
            level=f"level_{place}",
            groups="".join(groups),
            totals=", ".join(totals),
            product=literal(self.product.name),
            newest=self.newest,
            names=names_of(columns),
        )

    def _mean(self, place: int) -> str:
        level, coarser = f"level_{place}", ""
        if place + 1 < len(self.levels):
            shared, beyond = self.levels[place + 1][1], f"mean_{place + 1}"
            on = " AND ".join(f"{level}.{quote(name)} = {beyond}.{quote(name)}" for name in shared) or "true"
            coarser = f"JOIN {beyond} ON {on}"
            weight = f"{float(self.settings.shrink)!r}::DOUBLE"
            estimate = f"({level}.total_{{0}} + {weight} * {beyond}.estimate_{{0}}) / ({level}.n_rows + {weight})"
        else:
            estimate = "total_{0} / n_rows"
        estimates = [f"{estimate.format(n)} AS estimate_{n}" for n in range(len(self.outcomes))]
        return system_sql(
            "fallback/mean", mean=f"mean_{place}", level=level, estimates=", ".join(estimates), coarser=coarser
        )

    def _rows(self, place: int) -> str:
        name, columns = self.levels[place]
        return system_sql(
            "fallback/rows",
            place=str(place),
            level=literal(name),
            names=names_of(columns),
            groups="".join(f"{quote(each)}, " for each in columns),
            newest=self.newest,
            predicted=self._said(),
            mean=f"mean_{place}",
        )

    def _said(self) -> str:
        """Give SQL of the columns that the kind of label brings, of one group."""
        product = self.product
        if not product.kind.has_classes:
            return f"estimate_0 AS {quote(product.score_column)}"
        estimates = ", ".join(f"estimate_{n}" for n in range(len(self.outcomes)))
        likeliest = f"list_position([{estimates}], greatest({estimates}))"
        if len(self.outcomes) <= MOST_FIELDS:
            fields = [f"{quote(each)} := estimate_{n}" for n, each in enumerate(self.outcomes)]
            probabilities = f"struct_pack({', '.join(fields)})"
        else:
            probabilities = f"MAP({names_of(self.outcomes)}, [{estimates}])"
        return f"({names_of(self.outcomes)})[{likeliest}] AS prediction, {probabilities} AS probabilities"
