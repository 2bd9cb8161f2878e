"""All definitions of a suite, read at once, with every mistake of every file reported together."""

from __future__ import annotations

import difflib
import functools
import re
from collections.abc import Callable, Collection, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TypeVar

from warehouse.definitions.calendar import Calendar, read_calendar
from warehouse.definitions.entries import is_of_an_entry, read_entries, stray_entries
from warehouse.definitions.product import PAGE, PlainHeader, Product, ProductHeader, read_check, read_rule
from warehouse.definitions.rollout import outcome_names
from warehouse.definitions.source import SYSTEM_COLUMNS, Source, SourceHeader
from warehouse.definitions.sql_file import (
    FeatureGroup,
    SqlFile,
    checked,
    read_group,
    read_header,
    read_sql_file,
    split_header,
)
from warehouse.definitions.yaml.suite_file import SuiteSettings, read_settings
from warehouse.definitions.yaml.yaml_text import YamlText, read_yaml, validate
from warehouse.errors import DefinitionError, NotFoundError, QueryRefused
from warehouse.label_kinds import KINDS
from warehouse.lake.registry import columns_of_pages, names_beside_products
from warehouse.queries.checked_query import CheckedQuery, check_expression, fingerprint_of

T = TypeVar("T")

#: Beside the sources' rejects stands the table of files that could not be read.
ASIDE = "files"


@dataclass(frozen=True)
class Definitions:
    """Everything that a suite's files declare, by name."""

    root: Path
    sources: Mapping[str, Source]
    groups: Mapping[str, FeatureGroup]
    products: Mapping[str, Product]
    settings: SuiteSettings = field(default_factory=SuiteSettings)

    def product(self, name: str) -> Product:
        """Give a product, or say which there are."""
        return _named(self.products, name, "product", "sql/products")

    def source(self, name: str) -> Source:
        """Give a source, or say which there are."""
        return _named(self.sources, name, "source", "sql/sources")

    def group(self, name: str) -> FeatureGroup:
        """Give a feature group, or say which there are."""
        return _named(self.groups, name, "feature group", "sql/features")

    def groups_of(self, product: Product) -> list[FeatureGroup]:
        """Give the feature groups that a product needs, each after those that it reads."""
        read = sorted(product.entities.tables & self.groups.keys())
        return self.ordered_groups([*read, *(use.group for use in product.header.features)])

    def ordered_groups(self, names: Iterable[str]) -> list[FeatureGroup]:
        """Give feature groups, and those that they read, each after those that it reads."""
        ordered: dict[str, FeatureGroup] = {}

        def visit(name: str) -> None:
            group = self.group(name)
            if name not in ordered:
                for table in sorted(group.query.tables & self.groups.keys()):
                    visit(table)
                ordered[name] = group

        for name in names:
            visit(name)
        return list(ordered.values())

    def sources_of(self, product: Product) -> list[Source]:
        """Give the sources that a product's pages are made from, its label left out."""
        queries = [product.entities, *(group.query for group in self.groups_of(product))]
        return self.sources_read(queries)

    def sources_read(self, queries: Iterable[CheckedQuery]) -> list[Source]:
        """Give the sources that some queries read, directly or through feature groups."""
        found: set[str] = set()
        waiting = [table for query in queries for table in query.tables]
        seen: set[str] = set()
        while waiting:
            table = waiting.pop()
            if table in self.sources:
                found.add(table)
            elif table in self.groups and table not in seen:
                seen.add(table)
                waiting.extend(self.groups[table].query.tables)
        return [self.sources[name] for name in sorted(found)]

    def page_fingerprint(self, product: Product) -> str:
        """Hash what a feature page of this product means: its queries as parsed, and its sources."""
        groups = {group.name: [group.query.fingerprint, group.key] for group in self.groups_of(product)}
        uses = [use.model_dump() for use in product.header.features]
        sources = {source.name: source.fingerprint for source in self.sources_of(product)}
        validity = [product.header.valid_until, product.header.valid_for]
        kept = [[*product.ranking.keys, product.ranking.keep]] if product.ranking and product.keeps_part else []
        return fingerprint_of(product.entities.fingerprint, product.keys, uses, groups, sources, validity, *kept)

    def label_fingerprint(self, product: Product) -> str:
        """Hash what a label of this product means."""
        read = self.sources_read([product.label])
        sources = {source.name: source.fingerprint for source in read}
        promises = [{source.name: source.promise} for source in read if source.promises_watermark]
        return fingerprint_of(product.label.fingerprint, product.keys, sources, *promises)

    def label_definition(self, product: Product) -> str:
        """Hash what a label of this product means, and its kind: what stored labels and versions bear.

        That of a binary label is `label_fingerprint`, which lakes made before kinds were hashed have.
        """
        plain, kind = self.label_fingerprint(product), product.header.label.kind
        # What trainings have found changes nothing about what a label means.
        declared = product.header.label.classes
        parts = [sorted(declared)] if declared else []
        return plain if kind == "binary" else fingerprint_of(plain, kind, *parts)

    def texts_of(self, product: Product) -> dict[str, str]:
        """Give the text of every file that bears on a product's pages, by its path in the suite."""
        texts = dict(product.files)
        texts |= {group.file.where: group.file.text for group in self.groups_of(product)}
        behind = self.sources_behind(product)
        texts |= {one.file.where: one.file.text for source in behind for one in (source, *source.entries)}
        return texts

    def sources_behind(self, product: Product) -> list[Source]:
        """Give the sources that a product's pages and labels are made from."""
        groups = (one.query for one in self.groups_of(product))
        return self.sources_read([product.entities, product.label, *product.outcomes.values(), *groups])


