"""What one look decides, and what it says would be decided next."""

from __future__ import annotations

import re
from dataclasses import replace
from datetime import datetime

import numpy as np
import pytest

from jobs.rollout.inference.acute_rules import Acute, acute_loss, acute_shift
from jobs.rollout.inference.e_process import Rules, evidence_of, paths
from jobs.rollout.inference.sample_ratio import log_ratio_e, sample_ratio
from jobs.rollout.inference.verdict import ArmFigures, Guardrail, StageFigures, best_of, decide

RULES = Rules(0.2, n_guardrails=1)
STAGE = StageFigures("canary 5%", 40, 14, 40, is_last=False)
NOISE = np.random.default_rng(1).normal(size=60)
EQUAL, BETTER, WORSE = ([*(NOISE[:40] * 0.3 + shift)] for shift in (0.2, -0.2, 0.7))


def actions(arm: ArmFigures, stage: StageFigures = STAGE, rules: Rules = RULES) -> tuple[str, str, str]:
    (look,), decision = decide(rules, stage, [arm])
    assert look.decision.action == decision.action
    return decision.action, look.decision.reason, look.then


def test_a_challenger_goes_on_when_it_is_not_worse_and_is_promoted_after_the_last_stage_with_gates_passed() -> None:
    arm, last = ArmFigures("v2", BETTER), replace(STAGE, is_last=True)
    assert actions(arm)[0] == "advance"
    assert actions(arm, replace(STAGE, n_pages=13))[:2] == ("wait", "13 of 14 matured pages of canary 5%")
    assert actions(replace(arm, gates=""), last)[0] == "promote"
    held = actions(replace(arm, gates="brier: 0.2, at most 0.1"), last)
    assert held[0] == "wait"
    assert "brier: 0.2" in held[1]
    over = actions(replace(arm, gates="brier: 0.2, at most 0.1"), replace(last, n_total=60))
    assert over[0] == "undecided"
    assert "brier: 0.2" in over[1]


def test_a_difference_that_is_not_decided_ends_with_the_live_version() -> None:
    action, reason, then = actions(ArmFigures("v2", EQUAL))
    assert action == "wait"
    assert "that it is not worse by 0.2" in reason
    assert "undecided in 20 pages, if the mean stays" in then
    assert actions(ArmFigures("v2", EQUAL), replace(STAGE, n_total=60))[0] == "undecided"
    action, _, then = actions(ArmFigures("v2", BETTER[:5]), replace(STAGE, n_pages=14))
    assert (action, then[:15]) == ("wait", "nothing yet: fe")
    assert "advance in about" in actions(ArmFigures("v2", BETTER[:14]), replace(STAGE, n_pages=10))[2]


def test_what_speaks_against_a_challenger_takes_it_out() -> None:
    page = datetime(2026, 1, 2)
    against = {
        "worse by more than 0.2": ArmFigures("v2", WORSE),
        "page 2026-01-02 00:00": ArmFigures("v2", BETTER, acute=Acute("loss", page, 3.0, 1.0)),
        "guardrail brier is worse": ArmFigures("v2", BETTER, {"brier": Guardrail([*(NOISE[:40] * 0.1 + 0.4)])}),
        "do not have the ratio": ArmFigures(
            "v2", BETTER, ratio=sample_ratio({"v1": 900, "v2": 300}, {"v1": 0.5, "v2": 0.5})
        ),
    }
    for words, arm in against.items():
        action, reason, then = actions(arm)
        assert (action, then) == ("abort", "")
        assert words in reason
    # A guardrail has a margin of its own.
    kept = ArmFigures("v2", BETTER, {"brier": Guardrail([*(NOISE[:40] * 0.1 + 0.4)], margin=0.4)})
    assert actions(kept)[0] == "advance"


def test_a_shadow_of_predictions_that_influence_the_outcome_ends_after_its_pages() -> None:
    shadow = StageFigures("shadow", 13, 14, 13, is_last=False, decides=False)
    assert actions(ArmFigures("v2", []), shadow)[2] == "advance after 1 more pages, if nothing speaks against it"
    assert actions(ArmFigures("v2", []), replace(shadow, n_pages=14))[0] == "advance"


