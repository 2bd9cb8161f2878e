"""Searching for a better model: every try is written down, and the winner is judged on pages that none has seen."""

from __future__ import annotations

import json
import sys
from datetime import timedelta
from typing import Any

import numpy as np
import pytest
from pydantic import ValidationError

from jobs.suite import Suite
from jobs.training.candidates import drawn
from jobs.training.reproduce import reproduce
from jobs.training.samplers import sampler_of
from jobs.training.search import Searching
from jobs.training.train import train
from tests.conftest import PRODUCT, TRAINED_LATER, reopened
from tests.schedule.clock_suites import run, run_json
from warehouse.definitions.pipeline import ModelSettings, Range, SearchSettings
from warehouse.errors import DefinitionError, UsageError

SEARCH = """
search:
  candidates:
    - estimator: hist_gradient_boosting_classifier
      parameters: {max_iter: {low: 5, high: 30}, max_leaf_nodes: [3, 4], learning_rate: {low: 0.02, high: 0.3}}
    - {estimator: logistic_regression, parameters: {C: {low: 0.01, high: 10.0, log: true}}}
    - {estimator: logistic_regression, parameters: {C: -1}}
  without: [courier_load]
"""
CANDIDATES: dict[str, Any] = {
    "candidates": [
        {"estimator": "a", "parameters": {"n": {"low": 1, "high": 9}, "x": {"low": 0.1, "high": 10.0, "log": True}}},
        {"estimator": "b", "parameters": {"kind": ["p", "q"], "fixed": 3, "weights": {"late": 2}}},
    ],
    "without": ["load"],
}


COLUMNS = {"load": ["load_1", "load_2"]}


def searched(suite: Suite, text: str = SEARCH) -> None:
    path = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    path.write_text(path.read_text() + text)


def test_trials_are_drawn_from_a_seed_and_within_what_is_said() -> None:
    search, model = SearchSettings.model_validate(CANDIDATES), ModelSettings(estimator="a", parameters={"n": 5}, seed=3)
    trials, again = ([drawn(search, model, COLUMNS, number) for number in range(1, 200)] for _ in range(2))
    assert trials == again
    assert [trial.model.estimator for trial in trials[:4]] == ["a", "b", "a", "b"]
    found = [trial.model.parameters for trial in trials if trial.model.estimator == "a"]
    assert {one["n"] for one in found} == set(range(1, 10))
    assert all(0.1 <= one["x"] <= 10 for one in found)
    # Evenly by the logarithm: as many below 1 as above it.
    assert 0.35 < np.mean([one["x"] < 1 for one in found]) < 0.65
    others = [trial.model.parameters for trial in trials if trial.model.estimator == "b"]
    assert {one["kind"] for one in others} == {"p", "q"}
    assert all(one["fixed"] == 3 and one["weights"] == {"late": 2} for one in others)
    left_out = {trial.without: tuple(trial.model.leave_out) for trial in trials}
    assert left_out == {None: (), "load": ("load_1", "load_2")}


def test_optuna_comes_closer_to_the_best_than_chance_and_stays_within_what_is_said() -> None:
    def least_of(sampler: str, seed: int) -> list[tuple[float, dict[str, Any]]]:
        search = SearchSettings.model_validate({**CANDIDATES, "sampler": sampler})
        chosen = sampler_of(search, ModelSettings(estimator="a", seed=seed), COLUMNS, "product.yaml")
        tried = []
        for number in range(1, 41):
            trial = chosen.trial(number)
            own = trial.model.parameters
            # The best is known: estimator a with n of 7 and x of 2, with all groups. One in seven fails.
            loss = abs(own["n"] - 7) / 9 + abs(np.log(own["x"] / 2)) if trial.model.estimator == "a" else 9.0
            loss += trial.without is not None
            chosen.learn(trial, None if number % 7 == 0 else loss)
            tried.append((loss, {"estimator": trial.model.estimator, **own}))
        return tried

    by_seed = {sampler: [least_of(sampler, seed) for seed in range(8)] for sampler in ("random", "tpe")}
    last = {
        sampler: np.median([np.median([loss for loss, _ in tried[20:]]) for tried in of_seeds])
        for sampler, of_seeds in by_seed.items()
    }
    assert last["tpe"] < last["random"] / 2
    assert least_of("tpe", 3) == by_seed["tpe"][3]
    for _, own in (one for tried in by_seed["tpe"] for one in tried):
        assert (0.1 <= own["x"] <= 10 and own["n"] in range(1, 10)) if own["estimator"] == "a" else own["fixed"] == 3


