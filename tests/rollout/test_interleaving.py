"""Interleaved lists in a shop of known truth: served, credited with clicks, decided by, and taken back."""

from __future__ import annotations

import csv
import re
import shutil
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from pathlib import Path

import numpy as np
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.predict import predict_pages
from jobs.rollout.look import Looked, look
from jobs.rollout.stages import abort, advance, start
from jobs.suite import Suite, open_suite
from jobs.training.train import train
from tests.conftest import clock_at
from tests.lakes import rows
from tests.worlds.shop import PRODUCT, START, Shop, Truth, make_shop
from warehouse.errors import DefinitionError, UsageError

WORLD = Shop(n_customers=50, n_items=30, n_days=20)
DAY = timedelta(days=1)
P0 = START + 20 * DAY
NEWEST, TASTE = "-age_days", "coalesce(genre_share, 0)"
PLAN = """rollout:
  stages: [{shadow: {pages: 1}}, {canary: {share: 50%, pages: 1}}, {interleave: {pages: 9}}]
  influenced: true
  outcome: outcomes/clicks.sql
  margin: 0.0
  at_most: 40
  plans:
    by_chance: {stages: [{canary: {share: 50%, pages: 2}}], explore: 40%}
"""
CLICKS = """/*
description: What was clicked on within a day of the page.
*/
SELECT customer_id, item_id, count(*) AS outcome
FROM clicks
WHERE clicked_at >= $as_of AND clicked_at < $as_of + INTERVAL 1 DAY
GROUP BY ALL
"""


def at(root: Path, now: datetime) -> Suite:
    return open_suite(root, clock_at(now))


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Truth]:
    """A shop that shows what is newest; v2 ranks by taste."""
    root = tmp_path_factory.mktemp("interleaving") / "shop"
    _, truth = make_shop(root, WORLD)
    ingest(at(root, P0 - DAY / 2))
    directory = root / f"sql/products/{PRODUCT}"
    header = directory / "product.yaml"
    text = re.sub(r"^model:.*?(?=^pages:)", "model: {sql: score.sql}\n", header.read_text(), flags=re.M | re.S)
    header.write_text(text + PLAN)
    (directory / "outcomes").mkdir()
    (directory / "outcomes/clicks.sql").write_text(CLICKS)
    for rule in (NEWEST, TASTE):
        select = f"SELECT customer_id, item_id, {rule} AS score FROM page"
        (directory / "score.sql").write_text(f"/*\ndescription: A rule.\n*/\n{select}\n")
        train(at(root, P0 - DAY / 2), PRODUCT, P0 - DAY)
    return root, truth