def _named(items: Mapping[str, T], name: str, kind: str, folder: str) -> T:
    if name in items:
        return items[name]
    near = difflib.get_close_matches(name, items, n=1)
    hint = f" Did you mean `{near[0]}`?" if near else ""
    there = ", ".join(sorted(items)) or f"none yet; add one under {folder}/"
    raise NotFoundError(f"there is no {kind} `{name}`.{hint} There is: {there}.")


def load_definitions(root: Path) -> Definitions:
    """Read every definition of the suite in `root`.

    Raises
    ------
    NotFoundError
        If the directory is no suite.
    DefinitionError
        With every mistake in every file.
    """
    if not (root / "sql").is_dir():
        raise NotFoundError(
            f"{root} is not a suite: it has no `sql/` directory. Name one with --suite, or make one: almanac init DIR."
        )
    problems: list[str] = []
    settings = read_settings(root, problems)
    read_source = functools.partial(_read_source, root=root)
    sources = _load_each(root, "sql/sources/[!.]*.sql", problems, read_source)
    files = sorted((root / "sql/features").glob("[!.]*.sql"))
    names = {path.stem for path in files} | sources.keys()
    groups = _load_each(root, "sql/features/[!.]*.sql", problems, functools.partial(read_group, names=names))
    products: dict[str, Product] = {}
    paths = sorted((root / "sql/products").glob("[!.]*/product.yaml"))
    for path in paths:
        product = _read_product(path, root, problems, set(sources), {p.stem for p in files})
        if product is not None:
            products[product.name] = product
    problems += stray_entries(root, sources)
    problems += _taken_names(root, {path.parent.name for path in paths})
    problems += _uses(products, groups, sources)
    problems += _products_of_sources(sources, {path.parent.name for path in paths})
    problems += _cycles(groups)
    if problems:
        raise DefinitionError(problems)
    return Definitions(root, sources, groups, products, settings)


def _taken_names(root: Path, products: Collection[str]) -> list[str]:
    """Find names that something else bears: in a sandbox, or among the tables that applications query.

    The names are those of the files, since a group that bears its source's name cannot be read.
    """
    sources, groups = ({path.stem for path in (root / "sql" / kind).glob("*.sql")} for kind in ("sources", "features"))
    problems = [
        f"sql/features/{name}.sql: the name `{name}` is a source's too; rename one."
        for name in sorted(groups & sources)
    ]
    problems += [
        f"sql/{kind}/{PAGE}.sql: checks read the page that is made by the name `{PAGE}`; rename this."
        for kind, names in (("sources", sources), ("features", groups))
        if PAGE in names
    ]
    if ASIDE in sources:
        problems.append(f"sql/sources/{ASIDE}.sql: `rejects.{ASIDE}` lists files that were set aside; rename this.")
    problems += [
        f"sql/sources/{name}.sql: `sources.{name}` is what is current of {name.removesuffix('_current')}; rename this."
        for name in sorted(sources)
        if name.endswith("_current") and name.removesuffix("_current") in sources
    ]
    views = {f"{name}_{ending}": name for name in products for ending in names_beside_products()}
    problems += [
        f"sql/products/{name}/product.yaml: `{name}` is a view of the product {views[name]} already; rename one of"
        " the two."
        for name in sorted(products)
        if name in views
    ]
    return problems


