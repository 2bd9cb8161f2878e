"""Queries of the kinds that authors write, made at random from a seed, over two sources whose facts change.

Every row of their results is determined: orders end with a key, and nothing is of floating point.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from typing import TypeVar

T = TypeVar("T")

#: The sources' columns, and of which kind each is.
ORDERS = {
    "order_id": "int",
    "depot": "text",
    "courier": "text",
    "parcels": "int",
    "cents": "int",
    "ordered_at": "time",
    "known_at": "time",
}
COURIERS = {"courier": "text", "zone": "text", "capacity": "int", "hired_at": "time", "known_at": "time"}
_TOTAL = {"o": "o.order_id", "c": "c.courier", "v": "v.n"}


class Generator:
    """One query after the other."""

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)

    def query(self) -> str:
        """Give one SELECT."""
        shapes = (
            [self.grouped] * 4 + [self.rows] * 4 + [self.whole, self.constants, self.distinct, self.union, self.starred]
        )
        shapes += [self.over_cte] * 2 + [self.renamed, self.nested, self.existing]
        return self.pick(shapes)()

    def pick(self, options: list[T]) -> T:
        """Choose one."""
        return self.rng.choice(options)

    def maybe(self, text: str, chance: float = 0.5) -> str:
        """Give a text, or none."""
        return text if self.rng.random() < chance else ""

    def columns(self, scope: str, kind: str) -> list[str]:
        """Give the columns of a kind that the relations of a scope have."""
        found = [f"o.{name}" for name, of in ORDERS.items() if of == kind] if "o" in scope else []
        return found + ([f"c.{name}" for name, of in COURIERS.items() if of == kind] if "c" in scope else [])

    def int_(self, scope: str, depth: int = 0) -> str:
        """Give an expression over integers."""
        column = self.pick(self.columns(scope, "int"))
        if depth > 1:
            return column
        inner = self.int_(scope, depth + 1)
        return self.pick(
            [
                column,
                column,
                f"({inner} + {self.rng.randint(-3, 9)})",
                f"coalesce({inner}, 0)",
                f"CASE WHEN {self.condition(scope, depth + 1)} THEN {inner} END",
                f"greatest({inner}, {column})",
                f"date_diff('hour', {self.pick(self.columns(scope, 'time'))}, $as_of)",
                f"({inner} % 5)",
                f"length({self.pick(self.columns(scope, 'text'))})",
                f"nullif({inner}, 2)",
            ]
        )

    def text(self, scope: str) -> str:
        """Give an expression over text."""
        column = self.pick(self.columns(scope, "text"))
        return self.pick([column, column, f"upper({column})", f"coalesce({column}, 'none')", f"({column} || '!')"])

    def time(self, scope: str) -> str:
        """Give an expression over time."""
        column = self.pick(self.columns(scope, "time"))
        return self.pick([column, f"date_trunc('day', {column})", f"({column} + INTERVAL 1 HOUR)"])

    def window_of_time(self) -> str:
        """Give an instant before the page."""
        return f"$as_of - INTERVAL {self.rng.choice([6, 24, 48, 72])} HOUR"

    def condition(self, scope: str, depth: int = 0) -> str:
        """Give a condition."""
        number = self.pick(self.columns(scope, "int"))
        word = self.pick(self.columns(scope, "text"))
        at = self.pick(self.columns(scope, "time"))
        options = [
            f"{number} > {self.rng.randint(0, 6)}",
            f"{word} IN ('north', 'ann', 'east')",
            f"{word} IS NULL",
            f"{number} IS DISTINCT FROM 3",
            f"{at} >= {self.window_of_time()}",
            f"{at} >= {self.window_of_time()}",
            f"{at} BETWEEN {self.window_of_time()} AND $as_of",
            f"{at} < $as_of - INTERVAL 12 HOUR",
            f"{word} LIKE '%n%'",
        ]
        if depth < 1:
            left, right = self.condition(scope, depth + 1), self.condition(scope, depth + 1)
            options += [f"({left} OR {right})", f"{left} AND {right}", f"NOT ({left})"]
        return self.pick(options)

    def where(self, scope: str) -> str:
        """Give a WHERE, or none."""
        return self.maybe(f" WHERE {self.condition(scope)}", 0.6)

    def aggregate(self, scope: str) -> str:
        """Give an aggregate."""
        number, word, at = self.int_(scope), self.text(scope), self.time(scope)
        column = self.pick(self.columns(scope, "int"))
        order = self.order_of(scope)
        plain = self.pick(
            [
                "count(*)",
                f"count({word})",
                f"sum({number})",
                f"min({number})",
                f"max({at})",
                f"max({word})",
                f"avg({column})::DECIMAL(18, 6)",
                f"count(DISTINCT {word})",
                f"bool_or({number} > 2)",
                f"quantile_disc({number}, 0.5)",
                f"median({column})::DECIMAL(18, 6)",
            ]
        )
        if plain.startswith("count(DISTINCT") or self.rng.random() < 0.6:
            return self.pick([plain, plain, f"first({word} ORDER BY {order})", f"list({number} ORDER BY {order})"])
        call, cast, kind = plain.partition("::")
        return f"{call} FILTER (WHERE {self.condition(scope)}){cast}{kind}"

    def order_of(self, scope: str) -> str:
        """Give an order that tells any two rows apart."""
        before = self.maybe(f"{self.pick(self.columns(scope, 'time'))}{self.maybe(' DESC')}, ")
        return before + ", ".join(_TOTAL[relation] for relation in scope)

    def window(self, scope: str) -> str:
        """Give a window function."""
        part = self.maybe(f"PARTITION BY {self.text(scope)} ")
        over = f"{part}ORDER BY {self.order_of(scope)}"
        number = self.pick(self.columns(scope, "int"))
        frame = self.maybe(" ROWS BETWEEN 2 PRECEDING AND CURRENT ROW", 0.3)
        return self.pick(
            [
                f"row_number() OVER ({over})",
                f"lag({number}) OVER ({over})",
                f"sum({number}) OVER ({over}{frame})",
                f"count(*) OVER ({part.strip()})",
                f"max({number}) OVER ({part.strip()})",
                f"rank() OVER ({part}ORDER BY {number})",
                f"first_value({number}) OVER ({over}{frame})",
                f"count(*) OVER ({part}ORDER BY {self.pick(self.columns(scope, 'time'))}"
                " RANGE BETWEEN INTERVAL 1 DAY PRECEDING AND CURRENT ROW)",
            ]
        )

    def relation(self) -> tuple[str, str]:
        """Give a FROM clause, and its scope."""
        on = self.pick(["o.courier = c.courier", "o.courier = c.courier AND c.known_at < o.known_at"])
        more = self.maybe(f" AND {self.condition('oc', 1)}", 0.3)
        return self.pick(
            [
                ("orders AS o", "o"),
                ("orders AS o", "o"),
                ("couriers AS c", "c"),
                (f"orders AS o JOIN couriers AS c ON {on}{more}", "oc"),
                (f"orders AS o LEFT JOIN couriers AS c ON {on}{more}", "oc"),
                (f"couriers AS c LEFT JOIN orders AS o ON {on}{more}", "oc"),
                (f"orders AS o SEMI JOIN couriers AS c ON {on}", "o"),
                (f"orders AS o ANTI JOIN couriers AS c ON {on}", "o"),
                ("orders AS o, (VALUES (1), (2)) AS v(n)", "ov"),
                ("(SELECT * FROM orders WHERE parcels > 1) AS o", "o"),
                ("orders AS o, range(2) AS v(n)", "ov"),
            ]
        )

    def named(self, items: list[str]) -> str:
        """List columns under names."""
        return ", ".join(f"{item} AS x{number}" for number, item in enumerate(items))

    def grouped(self) -> str:
        """Give a query with groups."""
        relation, scope = self.relation()
        keys = [self.pick([self.text(scope), f"{self.time(scope)}::DATE", self.int_(scope, 1)])]
        keys += [self.text(scope)] if self.rng.random() < 0.3 else []
        items = keys + [self.aggregate(scope) for _ in range(self.rng.randint(1, 3))]
        how = self.pick(["ALL", "ALL", ", ".join(str(n + 1) for n in range(len(keys))), ", ".join(keys)])
        having = self.maybe(f" HAVING {self.pick(['count(*) > 1', f'max({self.int_(scope, 1)}) > 2'])}", 0.25)
        return f"SELECT {self.named(items)} FROM {relation}{self.where(scope)} GROUP BY {how}{having}"

    def whole(self) -> str:
        """Give a query with an aggregate of all rows."""
        relation, scope = self.relation()
        items = [self.aggregate(scope) for _ in range(self.rng.randint(1, 3))]
        having = self.maybe(" HAVING count(*) > 2", 0.2)
        return f"SELECT {self.named(items)} FROM {relation}{self.where(scope)}{having}"

    def constants(self) -> str:
        """Give a query whose columns are constants, or of the page alone, and maybe an aggregate."""
        relation, scope = self.relation()
        constant = self.pick(["1", "'x'", "$as_of", "$as_of::DATE", "NULL::INTEGER"])
        items = [constant, *([self.aggregate(scope)] if self.rng.random() < 0.6 else [])]
        return f"SELECT {self.named(items)} FROM {relation}{self.where(scope)}{self.maybe(' GROUP BY ALL')}"

    def rows(self) -> str:
        """Give a query with a row for each fact."""
        relation, scope = self.relation()
        items = [
            self.pick([self.int_(scope), self.text(scope), self.time(scope), self.window(scope)]) for _ in range(3)
        ]
        qualify = self.maybe(f" QUALIFY row_number() OVER (ORDER BY {self.order_of(scope)}) <= 2", 0.2)
        limit = self.maybe(f" ORDER BY {self.order_of(scope)} LIMIT 2", 0.15) if not qualify else ""
        return f"SELECT {self.named(items)} FROM {relation}{self.where(scope)}{qualify}{limit}"

    def distinct(self) -> str:
        """Give a query with DISTINCT."""
        relation, scope = self.relation()
        word, number = self.text(scope), self.int_(scope)
        if self.rng.random() < 0.5:
            return f"SELECT DISTINCT {self.named([word, number])} FROM {relation}{self.where(scope)}"
        order = f"{word}, {self.order_of(scope)}"
        return f"SELECT DISTINCT ON ({word}) {self.named([word, number])} FROM {relation} ORDER BY {order}"

    def union(self) -> str:
        """Give two queries put together."""
        parts = []
        for _ in range(2):
            relation, scope = self.relation()
            items = self.pick([[self.text(scope), self.int_(scope)], [self.text(scope), "count(*)"]])
            group = " GROUP BY ALL" if items[1] == "count(*)" else ""
            parts.append(f"SELECT {self.named(items)} FROM {relation}{self.where(scope)}{group}")
        return self.pick([" UNION ALL ", " UNION ", " EXCEPT ", " INTERSECT "]).join(parts)

    def starred(self) -> str:
        """Give a query with a star."""
        star = self.pick(
            [
                "*",
                "o.*",
                "* EXCLUDE (parcels)",
                "* REPLACE (coalesce(parcels, 0) AS parcels)",
                "* RENAME (cents AS pence)",
            ]
        )
        return f"SELECT {star}, order_id AS x0 FROM orders AS o{self.where('o')}"

    def over_cte(self) -> str:
        """Give a query over a CTE that is joined to a source."""
        inner = self.pick(
            [
                "SELECT courier, count(*) AS n, max(known_at) AS last_at FROM orders AS o GROUP BY courier",
                f"SELECT courier, sum(parcels) AS n, max(ordered_at) AS last_at FROM orders AS o{self.where('o')}"
                " GROUP BY ALL",
                "SELECT courier, capacity AS n, hired_at AS last_at FROM couriers AS c",
            ]
        )
        how = self.pick(["JOIN", "LEFT JOIN"])
        last = self.pick(
            [
                "SELECT o.order_id AS x0, s.n AS x1, s.last_at < o.ordered_at AS x2",
                "SELECT o.depot AS x0, sum(s.n) AS x1, count(*) AS x2",
                "SELECT o.order_id AS x0, row_number() OVER (ORDER BY s.n, o.order_id) AS x1",
            ]
        )
        group = " GROUP BY ALL" if "sum(s.n)" in last else ""
        return f"WITH s AS ({inner}) {last} FROM orders AS o {how} s ON s.courier = o.courier{self.where('o')}{group}"

    def renamed(self) -> str:
        """Give a query that gives the columns of a relation names of its own, those of other columns among them."""
        names = list(ORDERS)
        self.rng.shuffle(names)
        listed = ", ".join(names[: self.rng.randint(1, len(names))])
        at = self.pick(["known_at::VARCHAR > '2024'", "true", "order_id IS NOT NULL"])
        item = self.pick(["count(*)", "max(known_at::VARCHAR)", "count(DISTINCT depot::VARCHAR)"])
        return f"SELECT {item} AS x0 FROM orders AS o({listed}) WHERE {at}"

    def nested(self) -> str:
        """Give a query with a subquery within an expression."""
        inner = self.pick(
            [
                "(SELECT count(*) FROM couriers AS c WHERE c.courier = o.courier)",
                "(SELECT max(p.parcels) FROM orders AS p WHERE p.depot = o.depot AND p.known_at < o.known_at)",
                "(SELECT avg(parcels) FROM orders)::DECIMAL(18, 6)",
                "(o.courier IN (SELECT courier FROM couriers))",
                "EXISTS (SELECT 1 FROM couriers AS c WHERE c.capacity > o.parcels)",
            ]
        )
        return f"SELECT o.order_id AS x0, {inner} AS x1 FROM orders AS o{self.where('o')}"

    def existing(self) -> str:
        """Give a query over a table function, and one without any relation."""
        return self.pick(
            [
                "SELECT n AS x0, count(*) AS x1 FROM orders AS o, unnest([1, 2, o.parcels]) AS u(n) GROUP BY ALL",
                "SELECT $as_of::DATE AS x0, 1 AS x1",
                "SELECT d.day AS x0, count(o.order_id) AS x1"
                " FROM (VALUES (DATE '2024-03-02'), (DATE '2024-03-04')) AS d(day)"
                " LEFT JOIN orders AS o ON o.ordered_at::DATE = d.day GROUP BY ALL",
                "SELECT day AS x0 FROM generate_series($as_of - INTERVAL 2 DAY, $as_of, INTERVAL 1 DAY) AS s(day)",
            ]
        )


def queries(seed: int, count: int) -> Iterator[str]:
    """Give so many queries, all different where that can be."""
    generator = Generator(seed)
    for _ in range(count):
        yield generator.query()
