"""By which columns a query is split into shards, chosen among those for which its trace has no fault."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from warehouse.batching.splitting.joins import equalities
from warehouse.batching.splitting.relations import Column, Relation
from warehouse.batching.splitting.tracing import Fault, Trace
from warehouse.batching.syntax.parsing import Workbench
from warehouse.batching.syntax.shapes import KNOWN_AT, NotUnderstood, Reason
from warehouse.lake.storage.key_buckets import DIVIDE
from warehouse.queries.syntax_tree import EXPRESSION, QUERY, RELATION, Node, walk

#: A source of up to this many rows may be read whole by every shard.
SMALL_ROWS = 1_000_000
#: So many columns make shards even enough.
_MOST_COLUMNS = 4
#: Of more sources than this, only the largest are tried.
_MOST_SOURCES = 4
_NOWHERE = 2**64 - 1


@dataclass(frozen=True)
class SplitSource:
    """What is known of a source: its columns with their types, how many rows it has, and how its files are laid out."""

    columns: Mapping[str, str]
    n_rows: int
    buckets: tuple[str, ...] = ()


@dataclass(frozen=True)
class Split:
    """How a query is split: by source, the columns whose values are hashed; `whole` are those that all shards read."""

    columns: Mapping[str, tuple[str, ...]]
    whole: tuple[str, ...]

    def __str__(self) -> str:
        by = " and ".join(f"{', '.join(columns)} of {source}" for source, columns in sorted(self.columns.items()))
        return f"by {by}" + (f"; {', '.join(self.whole)} read whole" if self.whole else "")


def split(
    text: str, key: Sequence[str], sources: Mapping[str, SplitSource], groups: Mapping[str, str]
) -> Split | Reason:
    """Say how a query is split, or why it cannot be.

    Parameters
    ----------
    text
        Of the query, as its file has it, the header blanked out.
    key
        The columns that its rows are told by, which are preferred.
    sources
        The sources that it reads, directly and through feature groups.
    groups
        The text of the feature groups that it reads, each after those that it reads itself.
    """
    with Workbench() as bench:
        try:
            return _Search(bench, text, key, sources, groups).best()
        except NotUnderstood as why:
            return Reason(f"it is not understood ({why})")


class _Search:
    def __init__(
        self,
        bench: Workbench,
        text: str,
        key: Sequence[str],
        sources: Mapping[str, SplitSource],
        groups: Mapping[str, str],
    ) -> None:
        self._bench, self._texts = bench, {**groups, "": text}
        self._trees = {name: bench.statement(one) for name, one in self._texts.items()}
        self._key, self._sources = [name.lower() for name in key], sources
        self._largest = sorted(sources, key=lambda name: (-sources[name].n_rows, name))[:_MOST_SOURCES]
        self._named, self._linked = self._names()

    def _names(self) -> tuple[set[str], set[frozenset[str]]]:
        """Give the names of columns that the queries mention, and those of which joins compare two."""
        named, linked = set(self._key), set[frozenset[str]]()
        for tree in self._trees.values():
            for sort, node in walk(QUERY, tree):
                if sort == EXPRESSION and node["class"] == "COLUMN_REF":
                    named.add(str(node["column_names"][-1]).lower())
                if sort == RELATION and node["type"] == "JOIN":
                    named |= {str(name).lower() for name in node["using_columns"] or ()}
                for place in ("condition", "where_clause"):
                    for one, other in equalities(node.get(place)) if sort in (QUERY, RELATION) else ():
                        linked.add(frozenset({one[-1], other[-1]}))
        return named - {KNOWN_AT}, linked

    def best(self) -> Split | Reason:
        """Give the split that leaves the fewest rows to be read whole."""
        if not self._sources:
            return Reason("it reads no source")
        for chosen in self._subsets():
            found = [each for each in self._assignments(chosen) if not self._faults(each)]
            if found:
                split = self._made(chosen, self._even(chosen, found))
                large = [name for name in split.whole if self._sources[name].n_rows > SMALL_ROWS]
                if not large:
                    return split
                n_rows, why = self._sources[large[0]].n_rows, self._why_not([*chosen, large[0]])
                return Reason(f"{why}, so that every shard would read {large[0]} whole, which has {n_rows:,} rows")
        return self._why_not(self._largest[:1])

    def _subsets(self) -> Iterator[tuple[str, ...]]:
        """Give sets of sources to be split, that of the most rows first."""
        sizes = range(1, len(self._largest) + 1)
        every = itertools.chain.from_iterable(itertools.combinations(self._largest, size) for size in sizes)
        return iter(sorted(every, key=lambda names: (-sum(self._sources[one].n_rows for one in names), -len(names))))

    def _candidates(self, source: str) -> list[str]:
        columns = self._sources[source].columns
        known = [name for name, kind in columns.items() if name.lower() in self._named and kind in DIVIDE]
        return sorted(known, key=lambda name: (name.lower() not in self._key, list(columns).index(name)))

    def _assignments(self, chosen: Sequence[str]) -> Iterator[dict[str, tuple[str, ...]]]:
        """Give one column of each of some sources, of one type and of names that belong together."""
        for columns in itertools.product(*map(self._candidates, chosen)):
            kinds = {self._sources[source].columns[name] for source, name in zip(chosen, columns, strict=True)}
            names = [name.lower() for name in columns]
            pairs = {frozenset(pair) for pair in itertools.combinations(names, 2)}
            if len(kinds) == 1 and all(len(pair) == 1 or pair in self._linked for pair in pairs):
                yield {source: (name,) for source, name in zip(chosen, columns, strict=True)}

    def _even(
        self, chosen: Sequence[str], found: Sequence[Mapping[str, tuple[str, ...]]]
    ) -> dict[str, tuple[str, ...]]:
        """Put columns together, so that shards are even: those of a layout, or of the key, where there are any."""
        if laid_out := self._laid_out(chosen, found):
            return laid_out
        of_key = [each for each in found if each[chosen[0]][0].lower() in self._key]
        taken = (of_key or found)[:_MOST_COLUMNS]
        together = {source: tuple(each[source][0] for each in taken) for source in chosen}
        return dict(taken[0]) if self._faults(together) else together

    def _laid_out(
        self, chosen: Sequence[str], found: Sequence[Mapping[str, tuple[str, ...]]]
    ) -> dict[str, tuple[str, ...]] | None:
        """Give the columns by which the files of one of the sources are laid out, if it can be split by them."""
        for source in chosen:
            by = self._sources[source].buckets
            taken = [next((each for each in found if each[source] == (column,)), None) for column in by]
            together = {one: tuple(each[one][0] for each in taken if each is not None) for one in chosen}
            if by and None not in taken and not self._faults(together):
                return together
        return None

    def _made(self, chosen: Sequence[str], columns: Mapping[str, tuple[str, ...]]) -> Split:
        return Split(columns, tuple(sorted(self._sources.keys() - set(chosen))))

    def _faults(self, split: Mapping[str, tuple[str, ...]]) -> list[tuple[str, Fault]]:
        """Trace the queries; give the faults, each with the name of the query that it is in."""
        tables = {name: _shown(source, split.get(name)) for name, source in self._sources.items()}
        faults: list[tuple[str, Fault]] = []
        for name, tree in self._trees.items():
            trace = Trace(tables, len(next(iter(split.values()))))
            tables[name] = trace.query(tree)
            faults += [(name, fault) for fault in trace.faults]
        if not faults and tables[""].is_whole:
            faults.append(("", Fault(f"it shows no rows of {' or '.join(split)}", self._trees[""])))
        return faults

    def _why_not(self, sources: Sequence[str]) -> Reason:
        """Say which clause stands in the way of those columns of some sources that come closest."""
        tried = [(self._faults(each), each[sources[-1]][0]) for each in self._assignments(sources)]
        if not tried:
            return Reason(f"it names no column of {' and '.join(sources)} that rows could be shared out by")
        faults, name = min(tried, key=lambda one: len(one[0]))
        query, fault = faults[0]
        held = f" `{name}`" if fault.sentence.endswith("hold") else ""
        inside = f"the feature group {query}: " if query else ""
        return Reason(f"{inside}{fault.sentence}{held}{self._place(query, fault.node)}")

    def _place(self, query: str, node: Node) -> str:
        """Say at which line a clause stands."""
        at = node.get("query_location")
        if at is None or at == _NOWHERE:
            return ""
        line = self._texts[query].encode()[:at].count(b"\n") + 1
        return f" (line {line}: {self._clause(node)})" if node.get("class") == "WINDOW" else f" (line {line})"

    def _clause(self, node: Node) -> str:
        try:
            return (
                f"PARTITION BY {', '.join(map(self._bench.text, node['partitions']))}"
                if node["partitions"]
                else "OVER ()"
            )
        except NotUnderstood:
            return "PARTITION BY"


def _shown(source: SplitSource, columns: Sequence[str] | None) -> Relation:
    """Give a source as a shard sees it."""
    places = {name.lower(): frozenset({place}) for place, name in enumerate(columns or ())}
    named = dict.fromkeys((*source.columns, KNOWN_AT))
    return Relation(tuple(Column(one.lower(), places.get(one.lower(), frozenset())) for one in named), columns is None)
