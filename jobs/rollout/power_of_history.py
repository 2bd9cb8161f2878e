"""Power of a rollout, from history: after how many pages a difference of so much would be seen."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from jobs.models.versions import model_history
from jobs.monitoring.performance.losses import KINDS_JUDGED, losses
from jobs.progress import Progress
from jobs.rollout.compare import evidence_of_pair
from jobs.rollout.inference.e_process import LEAST, Floats, Rules, paths
from jobs.rollout.inference.power import PowerRow, power
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import UsageError

#: Differences that are asked for, in page standard deviations, where none is named.
_DEVIATIONS = (0.25, 0.5, 1.0, 2.0)


@dataclass(frozen=True)
class PowerOfHistory:
    """What pages of the past say of a rollout to come.

    Attributes
    ----------
    versions, first, last, n_pages
        Whose losses were compared on which pages, of which neither had seen a label.
    deviation, autocorrelation
        Of the difference of their mean losses, page by page.
    block
        Pages are taken in blocks of so many, as they are now.
    rules
        By which it would be decided.
    rows
        One for each difference, as its distance from the margin, in the unit of the loss.
    """

    product: str
    versions: tuple[str, str]
    first: datetime
    last: datetime
    n_pages: int
    deviation: float
    autocorrelation: float
    block: int
    rules: Rules
    rows: Sequence[PowerRow]


def power_of_history(
    suite: Suite,
    product_name: str,
    rules: Rules,
    differences: Sequence[float] = (),
    versions: tuple[str, str] | None = None,
    progress: Progress | None = None,
) -> PowerOfHistory:
    """Simulate rollouts of a product by how much two of its versions differed from page to page.

    Parameters
    ----------
    rules
        By which it would be decided.
    differences
        In the unit of the loss; none: a quarter, a half, one and two page standard deviations.
    versions
        Which two; by default the two newest.

    Raises
    ------
    UsageError
        If there are no two versions, or fewer than 9 pages of which neither has seen a label.
    """
    product = suite.definitions.product(product_name)
    if product.kind.name not in KINDS_JUDGED:
        raise UsageError(f"{product.name}: power is worked out from losses of rows, and lists have none.")
    pair = versions or _newest(suite, product)
    _, evidence = evidence_of_pair(suite, product, pair, None, None, None, progress)
    (one, other), chosen = evidence.scored(*pair)
    loss = [losses(side.labels, side.scores, product.kind.name, product.quantiles) for side in (one, other)]
    past = _page_means(loss[1] - loss[0], one.pages)
    if len(past) < LEAST:
        raise UsageError(
            f"{product.name}: {len(past)} matured pages are there of which neither {pair[0]} nor {pair[1]} has seen a"
            f" label, and at least {LEAST} are needed. Wait for more labels, or name others with --versions."
        )
    deviation = float(past.std(ddof=1))
    found = paths(past[None, :], 0.0)
    asked = differences or [deviation * times for times in _DEVIATIONS]
    seen = np.unique(evidence.pages[chosen]).tolist()
    return PowerOfHistory(
        product.name,
        pair,
        seen[0],
        seen[-1],
        len(past),
        deviation,
        float(found.autocorrelation[0, -1]),
        int(found.block[0, -1]),
        rules,
        power(past.tolist(), asked, rules),
    )


def _newest(suite: Suite, product: Product) -> tuple[str, str]:
    with suite.lake.reading() as connection:
        models = model_history(connection, product.name).models
    if len(models) < 2:
        raise UsageError(
            f"{product.name} has {len(models)} versions, and power is worked out from how two of them differed:"
            f" almanac train {product.name}"
        )
    return models[-2].version, models[-1].version


def _page_means(values: Floats, pages: np.typing.NDArray[np.int64]) -> Floats:
    counts = np.bincount(pages)
    found: Floats = np.bincount(pages, values)[counts > 0] / counts[counts > 0]
    return found
