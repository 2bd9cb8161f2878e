"""A check as text for a terminal, and as Markdown for a comment on a pull request: the same lines and tables."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from warehouse.wording import counted

if TYPE_CHECKING:
    from jobs.check.results import CheckResult, ProductCheck

_SHOWN = 20


@dataclass
class Section:
    """A heading, sentences below it, and tables below these, each with a title."""

    title: str
    lines: list[str] = field(default_factory=list)
    tables: list[tuple[str, list[dict[str, Any]]]] = field(default_factory=list)


def sections_of(result: CheckResult) -> list[Section]:
    """Put what a check found into sections: the suite's first, then one for each product that changed."""
    verdict = "passed" if result.passed else f"failed: {counted(len(result.failures), 'thing')} against it"
    first = Section(f"Check {verdict}")
    first.lines = [
        f"Against {result.against}, snapshot {result.snapshot_id}; production's definitions: {result.origin}.",
        *(f"AGAINST IT: {failure}" for failure in result.failures),
        *result.notes,
        *(f"{what}: {', '.join(paths)}" for what, paths in result.files.items() if paths),
    ]
    if not any(result.files.values()):
        first.lines.append("No file differs.")
    if result.unchanged:
        first.lines.append(f"Unchanged: {', '.join(result.unchanged)}.")
    touched = [{**row, "columns": ", ".join(row["columns"])} for row in result.touched]
    first.tables.append(("What depends on the files that changed", touched))
    return [first, *(_of_product(product) for product in result.products)]


def _of_product(one: ProductCheck) -> Section:
    section = Section(one.product, list(_sentences(one)))
    columns = [_shown(vars(column), ("column", "what", "before", "after", "n_rows", "share", "largest"))
               for column in one.columns[:_SHOWN]]  # fmt: skip
    section.tables.append((f"Columns that differ ({len(one.columns)})", columns))
    if one.predictions is not None:
        section.tables.append(
            ("Predictions that changed most", [_shown(row, tuple(row)) for row in one.predictions.first])
        )
    if one.quality.rows:
        title = f"Metrics on {counted(one.quality.n_pages, 'matured page')}, {one.quality.n_rows:,} rows"
        section.tables.append((title, [_shown(row, tuple(row)) for row in one.quality.rows]))
    speaks = [_shown(vars(each), ("kind", "name", "severity", "n_pages", "is_new", "message")) for each in one.speaks]
    section.tables.append(("Checks, gates and monitors that would speak", speaks))
    return section


def _sentences(one: ProductCheck) -> Iterator[str]:
    yield f"Changed: {', '.join(one.changed) or 'nothing that means anything'} ({', '.join(one.files) or 'no file'})."
    yield from (f"{note}." for note in one.notes)
    if one.first is None:
        return
    yield f"{counted(one.n_pages, 'page')} from {one.first} to {one.last} made both ways."
    if one.trained_as_of is not None:
        yield (
            f"{one.version} was trained for this on the labels known by {one.trained_as_of};"
            f" {', '.join(one.before_versions)} wrote them before."
        )
    elif one.version:
        yield f"Written by {one.version}; before by {', '.join(one.before_versions)}."
    if one.made_again:
        yield f"{counted(one.made_again, 'page')} were stale, by late facts: made again first, as production would."
    if one.rows is not None:
        yield (
            f"Rows: {one.rows.n_before:,} before, {one.rows.n_after:,} after; {one.rows.n_came:,} came,"
            f" {one.rows.n_went:,} went."
        )
    if one.labels is not None:
        yield (
            f"Labels: {one.labels.n_before:,} before, {one.labels.n_after:,} after; {one.labels.n_changed:,} changed,"
            f" {one.labels.n_came:,} came, {one.labels.n_went:,} went."
        )
    if one.predictions is not None:
        found = one.predictions
        yield (
            f"Predictions: {100 * found.share:.3g} % differ: {found.n_changed:,} changed, {found.n_came:,} came,"
            f" {found.n_went:,} went, {found.n_same:,} are the same."
        )
    if one.quality.why_not is not None:
        yield f"Metrics: none; {one.quality.why_not}."
    yield from (f"Metrics: {note}." for note in one.quality.notes)
    yield from _cost(one)


def _cost(one: ProductCheck) -> Iterator[str]:
    cost = one.cost
    if cost is None:
        return
    if cost.cpu_before is None or cost.cpu_after is None:
        yield "Cost: features are made as they were."
    else:
        yield (
            f"Cost: a page's features take {cost.cpu_after:.3g} s of CPU, {cost.factor:.3g} times the"
            f" {cost.cpu_before:.3g} s of before."
        )
    takes = f"about {cost.seconds:,.1f} s" if cost.seconds is not None else "nobody knows how long"
    yield f"Stale: {counted(cost.n_stale, 'published page')} more; to make all stale pages again takes {takes}."


def _shown(row: Mapping[str, Any], names: Sequence[str]) -> dict[str, Any]:
    return {name: float(f"{row[name]:.4g}") if isinstance(row[name], float) else row[name] for name in names}


def markdown(sections: Sequence[Section]) -> str:
    """Write sections as Markdown; what comes from definitions and data is no markup."""
    parts = []
    for number, section in enumerate(sections):
        parts.append(f"{'#' if number == 0 else '##'} {_plain(section.title)}")
        parts.append("\n".join(f"- {_plain(line)}" for line in section.lines))
        for title, rows in section.tables:
            if rows:
                parts.append(f"**{_plain(title)}**")
                parts.append(_table(rows))
    return "\n\n".join(part for part in parts if part) + "\n"


def _table(rows: Sequence[Mapping[str, Any]]) -> str:
    names = list(rows[0])
    lines = [names, ["---"] * len(names)]
    lines += [[_plain("" if row.get(name) is None else str(row.get(name))) for name in names] for row in rows]
    return "\n".join(f"| {' | '.join(line)} |" for line in lines)


def _plain(text: str) -> str:
    """Keep text from being read as markup, and in one line."""
    return re.sub(r"([\\`*_\[\]<>|#])", r"\\\1", " ".join(text.split()))