def _load_each(
    root: Path, pattern: str, problems: list[str], read: Callable[[str, SqlFile, list[str]], T | None]
) -> dict[str, T]:
    found: dict[str, T] = {}
    for path in sorted(root.glob(pattern)):
        name = path.stem
        if is_of_an_entry(path) and path.parent.name == "sources":
            continue  # read with its source
        if not _is_plain(name, path.relative_to(root).as_posix(), problems):
            continue
        file = read_sql_file(path, root, problems)
        item = read(name, file, problems) if file else None
        if item is not None:
            found[name] = item
    return found


def _is_plain(name: str, where: str, problems: list[str]) -> bool:
    """See that a name is one that SQL, files and tables can bear without quotes."""
    plain = re.fullmatch("[a-z_][a-z0-9_]*", name) is not None
    if not plain:
        problems.append(f"{where}: the name `{name}` must be lower-case letters, digits and underscores.")
    return plain


def _read_source(name: str, file: SqlFile, problems: list[str], root: Path | None = None) -> Source | None:
    header, entries = read_header(SourceHeader, file, problems), []
    if header is not None and header.deliveries:
        entries = read_entries(name, file, header, root, problems) if root is not None else []
        query = entries[0].query if entries else None
    else:
        query = checked(problems, file.statement, file.where, tables=(), parameters={"files"}, reads_files=True)
    if header is None or query is None:
        return None
    named = {
        "known_at": header.known_at or None,
        "restated_at": header.restated_at,
        "withdrawn": header.withdrawn,
        "watermark": header.watermark,
    }
    expressions = {key: text for key, text in named.items() if text is not None}
    expressions |= {f"rules.{rule}": text for rule, text in header.rules.items()}
    for key, text in expressions.items():
        try:
            check_expression(text, f"{file.at(*key.split('.', 1))}: `{key}`")
        except QueryRefused as error:
            problems.extend(error.problems)
    taken = [column for column in header.key if column in SYSTEM_COLUMNS]
    if taken:
        problems.append(f"{file.at('key')}: the key has {taken}, which the suite adds itself; choose other columns.")
    return Source(name, file, header, query, tuple(entries))


def source_from_text(name: str, text: str) -> Source | None:
    """Read a source from the text that its file once had; None if that is no source any more."""
    problems: list[str] = []
    file = split_header(text, f"sql/sources/{name}.sql", problems)
    source = _read_source(name, file, problems) if file is not None else None
    return source if not problems else None


def _read_product(path: Path, root: Path, problems: list[str], sources: set[str], groups: set[str]) -> Product | None:
    directory, where = path.parent, path.relative_to(root).as_posix()
    if not _is_plain(directory.name, where, problems):
        return None
    text = path.read_text(encoding="utf-8")
    header = validate(ProductHeader, text, where, problems)
    yaml = read_yaml(text, where)
    problems += _product_problems(yaml, where, groups)
    files = {where: text}
    queries: dict[str, CheckedQuery | None] = {}
    rollout = header.rollout if header is not None else None
    # A feature group is of one instant, $as_of; label and checks see the sources at another, or beside the page.
    for stem, tables, parameters in (
        ("entities", sources | groups, {"as_of"}),
        ("label", sources, {"as_of", "known_by"}),
        *((f"outcomes/{name}", sources, {"as_of", "known_by"}) for name in outcome_names(directory, rollout)),
    ):
        if not (directory / f"{stem}.sql").exists():
            problems.append(f"{directory.relative_to(root)}: the file {stem}.sql is missing.")
            continue
        file = read_sql_file(directory / f"{stem}.sql", root, problems)
        if file is not None and read_header(PlainHeader, file, problems):
            files[file.where] = file.text
            queries[stem] = checked(problems, file.statement, file.where, tables=tables, parameters=parameters)
    checks = _load_each(
        root,
        f"{directory.relative_to(root)}/checks/[!.]*.sql",
        problems,
        lambda name, file, found: read_check(name, file, found, sources),
    )
    files |= {check.file.where: check.file.text for check in checks.values()}
    rule = None
    if header is not None and header.model.sql is not None:
        rule = read_rule(directory / header.model.sql, root, problems, files)
        if rule is None:
            return None
    calendar: Calendar | None = Calendar({})
    if header is not None and header.monitor.calendar is not None:
        calendar = read_calendar(directory / header.monitor.calendar, root, problems, files)
    if header is None or calendar is None or queries.get("entities") is None or queries.get("label") is None:
        return None
    entities, label = queries["entities"], queries["label"]
    assert entities is not None
    assert label is not None
    return Product(
        directory.name, where, header, entities, label, files, tuple(checks.values()), yaml.lines, rule, calendar,
        outcomes={f"{name}.sql": query for name, query in queries.items() if name.startswith("outcomes/") and query},
    )  # fmt: skip


