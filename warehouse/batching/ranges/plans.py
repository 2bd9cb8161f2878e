"""A recognised query, ready to be written out, and the list of what writing it needs.

Several aggregates often share a window, an argument or a partial aggregate; `Needs` numbers each of those
once. The numbers are the column names of the written query: `edge_0`, `input_2`, `measure_1`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TypeVar

from warehouse.batching.ranges.aggregates import Call, Recipe
from warehouse.batching.ranges.windows import Window

Thing = TypeVar("Thing")

#: The measure whose running total counts the facts of a key.
EVERY_FACT = ("count(*)", "BIGINT")


@dataclass(frozen=True)
class Plan:
    """A recognised query, ready to be written out.

    Parameters
    ----------
    bounds
        Expressions of the column `as_of`, one for each bound.
    window
        The outer window, of WHERE and of what has arrived.
    conditions
        WHERE's conditions free of `$as_of`, over the source's columns.
    keys
        The group keys, over the source's columns. Without any, a page has one row even if it reads none.
    calls
        The aggregates with their recipes; the n-th is column `value_n` of what the items see.
    items
        The select list: SQL over `key_n`, `value_n` and `as_of`, and the column's name.
    having
        SQL over the same, or None.
    """

    bounds: tuple[str, ...]
    window: Window
    conditions: tuple[str, ...]
    keys: tuple[str, ...]
    calls: tuple[tuple[Call, Recipe], ...]
    items: tuple[tuple[str, str], ...]
    having: str | None

    @property
    def is_global(self) -> bool:
        """Whether each page has one row, of all that it reads."""
        return not self.keys


@dataclass
class Needs:
    """What a plan needs computed, each thing once.

    Parameters
    ----------
    edges
        Edges of windows, over the columns of `range_bounds`.
    inputs
        What a fact contributes, over the source's columns.
    measures
        Partial aggregates over the inputs that are summed up along a key, with the type of the sum.
    partials
        Partial aggregates over the inputs that are spread.
    moves
        What a measure's running total gains: (measure, lower edge, upper edge).
    values
        By number of the call, its SQL over the moves, or over the lists of the outer window.
    spreads
        By lower edge, upper edge and whether parts are spread (or else facts): the calls' numbers and SQL.
    listed
        The inputs that stand in lists, for keys of few facts: there the same calls are values.
    counted
        The edges up to which a key's facts are counted, which is where a slice of its lists ends.
    """

    edges: list[str] = field(default_factory=list)
    inputs: list[str] = field(default_factory=list)
    measures: list[tuple[str, str]] = field(default_factory=list)
    partials: list[str] = field(default_factory=list)
    moves: list[tuple[int, int, int]] = field(default_factory=list)
    values: dict[int, str] = field(default_factory=dict)
    spreads: dict[tuple[int, int, bool], list[tuple[int, str]]] = field(default_factory=dict)
    listed: list[int] = field(default_factory=list)
    counted: list[int] = field(default_factory=list)

    @classmethod
    def of(cls, plan: Plan) -> Needs:
        """List what a plan needs; the outer window's edges come first."""
        needs = cls()
        needs.window(plan.window)
        for number, (call, recipe) in enumerate(plan.calls):
            needs._add(number, call, recipe)
        return needs

    def steps_of(self, number: int) -> list[str]:
        """Name the steps of the written query that have a call's value, each for other keys."""
        found = [n for n, values in enumerate(self.spreads.values()) if number in dict(values)]
        return ["range_values", *(f"range_spread_{n}" for n in found)]

    def window(self, window: Window) -> tuple[int, int]:
        """Return the numbers of a window's lower and upper edge."""
        return _index(self.edges, window.lower_sql), _index(self.edges, window.upper_sql)

    def _add(self, number: int, call: Call, recipe: Recipe) -> None:
        lower, upper = self.window(call.window)
        source = f"input_{_index(self.inputs, recipe.input)}" if recipe.input is not None else ""
        if recipe.way == "running":
            gains = []
            for aggregate, kind in recipe.measures:
                measure = _index(self.measures, (aggregate.format(x=source), kind))
                gains.append(f"move_{_index(self.moves, (measure, lower, upper))}")
            self.values[number] = f"CAST({recipe.value.format(*gains)} AS {call.type})"
            return
        self.values[number] = recipe.of_list.format(x=self._slice(source, lower, upper))
        over_parts = bool(recipe.measures)
        if over_parts:
            source = f"partial_{_index(self.partials, recipe.measures[0][0].format(x=source))}"
        spread = self.spreads.setdefault((lower, upper, over_parts), [])
        spread.append((number, recipe.value.format(x=source)))

    def _slice(self, source: str, lower: int, upper: int) -> str:
        """Write the part of an input's list that a window holds; the outer window, edges 0 and 1, is cut out first."""
        _index(self.measures, EVERY_FACT)
        _index(self.listed, int(source.removeprefix("input_")))
        for edge in (0, 1, lower, upper):
            _index(self.counted, edge)
        return f"{source}[until_{lower} + 1:until_{upper}]"


def _index(things: list[Thing], thing: Thing) -> int:
    if thing not in things:
        things.append(thing)
    return things.index(thing)