def test_challengers_go_through_the_stages_together_and_the_best_is_promoted() -> None:
    rules, last = replace(RULES, n_challengers=3), replace(STAGE, is_last=True)
    best = [d - 0.3 for d in BETTER]
    arms = [ArmFigures("v2", BETTER, gates=""), ArmFigures("v3", WORSE), ArmFigures("v4", best, gates="")]
    looks, decision = decide(rules, last, arms)
    assert [look.decision.action for look in looks] == ["promote", "abort", "promote"]
    assert decision.action == "promote"
    chosen = best_of(looks)
    assert chosen is not None
    assert chosen.version == "v4"
    looks, decision = decide(rules, last, [*arms, ArmFigures("v5", EQUAL, gates="")])
    assert decision.action == "wait"
    assert decision.reason.startswith("v5: ")
    assert decide(rules, STAGE, arms[:1])[1].action == "advance"
    assert decide(rules, last, [arms[1]])[1].action == "abort"
    late = replace(STAGE, n_total=60)
    assert decide(rules, late, [arms[0], ArmFigures("v5", EQUAL)])[1].action == "undecided"


def test_pages_that_are_all_alike_are_evidence_too_and_identical_versions_go_on_within_a_margin() -> None:
    assert evidence_of([0.1] * 20, 0.0, 20.0).worse
    assert evidence_of([0.0] * 20, 0.002, 20.0).good
    same = evidence_of([0.0] * 40, 0.0, 20.0)
    assert (same.worse, same.good, same.mean) == (False, False, 0.0)
    none = evidence_of([], 0.0, 20.0)
    assert (none.n_pages, none.worse, none.good) == (0, False, False)


def test_what_stands_at_a_page_does_not_depend_on_later_pages_and_units_do_not_matter() -> None:
    d = np.random.default_rng(2).normal(size=(3, 60)).cumsum(axis=1) * 0.1
    whole = paths(d, 0.1)
    for n in (1, 9, 23, 60):
        assert paths(d[:, :n], 0.1).log_worse[:, -1] == pytest.approx(whole.log_worse[:, n - 1])
    assert paths(d * 1e-6, 1e-7).log_good == pytest.approx(whole.log_good)
    shifted = paths(d + 1e6, 1e6 + 0.1)
    assert shifted.block.tolist() == whole.block.tolist()
    assert shifted.log_worse == pytest.approx(whole.log_worse, abs=1e-3)


def test_a_page_takes_a_challenger_out_by_a_loss_that_is_higher_and_a_mean_that_lies_on_either_side() -> None:
    page = datetime(2026, 1, 2)
    assert acute_loss(page, 1.5, 1.0, 0.1) is None
    assert acute_loss(page, 1.0, 3.0, 0.1) is None, "it did better"
    found = acute_loss(page, 1.7, 1.0, 0.1)
    assert found is not None
    assert (found.rule, found.figure, found.bound) == ("loss", pytest.approx(0.7), pytest.approx(0.6))
    assert acute_shift(page, 0.25, 0.2) is None
    for mean in (0.0, 0.4):
        moved = acute_shift(page, mean, 0.2)
        assert moved is not None
        assert (moved.rule, moved.figure) == ("shift", pytest.approx(0.2))


def test_what_is_looked_at_besides_makes_the_bound_higher() -> None:
    counts, shares = {"v1": 620, "v2": 500}, {"v1": 0.5, "v2": 0.5}
    assert sample_ratio(counts, shares, n_segments=4).bound == 4 * sample_ratio(counts, shares).bound
    assert Rules(n_guardrails=3, n_challengers=2).guardrail_bound == pytest.approx(3 * Rules(n_challengers=2).bound)
    assert Rules(n_challengers=2).bound == pytest.approx(40.0)
    # By the bound of one of three guardrails it is not worse; by that of a lone one it is.
    for n_guardrails, action in ((1, "abort"), (3, "advance")):
        arm = ArmFigures("v2", BETTER, {"brier": Guardrail([*(NOISE[:40] * 0.3 + 0.3)])})
        assert actions(arm, rules=Rules(0.2, n_guardrails=n_guardrails))[0] == action


