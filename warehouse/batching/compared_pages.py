"""Which pages of many are made page by page too, and compared, before a quicker way is believed.

Those where it would show best: the newest, which sees most facts; the one after which most facts became known within a
step of the grid, for whoever sees them too early; the oldest, if some source had no fact by then, since a page without
facts is where an aggregate has a row and a group has none; and one at random, for what nobody thought of.
"""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterable, Sequence
from datetime import datetime, timedelta

from warehouse.definitions import Source
from warehouse.sandbox import Sandbox, earlier, timestamp_literal
from warehouse.system_sql import system_sql

_MICROSECOND = timedelta(microseconds=1)


def compared_pages(sandbox: Sandbox, sources: Iterable[Source], pages: Sequence[datetime]) -> list[datetime]:
    """Choose the pages to compare; the same ones for the same pages and facts."""
    in_order = sorted(pages)
    chosen = {in_order[-1], random.Random(str(pages)).choice(in_order)}
    held = [source for source in sources if sandbox.holds(source)]
    counts = [_counts(sandbox, source, in_order) for source in held]
    if any(found[0] == 0 for found in counts):
        chosen.add(in_order[0])
    after = [sum(found[number + 1] for found in counts) for number in range(len(in_order))]
    if max(after) > 0:
        chosen.add(in_order[after.index(max(after))])
    return sorted(chosen)


def _counts(sandbox: Sandbox, source: Source, pages: Sequence[datetime]) -> list[int]:
    """Count the facts that each page sees and the one before does not, and those of a step after the last."""
    step = pages[-1] - pages[-2] if len(pages) > 1 else timedelta(days=1)
    late = source.header.arrives_within + _MICROSECOND
    edges = [earlier(page, late) for page in (*pages, pages[-1] + step)]
    query = system_sql(
        "sandbox/facts_between",
        source=sandbox.relation(source),
        edges=", ".join(map(timestamp_literal, edges)),
        ingest_id=str(sandbox.ingest_id),
    )
    with contextlib.closing(sandbox.cursor()) as cursor:
        row = cursor.execute(query).fetchone()
    found = dict(row[0]) if row and row[0] else {}
    return [int(found.get(edge, 0)) for edge in edges]
