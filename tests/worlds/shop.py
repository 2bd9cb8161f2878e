"""A shop: customers with tastes, items that come and go, and clicks that fall with the place at which an item is shown.

Each day every customer is shown some items, in an order by chance, and clicks on one with the chance that it appeals to
them times the chance that they look so far down. What appeals is known: a taste for the item's genre, and its quality.
So the best that any ranking can do is known too, and whether a model has learnt tastes, or only what is popular.
"""

from __future__ import annotations

import csv
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_bare
from tests.conftest import clock_at

START = datetime(2026, 1, 1)
PRODUCT = "shelf"
SQL = Path(__file__).parent / "sql"


@dataclass(frozen=True)
class Shop:
    """How large the world is, and how long it runs; `seed` makes it the same each time."""

    n_customers: int = 60
    n_items: int = 40
    n_genres: int = 4
    n_days: int = 40
    shown: int = 10
    #: An item is on sale for so many days, about.
    days_on_sale: float = 20
    #: The chance that a customer looks at place p is (p + 1) to the power of minus this.
    position_bias: float = 0.6
    seed: int = 1

    def truth(self) -> Truth:
        """Draw what nobody in the world sees: tastes, qualities, and which item is of which genre, on sale when."""
        rng = np.random.default_rng(self.seed)
        genres = rng.integers(0, self.n_genres, self.n_items)
        tastes = rng.dirichlet(np.full(self.n_genres, 0.4), self.n_customers)
        listed = np.sort(rng.integers(-10, self.n_days - 5, self.n_items)).clip(0)
        gone = listed + 1 + rng.geometric(1 / self.days_on_sale, self.n_items)
        return Truth(tastes, genres, rng.normal(scale=0.3, size=self.n_items), listed, gone)


@dataclass(frozen=True)
class Truth:
    """Tastes (n_customers, n_genres), and of each item its genre, quality, first day on sale, and first day gone."""

    tastes: npt.NDArray[np.float64]
    genres: npt.NDArray[np.int64]
    quality: npt.NDArray[np.float64]
    listed: npt.NDArray[np.int64]
    gone: npt.NDArray[np.int64]

    def appeal(self) -> npt.NDArray[np.float64]:
        """Give (n_customers, n_items) the chance of a click on what is looked at."""
        return np.asarray(1 / (1 + np.exp(-(5 * self.tastes[:, self.genres] + self.quality - 3))))


def write_facts(shop: Shop, directory: Path) -> Truth:
    """Write items, their ends, and what was shown and clicked, as CSV files; give the truth behind them."""
    truth, rng = shop.truth(), np.random.default_rng(shop.seed + 1)
    appeal, looks = truth.appeal(), (np.arange(shop.shown) + 1.0) ** -shop.position_bias
    shown: list[tuple[Any, ...]] = []
    clicks: list[tuple[Any, ...]] = []
    for day in range(shop.n_days):
        on_sale = np.flatnonzero((truth.listed <= day) & (day < truth.gone))
        for customer in range(shop.n_customers):
            chosen = rng.permutation(on_sale)[: shop.shown]
            seen_at = START + timedelta(days=day, minutes=int(rng.integers(8 * 60, 20 * 60)))
            clicked = rng.random(len(chosen)) < appeal[customer, chosen] * looks[: len(chosen)]
            for place, item in enumerate(chosen):
                key = (f"c{customer:04}", f"i{item:04}")
                shown.append((*key, place, seen_at))
                if clicked[place]:
                    clicks.append((*key, seen_at + timedelta(minutes=1)))
    items = [(f"i{n:04}", f"g{truth.genres[n]}", _day(truth.listed[n])) for n in range(shop.n_items)]
    ends = [(f"i{n:04}", _day(truth.gone[n])) for n in range(shop.n_items) if truth.gone[n] < shop.n_days]
    directory.mkdir(parents=True, exist_ok=True)
    _write(directory / "items.csv", ("item_id", "genre", "listed_at"), items)
    _write(directory / "ends.csv", ("item_id", "ended_at"), ends)
    _write(directory / "shown.csv", ("customer_id", "item_id", "place", "shown_at"), shown)
    _write(directory / "clicks.csv", ("customer_id", "item_id", "clicked_at"), clicks)
    return truth


def _day(day: Any) -> datetime:
    return START + timedelta(days=int(day))


def _write(file: Path, names: tuple[str, ...], rows: Iterable[tuple[Any, ...]]) -> None:
    with file.open("w", newline="") as opened:
        writer = csv.writer(opened)
        writer.writerow(names)
        writer.writerows(rows)


def make_shop(root: Path, shop: Shop, top: int = 5, model: str | None = None) -> tuple[Suite, Truth]:
    """Make a suite over the world, whose product ranks for each customer what is on sale; give the truth behind it."""
    make_bare(root)
    for file in SQL.rglob("*.*"):
        target = root / "sql" / file.relative_to(SQL)
        target.parent.mkdir(parents=True, exist_ok=True)
        text = file.read_text().replace("TOP", str(top)).replace("AT_MOST", str(shop.n_items))
        if model is not None and file.name == "product.yaml":
            text = text[: text.index("model:")] + f"model: {model}\n" + text[text.index("pages:") :]
        target.write_text(text)
    truth = write_facts(shop, root / "data")
    return open_suite(root, clock_at(_day(shop.n_days))), truth
