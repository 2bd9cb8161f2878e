"""Rollouts: by which stages a model version becomes live, and on what evidence; the key `rollout` of product.yaml."""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence
from decimal import Decimal, InvalidOperation
from pathlib import Path
from typing import Annotated, Any, Self

from pydantic import BeforeValidator, Field, FiniteFloat, field_validator, model_validator

from warehouse.definitions.sql_file import Strict
from warehouse.errors import QueryRefused, UsageError
from warehouse.queries.checked_query import check_expression

#: Guardrails that are worked out of the labelled rows of a page; `page_seconds` is of its scoring.
GUARDRAILS = ("page_seconds", "brier", "log_loss", "mae", "mse")
#: What `rollout.outcome` says where arms are compared by the label.
LABEL = "label"

NonNegative = Annotated[FiniteFloat, Field(ge=0)]


def _share(value: Any) -> Any:
    """Read `5%` as 0.05, exactly."""
    text = str(value).strip()
    try:
        found = Decimal(text.removesuffix("%").strip()) / (100 if text.endswith("%") else 1)
    except InvalidOperation:
        return value
    if not 0 < found < 1:
        raise ValueError(f"`{value}` is no share between 0 and 100%")
    return found


def _pages(value: Any) -> Any:
    """Read `60 pages` as 60."""
    found = re.fullmatch(r"\s*(\d+)\s*(?:pages?)?\s*", str(value))
    return int(found[1]) if found else value


def _guardrails(value: Any) -> Any:
    """Read a list of names as names with the least margins that make sense: the clock is not exact."""
    if not isinstance(value, list):
        return value
    return {name: 1.0 if name == "page_seconds" else 0.0 for name in value}


Guardrails = Annotated[dict[str, NonNegative], BeforeValidator(_guardrails)]
Share = Annotated[Decimal, BeforeValidator(_share)]
Pages = Annotated[int, BeforeValidator(_pages), Field(ge=1)]


class ShadowStage(Strict):
    """A stage in which the arms are scored, and readers see the live version alone."""

    pages: Pages


class CanaryStage(Strict):
    """A stage in which the arms serve a share of the units, those of which a condition holds, or those listed."""

    pages: Pages
    share: Share | None = None
    where: str | None = None
    listed: list[str | list[str | None]] | None = None

    @field_validator("where")
    @classmethod
    def _asks_a_row_alone(cls, value: str | None) -> str | None:
        # It runs beside the author's queries, so what it may do is what they may.
        try:
            if value is not None:
                check_expression(value, "where")
        except QueryRefused as error:
            raise ValueError(f"`{value}` is no condition over a page's columns: {error}") from error
        return value

    @model_validator(mode="after")
    def _says_to_whom(self) -> Self:
        said = [name for name in ("share", "where", "listed") if getattr(self, name) is not None]
        if len(said) != 1:
            raise ValueError("a canary needs one of `share: 5%`, `where: \"origin = 'JFK'\"` and `listed: [...]`")
        return self


class InterleaveStage(Strict):
    """A stage in which readers see lists drafted out of the rankings of the live version and of the challenger."""

    pages: Pages


class RolloutStage(Strict):
    """One stage: a shadow, a canary, or interleaved lists."""

    shadow: ShadowStage | None = None
    canary: CanaryStage | None = None
    interleave: InterleaveStage | None = None

    @model_validator(mode="after")
    def _is_one_of_them(self) -> Self:
        if sum(one is not None for one in (self.shadow, self.canary, self.interleave)) != 1:
            raise ValueError(
                "a stage is `shadow: {pages: 14}`, `canary: {share: 5%, pages: 14}` or `interleave: {pages: 14}`"
            )
        return self

    @property
    def pages(self) -> int:
        """How many matured pages it takes at least."""
        stage = self.shadow or self.canary or self.interleave
        assert stage is not None
        return stage.pages

    @property
    def said(self) -> str:
        """Name it in a few words."""
        if self.canary is None:
            return "shadow" if self.interleave is None else "interleaved"
        if self.canary.share is not None:
            return f"canary of {float(self.canary.share) * 100:.4g}%"
        return f"canary where {self.canary.where}" if self.canary.where else "canary of those listed"


class AcuteSettings(Strict):
    """What ends an arm on one page: how far its mean prediction may lie from that of the live version.

    Without `shift` that is 0.1 of a probability; of other predictions, whose units nobody knows, nothing.
    """

    shift: FiniteFloat | None = Field(default=None, gt=0)


class PlanChanges(Strict):
    """An entry of `rollout.plans`: what this plan says otherwise. Who is compared by what is the same for all plans."""

    stages: list[RolloutStage] = Field(default_factory=list, min_length=1)
    guardrails: Guardrails = Field(default_factory=dict)
    margin: FiniteFloat = Field(default=0.0, ge=0)
    at_most: Pages = 60
    acute: AcuteSettings = Field(default_factory=AcuteSettings)
    explore: Share | None = None


