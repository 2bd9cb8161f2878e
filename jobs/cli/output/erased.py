"""How an erasure is told: what is held of a person, what ends by it, and what is beyond it."""

from __future__ import annotations

from collections.abc import Iterable, Iterator

from jobs.erasure.erase import Erasure
from warehouse.wording import counted


def lines_of_erasure(found: Erasure, person: str) -> Iterator[str]:
    """Give the lines; `person` is what was asked for."""
    is_done = found.erasure_id is not None
    if is_done:
        yield f"{person} is erased; the ledger has it as erasure {found.erasure_id}, without saying who it was."
    went = "went" if is_done else "would go"
    for table, n_rows in {**found.facts, **found.rows}.items():
        if n_rows:
            yield f"{counted(n_rows, 'row')} of {table} {went}"
    for product, n_pages in found.pages.items():
        if n_pages:
            had = "had" if is_done else "have"
            yield f"{counted(n_pages, 'page')} of {product} {had} counted them: marked, and not stale for it"
    yield from _listed("What counts them among others, and stays", found.counted)
    yield from _listed("Copies of deliveries that hold them, which go", found.copies)
    yield from _listed("What ends", found.ends)
    trained = (f"{product} {version}, on {counted(rows, 'row')} of theirs" for product, version, rows in found.versions)
    yield from _listed("Versions that were trained on them, which stay", trained)
    yield from _listed("Files of models that name them, which stay until the version goes", found.artifacts)
    yield from _listed("What would bring them back, were it not for the tombstone", found.outside)
    yield from _listed("What holds them outside of the lake", found.beyond)
    yield from _listed("They are still named in", found.left)
    if found.left:
        yield "Declare `subject` where these facts come from, or take them out by hand; run the same command again."
        yield "Until then lake/erasing.json knows who it is."
    if not is_done:
        yield "Nothing was changed: add --yes to erase them."


def _listed(title: str, items: Iterable[str]) -> Iterator[str]:
    listed = list(items)
    if listed:
        yield f"{title}:"
    yield from (f"  {item}" for item in listed)
