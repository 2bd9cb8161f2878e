"""What a page would cost: its features made before and after, in turn, on the facts as they are; and stale pages.

Only features are measured. A version of the same kind scores at the same rate, and `rows_per_second` among the gates
bounds that.
"""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from datetime import datetime
from pathlib import Path

from jobs.check.results import PageCost
from jobs.pages.costs import Cost
from jobs.pages.plan import plan
from jobs.suite import Suite
from warehouse.batching.batch import Batch
from warehouse.definitions import Product
from warehouse.sandbox import Sandbox

#: How often each side is measured, in turn; the least counts, since nothing makes a query quicker than it is.
_TIMES = 4


def measured(sides: Sequence[tuple[Suite, Product]], page: datetime, directory: Path) -> tuple[float, ...]:
    """Measure the CPU seconds that a page's features take on each side, in turn; the least of a few times."""
    best = [float("inf")] * len(sides)
    with contextlib.ExitStack() as stack:
        sandboxes = [stack.enter_context(Sandbox(suite.lake, spill=directory / "spill")) for suite, _ in sides]
        for _ in range(_TIMES):
            for place, ((suite, product), sandbox) in enumerate(zip(sides, sandboxes, strict=True)):
                began = time.process_time()
                with Batch(sandbox, suite.definitions, product) as batch:
                    batch.compute([page], directory / f"cost-{place}.parquet", 1, lambda _: None)
                best[place] = min(best[place], time.process_time() - began)
    return tuple(best)


def stale_pages(before: Suite | None, after: Suite, product: Product) -> tuple[int, Cost]:
    """Give how many more published pages are stale under the working copy's definitions, and what making them takes.

    Call it before any page is made under them.
    """
    planned = plan(after, product.name)
    were = 0
    if before is not None and product.name in before.definitions.products:
        were = plan(before, product.name).n_stale
    return max(0, planned.n_stale - were), planned.cost_of_stale


def cost_of(cpu: tuple[float, float] | None, n_stale: int, again: Cost) -> PageCost:
    """Put together what a page and the stale pages cost; `cpu` is before and after, None where they are the same."""
    before, after = cpu or (None, None)
    factor = after / before if before and after is not None else 1.0
    seconds = again.seconds * factor if again.seconds is not None else None
    return PageCost(before, after, factor, n_stale, seconds, again.rows)
