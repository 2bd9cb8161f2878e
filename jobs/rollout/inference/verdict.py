"""A look: what a rollout's pages say of each challenger, what is decided on it, and what would be decided next."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from jobs.rollout.inference.acute_rules import Acute
from jobs.rollout.inference.e_process import LEAST, Evidence, Rules, evidence_of
from jobs.rollout.inference.power import pages_until
from jobs.rollout.inference.sample_ratio import SampleRatio

#: What a look can end with, for one challenger and for the rollout.
ACTIONS = ("wait", "abort", "advance", "promote", "undecided")


@dataclass(frozen=True)
class Guardrail:
    """A figure that may not become worse: how much worse it was on each matured page, and how much it may be."""

    differences: Sequence[float]
    margin: float = 0.0


@dataclass(frozen=True)
class StageFigures:
    """Where the rollout stands.

    Attributes
    ----------
    name
        For people: `shadow`, `canary 5%`.
    n_pages, pages
        Matured pages of this stage, and how many it takes at least.
    n_total
        Matured pages of the rollout.
    is_last
        Whether the next step is to promote.
    decides
        Whether its differences answer the question. A shadow's do not where predictions influence the outcome: it ends
        after its pages, unless something takes the challenger out.
    """

    name: str
    n_pages: int
    pages: int
    n_total: int
    is_last: bool
    decides: bool = True


@dataclass(frozen=True)
class ArmFigures:
    """What is known of one challenger.

    Attributes
    ----------
    differences
        How much worse than the live version it did on each matured page, in the order of the grid: of the whole rollout
        where the arms are compared on all rows, of this stage where they are compared by split.
    acute, ratio
        What was found, None where nothing was.
    gates
        Why its gates do not pass, "" where they do; None where they were not asked for, as in a stage before the last.
    """

    version: str
    differences: Sequence[float]
    guardrails: Mapping[str, Guardrail] = field(default_factory=dict)
    acute: Acute | None = None
    ratio: SampleRatio | None = None
    gates: str | None = None


@dataclass(frozen=True)
class Decision:
    """One of ACTIONS, and why, for people."""

    action: str
    reason: str


@dataclass(frozen=True)
class Look:
    """One challenger at one look: its evidence, what was decided, and what would be decided next."""

    version: str
    evidence: Evidence
    guardrails: Mapping[str, Evidence]
    decision: Decision
    then: str


def look_at(rules: Rules, stage: StageFigures, arm: ArmFigures) -> Look:
    """Decide about one challenger."""
    evidence = evidence_of(arm.differences, rules.margin, rules.bound)
    guardrails = {
        name: evidence_of(one.differences, one.margin, rules.guardrail_bound) for name, one in arm.guardrails.items()
    }
    reason = _against(rules, arm, evidence, guardrails)
    decision = Decision("abort", reason) if reason else _forward(rules, stage, arm, evidence)
    return Look(arm.version, evidence, guardrails, decision, _then(rules, stage, evidence, decision))


def _against(rules: Rules, arm: ArmFigures, evidence: Evidence, guardrails: Mapping[str, Evidence]) -> str | None:
    """Say why a challenger is out, None if it is not."""
    if arm.acute is not None:
        return arm.acute.words()
    if evidence.worse:
        return f"it is worse by more than {rules.margin:.4g}: {_interval(evidence)}, e = {evidence.e_worse:.3g}"
    for name, one in guardrails.items():
        if one.worse:
            allowed = arm.guardrails[name].margin
            return f"its guardrail {name} is worse by more than {allowed:.4g}: {_interval(one)}, e = {one.e_worse:.3g}"
    return arm.ratio.words() if arm.ratio is not None and arm.ratio.alarm else None


def _forward(rules: Rules, stage: StageFigures, arm: ArmFigures, evidence: Evidence) -> Decision:
    """Decide about a challenger against which nothing speaks."""
    ready = evidence.good or not stage.decides
    over = stage.n_total >= rules.at_most
    if ready and stage.n_pages >= stage.pages and not (stage.is_last and arm.gates):
        reason = (
            f"it is not worse by {rules.margin:.4g}: {_interval(evidence)}, e = {evidence.e_good:.3g}"
            if stage.decides
            else f"{stage.n_pages} pages of {stage.name} passed, and nothing spoke against it"
        )
        return Decision("promote" if stage.is_last else "advance", reason)
    if over:
        why = f"its gates do not pass: {arm.gates}" if ready and arm.gates else "the difference was not decided"
        return Decision("undecided", f"{stage.n_total} matured pages passed, and {why}; the live version stays")
    if stage.n_pages < stage.pages:
        return Decision("wait", f"{stage.n_pages} of {stage.pages} matured pages of {stage.name}")
    if ready and arm.gates:
        return Decision("wait", f"it is not worse, but its gates do not pass: {arm.gates}")
    return Decision(
        "wait", f"e = {evidence.e_good:.3g} of {evidence.bound:.4g} that it is not worse by {rules.margin:.4g}"
    )


def _then(rules: Rules, stage: StageFigures, evidence: Evidence, decision: Decision) -> str:
    """Say what would be decided next, if pages go on as they were."""
    if decision.action != "wait":
        return ""
    left = max(0, rules.at_most - stage.n_total)
    if not stage.decides:
        return f"advance after {max(0, stage.pages - stage.n_pages)} more pages, if nothing speaks against it"
    if evidence.n_used < LEAST:
        what = "pages" if evidence.block == 1 else f"blocks of {evidence.block} pages"
        return f"nothing yet: fewer than {LEAST} {what} decide nothing, and there are {evidence.n_used}"
    x = evidence.s / evidence.n_used
    variance = max(evidence.v / evidence.n_used - x * x, 0.0)
    blocks = pages_until(abs(x), variance, evidence.bound)
    more = None if blocks is None else max(blocks * evidence.block - evidence.n_pages, 0)
    action = "abort" if x > 0 else "promote" if stage.is_last else "advance"
    if action != "abort":
        more = None if more is None else max(more, stage.pages - stage.n_pages)
    if more is None or more > left:
        return f"undecided in {left} pages, if the mean stays {evidence.mean or 0.0:+.4g}"
    return f"{action} in about {more} pages, if the mean stays {evidence.mean or 0.0:+.4g}"


def _interval(evidence: Evidence) -> str:
    if evidence.mean is None or evidence.low is None or evidence.high is None:
        return f"over {evidence.n_pages} pages"
    return f"{evidence.mean:+.4g} ({evidence.low:+.4g} to {evidence.high:+.4g}) over {evidence.n_pages} pages"


def decide(rules: Rules, stage: StageFigures, arms: Sequence[ArmFigures]) -> tuple[list[Look], Decision]:
    """Look at every challenger that is still in, and decide about the rollout.

    The challengers go through the stages together: a stage ends when none of them has to wait. Where several may be
    promoted, the one with the lowest mean difference is; `Decision.reason` then begins with its version.
    """
    looks = [look_at(rules, stage, arm) for arm in arms]
    left = [look for look in looks if look.decision.action != "abort"]
    if not left:
        return looks, Decision("abort", "; ".join(f"{look.version}: {look.decision.reason}" for look in looks))
    chosen = best_of(looks)
    over = all(look.decision.action != "wait" for look in left)
    actions = {look.decision.action for look in left}
    if not over:
        waiting = [f"{look.version}: {look.decision.reason}" for look in left if look.decision.action == "wait"]
        return looks, Decision("wait", "; ".join(waiting))
    if chosen is not None:
        return looks, Decision("promote", f"{chosen.version}: {chosen.decision.reason}")
    if actions == {"advance"}:
        return looks, Decision("advance", "; ".join(f"{look.version}: {look.decision.reason}" for look in left))
    return looks, Decision("undecided", "; ".join(f"{look.version}: {look.decision.reason}" for look in left))


def best_of(looks: Sequence[Look]) -> Look | None:
    """Give the challenger to promote: of those that may be, the one with the lowest mean difference."""
    able = [look for look in looks if look.decision.action == "promote"]
    return min(able, key=lambda look: (look.evidence.mean or 0.0, look.version), default=None)
