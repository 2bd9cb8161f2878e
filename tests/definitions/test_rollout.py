"""The key `rollout` of product.yaml: what is read, and what is refused."""

from __future__ import annotations

from decimal import Decimal
from pathlib import Path

import pytest

from tests.conftest import PRODUCT
from warehouse.definitions.rollout import RolloutSettings
from warehouse.definitions.suite import load_definitions
from warehouse.errors import DefinitionError


def with_rollout(root: Path, text: str) -> RolloutSettings:
    path = root / f"sql/products/{PRODUCT}/product.yaml"
    path.write_text(path.read_text().partition("rollout:")[0] + f"rollout: {text}\n")
    settings = load_definitions(root).product(PRODUCT).header.rollout
    assert settings is not None
    return settings


def test_plans_by_name_say_what_they_have_otherwise(starter: Path) -> None:
    plans = "quick: {margin: 0.1, at_most: 20}, careful: {stages: [{shadow: {pages: 30}}], explore: 2%}"
    text = f"{{stages: [{{canary: {{share: 5%, pages: 14}}}}], margin: 0, influenced: true, plans: {{{plans}}}}}"
    found = with_rollout(starter, text.replace("shadow: {", "canary: {share: 9%, "))
    assert found.plan(None).plans == {}
    quick, careful = found.plan("quick"), found.plan("careful")
    assert (quick.margin, quick.at_most, quick.stages, quick.explore) == (0.1, 20, found.stages, None)
    assert (careful.margin, careful.stages[0].pages, careful.explore) == (0, 30, Decimal("0.02"))
    assert careful.influenced
    assert RolloutSettings.model_validate_json(careful.model_dump_json()) == careful
    with pytest.raises(DefinitionError, match=r"the plan `careful`: .* compares what arms served"):
        with_rollout(starter, text)


def test_a_plan_is_read(starter: Path) -> None:
    stages = "[{shadow: {pages: 14 pages}}, {canary: {share: 5%, pages: 14}}, {canary: {share: 0.5, pages: 1}}]"
    found = with_rollout(starter, f"{{stages: {stages}, margin: 0.002, guardrails: [page_seconds, brier]}}")
    assert [stage.pages for stage in found.stages] == [14, 14, 1]
    assert [stage.said for stage in found.stages] == ["shadow", "canary of 5%", "canary of 50%"]
    assert found.largest_share == Decimal("0.5")
    assert found.guardrails == {"page_seconds": 1.0, "brier": 0.0}
    assert (found.unit, found.influenced, found.at_most, found.acute.shift) == ([], False, 60, None)
    listed = with_rollout(starter, "{stages: [{canary: {listed: [o1, o2], pages: 1}}], margin: 0, acute: {shift: 0.2}}")
    assert (listed.stages[0].said, listed.acute.shift) == ("canary of those listed", 0.2)
    assert RolloutSettings.model_validate_json(found.model_dump_json()) == found


@pytest.mark.parametrize(
    ("plan", "why"),
    [
        ("{stages: [], margin: 0}", "at least 1"),
        ("{stages: [{shadow: {pages: 2}}]}", "margin"),
        ("{stages: [{shadow: {pages: 0}}], margin: 0}", "greater than or equal to 1"),
        ("{stages: [{}], margin: 0}", "a stage is `shadow"),
        ("{stages: [{canary: {pages: 2}}], margin: 0}", "one of `share"),
        ("{stages: [{canary: {pages: 2, share: 5%, where: 'true'}}], margin: 0}", "one of `share"),
        ("{stages: [{canary: {pages: 2, where: 'random() < 0.1'}}], margin: 0}", "`random` is not on the list"),
        ("{stages: [{canary: {pages: 2, where: 'EXISTS (FROM ledger.pages)'}}], margin: 0}", "is qualified"),
        ("{stages: [{canary: {pages: 2, share: 120%}}], margin: 0}", "no share between 0 and 100%"),
        ("{stages: [{canary: {pages: 2, share: 5%}}, {shadow: {pages: 2}}], margin: 0}", "shadows come first"),
        (
            "{stages: [{canary: {pages: 2, share: 9%}}, {canary: {pages: 2, share: 5%}}], margin: 0}",
            "shares that shrink",
        ),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, influenced: true}", "no stage serves any"),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, unit: [courier]}", "names `courier`, which is no key"),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, guardrails: [bier]}", "names `bier`; of a binary label there is"),
        ("{stages: [{shadow: {pages: 9}}], margin: 0, at_most: 5 pages}", "the stages take 9 at least"),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, outcome: clicks}", "is `label` or `outcomes/NAME.sql`"),
        ("{stages: [{shadow: {pages: 2}}], margins: 0}", "margin"),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, explore: 2%}", "say `influenced: true`"),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, plans: {a: {unit: [order_id]}}}", "unit"),
        ("{stages: [{shadow: {pages: 2}}], margin: 0, plans: {a: {at_most: 1}}}", "the plan `a`: `rollout.at_most`"),
    ],
)
def test_a_plan_that_makes_no_sense_is_refused(starter: Path, plan: str, why: str) -> None:
    with pytest.raises(DefinitionError, match=why):
        with_rollout(starter, plan)