def _product_problems(yaml: YamlText, where: str, groups: set[str]) -> list[str]:
    """Find names in product.yaml that do not go, whether the rest of it is right or not."""
    data = yaml.data if isinstance(yaml.data, dict) else {}
    problems = []
    features, keys = (data[key] if isinstance(data.get(key), list) else [] for key in ("features", "keys"))
    for number, use in enumerate(features):
        name = use.get("group") if isinstance(use, dict) else use
        if isinstance(name, str) and name not in groups:
            near = difflib.get_close_matches(name, sorted(groups), n=1)
            hint = f" Did you mean `{near[0]}`?" if near else ""
            line = yaml.line_of(("features", number, "group"))
            problems.append(f"{where}:{line}: there is no feature group `{name}`.{hint} Add sql/features/{name}.sql.")
    label = data.get("label")
    kind = (
        KINDS.get("quantiles" if label.get("quantiles") else str(label.get("kind")))
        if isinstance(label, dict)
        else None
    )
    own = columns_of_pages(kind.columns) if kind else columns_of_pages()
    if taken := [key for key in keys if key in own]:
        line = yaml.line_of(("keys",))
        problems.append(f"{where}:{line}: the keys have {taken}, which the suite adds itself; name them otherwise.")
    return problems


def _products_of_sources(sources: Mapping[str, Source], products: Collection[str]) -> list[str]:
    """Find sources of a product's publications that name no product."""
    return [
        f"{source.file.at('product')}: there is no product `{source.header.product}`; there is:"
        f" {', '.join(sorted(products)) or 'none'}."
        for source in sources.values()
        if source.header.product is not None and source.header.product not in products
    ]


def _uses(products: Mapping[str, Product], groups: Mapping[str, FeatureGroup], sources: Collection[str]) -> list[str]:
    """Find columns that `on:` maps and that are no keys of their group, and sources of `request:` that are none."""
    problems = []
    for product in products.values():
        problems += [f"{product.at(*at)}: {told}" for at, told in product.header.unknown_sources(sources)]
        for number, use in enumerate(product.header.features):
            group = groups.get(use.group)
            for key in use.on:
                if group is not None and key not in group.key:
                    at = product.at("features", number, "on", key)
                    there = ", ".join(group.key)
                    problems.append(f"{at}: `on` maps `{key}`, which is no key column of `{use.group}`: {there}.")
    return problems


def _cycles(groups: Mapping[str, FeatureGroup]) -> list[str]:
    """Find feature groups that read each other in a circle, each circle once."""
    done: set[str] = set()
    told: set[frozenset[str]] = set()

    def visit(name: str, trail: tuple[str, ...]) -> list[str]:
        if name in trail:
            circle = trail[trail.index(name) :]
            if frozenset(circle) in told:
                return []
            told.add(frozenset(circle))
            shown = " -> ".join((*circle, name))
            return [f"{groups[name].file.where}: feature groups read each other in a circle: {shown}."]
        if name in done or name not in groups:
            return []
        found = [problem for table in sorted(groups[name].query.tables) for problem in visit(table, (*trail, name))]
        done.add(name)
        return found

    return [problem for name in groups for problem in visit(name, ())]