def test_lost_rows_are_told_at_the_bound_itself_and_shares_are_taken_for_what_they_are_of_all() -> None:
    found = sample_ratio({"v1": 620, "v2": 500}, {"v1": 0.5, "v2": 0.5})
    assert replace(found, e=found.bound).alarm
    assert not replace(found, e=found.bound * 0.999).alarm
    parts = log_ratio_e({"v1": 620, "v2": 500}, {"v1": 0.3, "v2": 0.3})
    assert parts == pytest.approx(log_ratio_e({"v1": 620, "v2": 500}, {"v1": 0.5, "v2": 0.5}))


def test_gates_are_asked_before_the_last_step_alone_and_named_where_they_are_what_is_lacking() -> None:
    gates, last = "brier: 0.2, at most 0.1", replace(STAGE, is_last=True)
    assert actions(ArmFigures("v2", BETTER, gates=gates))[0] == "advance"
    action, reason, _ = actions(ArmFigures("v2", EQUAL, gates=gates), last)
    assert action == "wait"
    assert reason.startswith("e = ")


def test_what_is_said_of_the_next_decision_counts_pages() -> None:
    # The evidence is there; four pages of the stage are not.
    assert actions(ArmFigures("v2", BETTER), replace(STAGE, n_pages=10))[2].startswith("advance in about 4 pages")
    assert "nothing yet" in actions(ArmFigures("v2", BETTER[:8]), replace(STAGE, n_pages=8, n_total=8))[2]
    assert "nothing yet" not in actions(ArmFigures("v2", BETTER[:9]), replace(STAGE, n_pages=9, n_total=9))[2]
    # The last page that there may be decides; a page less does not.
    arm = ArmFigures("v2", [*(NOISE[:40] * 0.3 + 0.09)])
    more = int(re.findall(r"in about (\d+) pages", actions(arm, rules=replace(RULES, at_most=10_000))[2])[0])
    assert more > 0
    assert "in about" in actions(arm, rules=replace(RULES, at_most=40 + more))[2]
    assert "undecided in" in actions(arm, rules=replace(RULES, at_most=40 + more - 1))[2]


def test_blocks_of_pages_that_are_alike_end_with_a_whole_block() -> None:
    d = [float(np.mean(NOISE[n : n + 2]) * 0.3 + 0.12) for n in range(41)]
    (look,), _ = decide(replace(RULES, at_most=10_000), STAGE, [ArmFigures("v2", d)])
    assert (look.evidence.block, look.evidence.n_used) in ((3, 13), (7, 5))
    (more,) = re.findall(r"in about (\d+) pages", look.then)
    assert (41 + int(more)) % look.evidence.block == 0


def test_nine_pages_are_evidence_and_eight_are_not() -> None:
    by_turns = [0.3, 0.1] * 5  # neighbours that differ: pages are taken one by one
    assert evidence_of(by_turns[:9], 0.0, 20.0).e_worse > 1
    assert evidence_of(by_turns[:8], 0.0, 20.0).e_worse == 1


def test_the_margins_that_are_not_decided_are_those_of_the_interval_also_where_pages_are_skewed() -> None:
    skewed = [*np.random.default_rng(4).exponential(size=60)]
    for d in (skewed, [-each for each in skewed]):
        found = evidence_of(d, 0.0, 20.0)
        assert found.low is not None
        assert found.high is not None
        for nudge, is_worse in ((-1e-3, True), (1e-3, False)):
            assert evidence_of(d, found.low + nudge, 20.0).worse is is_worse
            assert evidence_of(d, found.high - nudge, 20.0).good is is_worse


def test_pages_are_taken_in_blocks_as_what_they_have_in_common_may_be_at_most() -> None:
    found = paths(np.random.default_rng(5).normal(size=(20, 60)), 0.0)
    n = np.arange(1, 61)
    most = found.autocorrelation + (1 + np.sqrt(n) / 3) / n
    assert np.array_equal(found.block, np.select([most > 0.6, most > 0.15], [7, 3], 1))
    assert {1, 3, 7} == set(np.unique(found.block))
