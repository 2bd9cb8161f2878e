"""Random suites: a source, feature groups that look back some days or not, two products; and random edits of them."""

from __future__ import annotations

import random
from dataclasses import dataclass, field, replace
from pathlib import Path

from tests.facts.fact_oracle import Definition, named, random_definition

#: What a feature group may have, by what its source has to select for it.
COLUMNS: dict[str, tuple[str, str | None]] = {
    "facts": ("count(*)", None),
    "age": ("date_diff('minute', max(known_at), $as_of)", None),
    "since": ("date_diff('hour', max(placed), $as_of)", None),
    "total": ("sum(n)", "n"),
    "depot": ("max(depot)", "depot"),
    "more": ("max(more)", "coalesce(n, 0) + 1 AS more"),
    "big": ("bool_or(big)", "n > 2 AS big"),
}
LABELS = (
    "(count(*) FILTER (WHERE known_at >= $as_of) > 0)::INTEGER",
    "(hash(id) % 3 = 0)::INTEGER",
    "(max(placed) > $as_of - INTERVAL 4 DAY)::INTEGER",
)
GROUPS = ("of_order", "lately")
TRAINED, OTHER = PRODUCTS = ("orders_one", "orders_two")
YAML = """description: Orders.
keys: [id]
features: [{features}]
label: {{kind: binary, matures_within: 1 day}}
model: {{estimator: logistic_regression}}
pages: {{cron: "0 12 * * *", zone: UTC, since: 2026-01-08}}
valid_for: 24 hours
"""


def _within(days: int | None) -> str:
    return f"WHERE known_at >= $as_of - INTERVAL {days} DAY" if days else ""


@dataclass(frozen=True)
class Group:
    """A feature group: how many days it looks back (None: all), its columns, and what their names end in."""

    days: int | None = None
    columns: tuple[str, ...] = ("facts", "age")
    ending: str = ""

    def text(self, name: str) -> str:
        """Write it as a file."""
        listed = "".join(f", {COLUMNS[one][0]} AS {name}_{one}{self.ending}" for one in self.columns)
        header = "/*\ndescription: Of orders.\nkey: [id]\n*/\n"
        return f"{header}SELECT id{listed}\nFROM orders\n{_within(self.days)}\nGROUP BY id\n"


@dataclass(frozen=True)
class World:
    """All definitions of a suite; `late` is the source's arrives_within in hours."""

    source: Definition = field(default_factory=Definition)
    late: int = 0
    groups: tuple[Group, Group] = (Group(), Group(days=4, columns=("since",)))
    entities_days: tuple[int | None, int | None] = (None, None)
    uses: tuple[tuple[str, ...], tuple[str, ...]] = (GROUPS, GROUPS)
    label: int = 0

    def group(self, name: str) -> Group:
        """Give a feature group."""
        return self.groups[GROUPS.index(name)]

    def entities(self, product: str) -> str:
        """Write the query of a product's entities."""
        return f"SELECT DISTINCT id FROM orders {_within(self.entities_days[PRODUCTS.index(product)])}"

    def features(self, product: str) -> tuple[str, ...]:
        """Name a product's feature groups."""
        return self.uses[PRODUCTS.index(product)]

    def columns(self, product: str) -> list[str]:
        """Name the columns of a product's feature pages besides key and times."""
        groups = {name: self.group(name) for name in self.features(product)}
        return [f"{name}_{one}{group.ending}" for name, group in groups.items() for one in group.columns]

    def days_back(self, product: str) -> int | None:
        """Tell how far back a product's pages look at the source; None: at all of it."""
        days = [self.entities_days[PRODUCTS.index(product)], *(self.group(n).days for n in self.features(product))]
        return None if None in days else max(one for one in days if one is not None)

    def meaning(self, product: str) -> object:
        """Give all that a product's feature pages depend on."""
        used = self.features(product)
        return self.source, self.late, self.entities(product), used, [self.group(name) for name in used]

    def binds(self, product: str) -> bool:
        """Tell whether a product's queries find their columns."""
        wanted = [COLUMNS[one][1] for name in self.features(product) for one in self.group(name).columns]
        return all(one is None or one in self.source.select for one in wanted)

    def write(self, root: Path, delivered: str) -> None:
        """Write all files of the suite; `delivered` says how its source's files come."""
        is_one = delivered == "overwritten"
        source = self.source.text(files="data/orders.csv" if is_one else "data/*.csv", keep=is_one)
        late = f"arrives_within: {self.late} hours\n" if self.late else ""
        files = {"sources/orders.sql": source.replace("*/\nSELECT", f"{late}*/\nSELECT")}
        for name in GROUPS:
            files[f"features/{name}.sql"] = self.group(name).text(name)
        label = f"SELECT id, {LABELS[self.label]} AS label FROM orders GROUP BY id"
        for name in PRODUCTS:
            files[f"products/{name}/product.yaml"] = YAML.format(features=", ".join(self.features(name)))
            files[f"products/{name}/entities.sql"] = f"/*\ndescription: Orders.\n*/\n{self.entities(name)}\n"
            files[f"products/{name}/label.sql"] = f"/*\ndescription: What came of it.\n*/\n{label}\n"
        for path, text in files.items():
            file = root / "sql" / path
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text)