def test_without_optuna_it_is_said_what_to_install(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "optuna", None)
    search = SearchSettings.model_validate({**CANDIDATES, "sampler": "tpe"})
    with pytest.raises(UsageError, match=r"install almanac\[search\]"):
        sampler_of(search, ModelSettings(estimator="a"), COLUMNS, "product.yaml:3")


@pytest.mark.parametrize("wrong", [{"low": 3, "high": 3}, {"low": 0, "high": 1, "log": True}])
def test_a_range_that_is_none_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError, match="low"):
        Range.model_validate(wrong)


def test_the_best_of_earlier_pages_is_trained_and_every_try_is_in_the_ledger(paged: Suite) -> None:
    searched(paged)
    suite = reopened(paged)
    result = train(suite, PRODUCT, TRAINED_LATER, searching=Searching(trials=10))
    trials = result.trials
    assert sum(one.rung == 0 for one in trials) == 10
    assert {one.state for one in trials if one.rung == 0} == {"kept", "dropped", "failed"}
    # A parameter that its library refuses is a trial that failed, with the words.
    failed = [one for one in trials if one.state == "failed"]
    assert {one.parameters for one in failed} == {'{"C": -1}'}
    assert all("C" in (one.reason or "") for one in failed)
    (won,) = [one for one in trials if one.state == "won"]
    last = [one for one in trials if one.rung == 2]
    assert won.loss == min(one.loss for one in last if one.loss is not None)
    # The model of product.yaml is tried up to the end.
    assert 0 in {one.trial for one in last}
    # Rungs are newer and newer parts of the same pages, and each has twice as many as the one before.
    assert [one.n_pages for one in sorted(trials, key=lambda one: one.rung)] == sorted(one.n_pages for one in trials)
    # No try has seen a page that the training holds out, nor a label that came later.
    held_out = json.loads(result.model.validation or "")["folds"][0]["cutoff"]
    assert {str(one.known_by) for one in trials} == {held_out}
    assert all(one.first_page < one.cutoff < one.known_by for one in trials)
    assert result.model.estimator == won.estimator
    assert result.model.parameters == won.parameters
    assert json.loads(result.model.validation or "")["search"]["trial"] == won.trial
    query = "SELECT count(*) AS n, count(*) FILTER (state = 'won') AS won FROM ledger.trials"
    assert json.loads(run(suite.root, "query", query, "--format", "json")) == [{"n": len(trials), "won": 1}]
    again = reproduce(suite, PRODUCT, result.model.version)
    assert (again.same, again.same_rows, again.differences) == (True, True, [])


def test_what_keeps_from_searching_is_said_and_a_budget_ends_it(paged: Suite) -> None:
    with pytest.raises(UsageError, match="no key `search`"):
        train(paged, PRODUCT, TRAINED_LATER, searching=Searching())
    said = run(paged.root, "train", PRODUCT, "--search", "--stateful", expect=2)
    assert "--search tries new estimators" in said
    assert "--budget goes with" in run(paged.root, "train", PRODUCT, "--budget", "1m", expect=2)
    searched(paged, SEARCH.replace("courier_load", "courier"))
    with pytest.raises(UsageError, match=r"\['courier'\] are no feature groups"):
        train(reopened(paged), PRODUCT, TRAINED_LATER, searching=Searching())
    path = paged.root / f"sql/products/{PRODUCT}/product.yaml"
    text = path.read_text().replace("[courier]", "[]")
    path.write_text(text.replace("{estimator: logistic_regression, parameters: {C: -1}}", "estimator: logistic"))
    with pytest.raises(DefinitionError, match="there is no estimator `logistic`"):
        train(reopened(paged), PRODUCT, TRAINED_LATER, searching=Searching())
    path.write_text(text + "  page_seconds: 0.000000001\n")
    # Without time for any other, the model of product.yaml is what is trained; what is slow is out.
    arguments = ("--as-of", f"{TRAINED_LATER}", "--search", "--trials", "4", "--budget", "0.001 seconds")
    found = run_json(paged.root, "train", PRODUCT, *arguments)
    assert found["estimator"] == "hist_gradient_boosting_classifier"
    assert {one["state"] for one in found["trials"]} == {"kept", "not run", "won"}
    slow = train(reopened(paged), PRODUCT, TRAINED_LATER, searching=Searching(2, timedelta(hours=1)))
    assert [one.state for one in slow.trials] == ["kept", "too slow", "kept", "won"]