def live_through(
    root: Path, truth: Truth, pages: Sequence[datetime], meanwhile: Callable[[], None] = lambda: None
) -> list[Looked]:
    """Show pages to customers, who click on what appeals to them, the less the lower it stands; then look."""
    suite = at(root, pages[-1])
    predict_pages(suite, suite.definitions.product(PRODUCT), list(pages))
    meanwhile()
    shown = rows(suite, f"SELECT as_of, customer_id, item_id, rank FROM predictions.{PRODUCT} ORDER BY ALL")
    appeal, rng = truth.appeal(), np.random.default_rng(3)
    clicks = [
        (customer, item, as_of + timedelta(hours=9))
        for as_of, customer, item, rank in shown
        if as_of in pages and rng.random() < appeal[int(customer[1:]), int(item[1:])] * rank**-WORLD.position_bias
    ]
    with (root / f"data/clicks_{pages[0]:%m%d}.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("customer_id", "item_id", "clicked_at"))
        writer.writerows(clicks)
    ingest(at(root, pages[-1] + DAY))
    return look(at(root, pages[-1] + 2 * DAY), PRODUCT)


def lists_of(suite: Suite, page: datetime, table: str, arm: str | None = None) -> list[tuple[object, ...]]:
    what = "COLUMNS(name -> name NOT IN ('run_id', 'published_at', 'arm'))"
    condition = "" if arm is None else f"AND arm = '{arm}'"
    return rows(suite, f"SELECT {what} FROM predictions.{table} WHERE as_of = $1 {condition} ORDER BY ALL", [page])


def arms_of(suite: Suite, page: datetime) -> list[tuple[object, ...]]:
    what = "arm, model_version, count(*), count(DISTINCT customer_id)"
    return rows(suite, f"SELECT {what} FROM predictions.{PRODUCT} WHERE as_of = $1 GROUP BY ALL ORDER BY ALL", [page])


def taken_back(root: Path, copy: Path, page: datetime) -> None:
    """End the rollout in a copy of the suite: its interleaved page is the live version's, as it stood beside it."""
    shutil.copytree(root, copy)
    suite = at(copy, page)
    before, drafted = lists_of(suite, page, f"{PRODUCT}_arms", "v1"), lists_of(suite, page, PRODUCT)
    assert before != drafted
    assert len(before) == len(drafted)
    abort(suite, PRODUCT, "by hand")
    assert lists_of(suite, page, PRODUCT) == before


def test_lists_that_no_model_chose_are_in_an_order_of_chance_and_stay_so(
    shop: tuple[Path, Truth], tmp_path: Path
) -> None:
    shutil.copytree(shop[0], tmp_path / "shop")
    suite = at(tmp_path / "shop", P0)
    start(suite, PRODUCT, ["v2"], first_page=P0, plan="by_chance")
    predict_pages(suite, suite.definitions.product(PRODUCT), [P0])
    arms = {str(row[0]): row[1:] for row in arms_of(suite, P0)}
    assert arms.keys() == {"explore", "v1", "v2"}
    n_lists = {arm: int(str(row[2])) for arm, row in arms.items()}
    assert sum(n_lists.values()) == WORLD.n_customers
    assert 10 < n_lists["explore"] < 30
    assert arms["explore"][0] == "explore"
    assert all(int(str(row[1])) == 5 * int(str(row[2])) for row in arms.values())
    what = "SELECT customer_id, item_id, rank, score"
    explored = rows(suite, f"{what} FROM predictions.{PRODUCT} WHERE arm = 'explore' ORDER BY ALL")
    assert {(rank, score) for _, _, rank, score in explored} == {(n, 1 / n) for n in range(1, 6)}
    # They are another choice than the live version's, which stands beside them, and another for each customer.
    beside = f"{what} FROM predictions.{PRODUCT}_arms WHERE arm = 'v1' ORDER BY ALL"
    theirs = {(customer, item) for customer, item, _, _ in rows(suite, beside)}
    same = sum((customer, item) in theirs for customer, item, _, _ in explored) / len(explored)
    assert 0.02 < same < 0.5
    assert len({item for _, item, _, _ in explored}) > 15
    assert abort(suite, PRODUCT, "by hand").given_back == [P0]
    assert rows(suite, f"{what} FROM predictions.{PRODUCT} WHERE arm = 'explore' ORDER BY ALL") == explored
    with pytest.raises(UsageError, match="has no `careful`; it has: by_chance"):
        start(suite, PRODUCT, ["v2"], plan="careful")


def test_the_better_ranking_wins_by_what_customers_click_on_and_can_be_taken_back(
    shop: tuple[Path, Truth], tmp_path: Path
) -> None:
    root, truth = shop
    start(at(root, P0), PRODUCT, ["v2"], first_page=P0)
    (shadow,) = live_through(root, truth, [P0])
    assert (shadow.decision, shadow.looks[0].difference) == ("advance", None)
    # A canary is judged by the clicks on what each arm has served, list by list.
    page = P0 + DAY
    (canary,) = live_through(root, truth, [page])
    (found,) = canary.looks
    assert found.loss is not None
    assert found.live_loss is not None
    assert found.difference == pytest.approx(found.loss - found.live_loss)
    suite = at(root, page + 2 * DAY)
    served = {str(row[0]): int(str(row[3])) for row in arms_of(suite, page)}
    clicked = "SELECT count(*) FROM sources.clicks WHERE clicked_at >= $1 AND clicked_at < $1 + INTERVAL 1 DAY"
    (n_clicks,) = rows(suite, clicked, [page])[0]
    assert -served["v1"] * found.live_loss - served["v2"] * found.loss == pytest.approx(n_clicks)
    advance(suite, PRODUCT, "customers are few: interleaved lists tell more")
    pages = [P0 + n * DAY for n in range(2, 17)]
    looked = live_through(root, truth, pages, lambda: taken_back(root, tmp_path / "shop", pages[-1]))
    assert [one.decision for one in looked] == ["wait"] * (len(looked) - 1) + ["promote"], looked[-1].reason
    assert 9 <= len(looked) <= 15
    figures = looked[-1].looks[0]
    assert figures.mean is not None
    assert figures.high is not None
    assert figures.mean < figures.high < 0
    arms = arms_of(suite, pages[0])
    assert [row[:2] for row in arms] == [("v1+v2", "v1"), ("v1+v2", "v2")]
    own = [lists_of(suite, pages[0], f"{PRODUCT}_arms", arm) for arm in ("v1", "v2")]
    assert len(own[0]) == len(own[1]) == sum(int(str(row[2])) for row in arms)


def test_what_does_not_go_together_is_refused(shop: tuple[Path, Truth]) -> None:
    root, _ = shop
    header = root / f"sql/products/{PRODUCT}/product.yaml"
    good = header.read_text()
    now = P0 + 60 * DAY
    try:
        with pytest.raises(UsageError, match="Name one version"):
            start(at(root, now), PRODUCT, ["v2", "v1"])
        for old, new, words in (
            ("influenced: true", "influenced: false", "interleaves lists, to compare what came of each"),
            ("clicks.sql", "revenue.sql", "outcomes/revenue.sql is missing"),
            ("outcomes/clicks.sql", "clicks", "is `label` or `outcomes/NAME.sql`"),
            ("{interleave: {pages: 9}}", "{interleave: {pages: 9}, shadow: {pages: 1}}", "a stage is `shadow"),
        ):
            header.write_text(good.replace(old, new))
            with pytest.raises(DefinitionError, match=re.escape(words)):
                at(root, now)
    finally:
        header.write_text(good)