class RolloutSettings(Strict):
    """The key `rollout` of product.yaml: how a registered version becomes live, stage by stage.

    Attributes
    ----------
    unit
        Columns of a page whose values stay together over pages; by default the keys, or those of a list.
    stages
        In order; shadows come before canaries, and shares do not shrink.
    outcome
        What arms are compared by: the label, or what a file `outcomes/NAME.sql` says came of what they served.
    influenced
        Whether the prediction changes the outcome, so that arms are compared by what they served.
    guardrails
        Figures that may not get worse either, each with how much worse it may be.
    margin
        By how much the loss may be worse and count as equal.
    at_most
        Undecided after so many matured pages, the live version stays.
    acute
        What ends an arm on one page.
    explore
        The share of units that no model chooses for.
    plans
        Plans by name that differ from this one in what they say.
    """

    unit: list[str] = Field(default_factory=list)
    stages: list[RolloutStage] = Field(min_length=1)
    outcome: str = LABEL
    influenced: bool = False
    guardrails: Guardrails = Field(default_factory=dict)
    margin: FiniteFloat = Field(ge=0)
    at_most: Pages = 60
    acute: AcuteSettings = Field(default_factory=AcuteSettings)
    explore: Share | None = None
    plans: dict[str, PlanChanges] = Field(default_factory=dict)

    def plan(self, name: str | None) -> RolloutSettings:
        """Give a plan by its name, or the one without; either without the others beside it.

        Raises
        ------
        UsageError
            If there is none of that name.
        """
        if name is None:
            return self.model_copy(update={"plans": {}})
        if name not in self.plans:
            raise UsageError(f"`rollout.plans` has no `{name}`; it has: {', '.join(self.plans) or 'none'}.")
        changes = self.plans[name]
        return self.model_copy(
            update={"plans": {}} | {each: getattr(changes, each) for each in changes.model_fields_set}
        )

    @property
    def largest_share(self) -> Decimal:
        """The largest share of its canaries; 0 where none has one."""
        shares = [stage.canary.share for stage in self.stages if stage.canary and stage.canary.share is not None]
        return max(shares, default=Decimal(0))

    def problems(self, kind: str, keys: Sequence[str], lists: Collection[str]) -> list[str]:
        """Say what does not go together, or with the product's keys and its label.

        Parameters
        ----------
        kind, keys
            The kind of label, and the product's keys.
        lists
            Of a ranking the keys of its lists.
        """
        found = self._problems_of(kind, keys, lists)
        for name in self.plans:
            of_plan = self.plan(name)._problems_of(kind, keys, lists)
            found += [f"the plan `{name}`: {one}" for one in of_plan if one not in found]
        return found

    def _problems_of(self, kind: str, keys: Sequence[str], lists: Collection[str]) -> list[str]:
        found = [
            f"`rollout.unit` names `{name}`, which is no key; the keys are {', '.join(keys)}"
            for name in self.unit
            if name not in keys
        ]
        if lists and not set(self.unit) <= set(lists):
            found.append(f"`rollout.unit` of a ranking is among the keys of its lists: {', '.join(lists)}")
        if lists and any(stage.canary and stage.canary.where for stage in self.stages):
            found.append("`rollout.stages` of a ranking has a `where`, which could part a list; give a share or a list")
        serves = [stage.shadow is None for stage in self.stages]
        if serves != sorted(serves):
            found.append("`rollout.stages` has a shadow behind a stage that serves; shadows come first")
        if any(stage.interleave for stage in self.stages) and not lists:
            found.append("`rollout.stages` interleaves lists, and only a ranking has such")
        if any(stage.interleave for stage in self.stages) and not self.influenced:
            found.append("`rollout.stages` interleaves lists, to compare what came of each: say `influenced: true`")
        return found + self._problems_of_comparing(kind, keys)

    def _problems_of_comparing(self, kind: str, keys: Sequence[str]) -> list[str]:
        found = []
        serves = [stage.shadow is None for stage in self.stages]
        shares = [stage.canary.share for stage in self.stages if stage.canary and stage.canary.share is not None]
        if shares != sorted(shares):
            found.append("`rollout.stages` has shares that shrink; who was in an arm would leave it")
        if self.influenced and not any(serves):
            found.append("`rollout.influenced` compares what arms served, and no stage serves any")
        if self.outcome != LABEL and not re.fullmatch(r"outcomes/[A-Za-z0-9_]+\.sql", self.outcome):
            found.append(f"`rollout.outcome` is `label` or `outcomes/NAME.sql`, not `{self.outcome}`")
        if self.outcome != LABEL and not self.influenced:
            found.append("`rollout.outcome` of a file is of rows that were served: say `influenced: true`")
        if self.explore is not None and not self.influenced:
            found.append("`rollout.explore` is for predictions that change the outcome: say `influenced: true`")
        if self.explore is not None and any(stage.interleave for stage in self.stages):
            found.append(
                "`rollout.explore` and lists that are interleaved do not go together: everybody is shown these"
            )
        known = [name for name in GUARDRAILS if _is_of_kind(name, kind)]
        found += [
            f"`rollout.guardrails` names `{name}`; of a {kind} label there is: {', '.join(known)}"
            for name in self.guardrails
            if name not in known
        ]
        if "arm" in {key.lower() for key in keys}:
            found.append("a product with `rollout` has a column `arm` beside each prediction, so no key is named so")
        shortest = sum(stage.pages for stage in self.stages)
        if self.at_most < shortest:
            found.append(f"`rollout.at_most` is {self.at_most} pages, and the stages take {shortest} at least")
        return found


def _is_of_kind(guardrail: str, kind: str) -> bool:
    if guardrail in ("brier", "log_loss"):
        return kind == "binary"
    return guardrail == "page_seconds" or kind in ("binary", "regression")


def outcome_names(directory: Path, rollout: RolloutSettings | None) -> list[str]:
    """Name the files of a product's directory `outcomes`, and the one that `rollout.outcome` means, there or not."""
    found = {one.stem for one in directory.glob("outcomes/[!.]*.sql")}
    if rollout is not None and rollout.outcome != LABEL:
        found.add(rollout.outcome.removeprefix("outcomes/").removesuffix(".sql"))
    return sorted(found)