def random_world(rng: random.Random, like: World | None = None) -> World:
    """Make up a world; with `like`, one that differs from it in one thing."""
    old = like or World()
    if like is None:
        for _ in range(3):
            old = random_world(rng, old)
        return old
    kind = rng.choice(("source", "source", "source", "late", "group", "group", "entities", "uses", "label"))
    if kind == "source":
        edited = replace(old, source=random_definition(rng, old.source))
        return _fitted(edited) if rng.random() < 0.8 else edited
    if kind == "late":
        return replace(old, late=2 - old.late)
    if kind == "group":
        return _with_group(rng, old)
    if kind == "entities":
        return replace(old, entities_days=(rng.choice((None, 3, 9)), rng.choice((None, 3, 9))))
    if kind == "uses":
        return replace(old, uses=(old.uses[0], rng.choice((GROUPS, GROUPS[:1], GROUPS[1:]))))
    return replace(old, label=rng.randrange(len(LABELS)))


def _with_group(rng: random.Random, old: World) -> World:
    nth = rng.randrange(2)
    group = old.groups[nth]
    can = [name for name, (_, needs) in COLUMNS.items() if needs is None or needs in old.source.select]
    if rng.random() < 0.3:
        group = replace(group, ending="" if group.ending else "_again")
    elif rng.random() < 0.5:
        group = replace(group, days=rng.choice((None, 2, 5)))
    else:
        group = replace(group, columns=tuple(rng.sample(can, rng.randint(1, min(3, len(can))))))
    return replace(old, groups=(group, old.groups[1]) if nth == 0 else (old.groups[0], group))


def _fitted(world: World) -> World:
    """Leave out of feature groups what their source does not select any more."""
    fitted = []
    for group in world.groups:
        kept = tuple(one for one in group.columns if COLUMNS[one][1] in (None, *world.source.select))
        fitted.append(replace(group, columns=kept or ("facts",)))
    return replace(world, groups=(fitted[0], fitted[1]))


def types_of(definition: Definition) -> dict[str, str]:
    """Give the columns of the source with their DuckDB types."""
    kinds = {
        "n": "INTEGER", "n AS number": "INTEGER", "placed": "TIMESTAMP", "revised": "TIMESTAMP", "gone": "BOOLEAN",
        "n > 2 AS big": "BOOLEAN", "coalesce(n, 0) + 1 AS more": "INTEGER", "length(depot) AS length": "BIGINT",
    }  # fmt: skip
    return {named(text): kinds.get(text, "VARCHAR") for text in definition.select}
