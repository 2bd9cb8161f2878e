"""The kinds of label, one record each: what a product's pages, labels, gates and checks are for a label of that kind.

Whatever depends on the kind is asked of here, or of `jobs.models.kinds`, which has what is worked out in numbers. A new
kind is a record in `KINDS`, its figures in `jobs.models.kinds.figures.FIGURES`, and `sql/system/evaluate/NAME.sql`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from typing import Literal

from warehouse.system_sql import literal, quote

#: What product.yaml can say. A regression with quantiles is a kind of its own, since its pages are.
KindName = Literal["binary", "regression", "multiclass", "ranking"]
#: Up to so many classes each has a field of its own in a page's `probabilities`.
MOST_FIELDS = 20


@dataclass(frozen=True)
class LabelKind:
    """One kind of label.

    Attributes
    ----------
    name
        As `label.kind` of product.yaml says it; `quantiles` is that of a regression with quantiles.
    label_type
        The DuckDB type in which labels are kept.
    wrong_label
        A condition of SQL that a label does not meet; None where the type says it all. `label_rule` says it in words.
        `{classes}` stands for the classes that are declared.
    columns
        The columns of a page that the kind brings, in order, with their types; see `columns_of` for a product's.
    score
        The one among them that is looked at where one column stands for the prediction.
    metrics
        The figures that gates and comparisons can ask for, and whether more of it is better.
    loss
        The metric among them by whose growth importance is measured.
    baseline
        The figure that says how good a constant would have been, by that metric.
    checks
        The built-in checks of the kind's columns (`sql/system/audit/`).
    is_calibrated
        Whether its predictions state how often something comes, so that calibration is asked for.
    alone
        How well a single column foretells the label, by name: what a column that is too good is told by.
    told_by
        A figure that only versions of this kind have, for those that do not record their kind.
    learnt_by
        Which estimators learn it, by the kind of label that they are registered for.
    has_classes
        Whether it has classes, which product.yaml declares or trainings find.
    """

    name: str
    label_type: str
    wrong_label: str | None
    label_rule: str
    columns: Mapping[str, str]
    score: str
    metrics: Mapping[str, bool]
    loss: str
    baseline: str
    checks: tuple[str, ...]
    is_calibrated: bool
    alone: str
    told_by: str
    learnt_by: Literal["binary", "regression"]
    has_classes: bool = False

    def columns_of(self, classes: Sequence[str], quantiles: Sequence[float] = ()) -> dict[str, str]:
        """Give a page's columns with their types: each quantile is a field, and of few classes each class."""
        columns = dict(self.columns)
        if quantiles:
            fields = ", ".join(f"{quote(quantile_name(each))} DOUBLE" for each in quantiles)
            columns["quantiles"] = f"STRUCT({fields})"
        if self.has_classes and 0 < len(classes) <= MOST_FIELDS:
            fields = ", ".join(f"{quote(name)} DOUBLE" for name in classes)
            columns["probabilities"] = f"STRUCT({fields})"
        return columns

    def wrong_label_of(self, classes: Sequence[str]) -> str | None:
        """Give the condition that no label meets, among these classes; None where these are yet to be found."""
        if self.has_classes and not classes:
            return None
        listed = ", ".join(literal(name) for name in classes)
        return self.wrong_label.replace("{classes}", listed) if self.wrong_label else None


_BINARY = LabelKind(
    name="binary",
    label_type="INTEGER",
    wrong_label="label NOT IN (0, 1)",
    label_rule="a binary label is 0 or 1",
    columns={"probability": "DOUBLE"},
    score="probability",
    metrics={"roc_auc": True, "log_loss": False, "brier": False},
    loss="log_loss",
    baseline="log_loss_of_base_rate",
    checks=("no_null_scores", "scores_in_range"),
    is_calibrated=True,
    alone="ROC AUC",
    told_by="validation_log_loss",
    learnt_by="binary",
)
_REGRESSION = LabelKind(
    name="regression",
    label_type="DOUBLE",
    wrong_label=None,
    label_rule="a label of a regression is a number",
    columns={"prediction": "DOUBLE"},
    score="prediction",
    metrics={"mae": False, "rmse": False, "r2": True},
    loss="rmse",
    baseline="rmse_of_mean",
    checks=("no_null_scores",),
    is_calibrated=False,
    alone="R2",
    told_by="validation_rmse",
    learnt_by="regression",
)
_MULTICLASS = LabelKind(
    name="multiclass",
    label_type="VARCHAR",
    wrong_label="label NOT IN ({classes})",
    label_rule="a label is one of `label.classes`",
    columns={"prediction": "VARCHAR", "probabilities": "MAP(VARCHAR, DOUBLE)"},
    score="prediction",
    metrics={"log_loss": False, "accuracy": True, "macro_f1": True, "roc_auc": True, "brier": False},
    loss="log_loss",
    baseline="log_loss_of_base_rates",
    checks=("probabilities_add_up",),
    is_calibrated=True,
    alone="ROC AUC of one class",
    told_by="validation_macro_f1",
    learnt_by="binary",
    has_classes=True,
)
_QUANTILES = LabelKind(
    name="quantiles",
    label_type="DOUBLE",
    wrong_label=None,
    label_rule="a label of a regression is a number",
    columns={"prediction": "DOUBLE", "quantiles": "STRUCT(q10 DOUBLE, q50 DOUBLE, q90 DOUBLE)"},
    score="prediction",
    metrics={"pinball": False, "mae": False, "coverage_error": False, "width": False},
    loss="pinball",
    baseline="pinball_of_constants",
    checks=("no_null_scores", "quantiles_rise"),
    is_calibrated=True,
    alone="R2",
    told_by="validation_pinball",
    learnt_by="regression",
)
_RANKING = LabelKind(
    name="ranking",
    label_type="INTEGER",
    wrong_label="label NOT IN (0, 1)",
    label_rule="a label of a ranking is 1 of what was relevant, else 0",
    columns={"score": "DOUBLE", "rank": "BIGINT"},
    score="score",
    metrics={"ndcg": True, "recall": True, "map": True},
    loss="ndcg",
    baseline="ndcg_of_chance",
    checks=("no_null_scores", "lists_are_whole"),
    is_calibrated=False,
    alone="ROC AUC",
    told_by="validation_ndcg",
    learnt_by="binary",
)
#: Every kind of label, by its name.
KINDS: Mapping[str, LabelKind] = {kind.name: kind for kind in (_BINARY, _REGRESSION, _MULTICLASS, _QUANTILES, _RANKING)}
#: The columns of pages that kinds bring. A page has those of its own kind only.
COLUMNS_OF_KINDS: tuple[str, ...] = tuple(dict.fromkeys(name for kind in KINDS.values() for name in kind.columns))


def quantile_name(quantile: float) -> str:
    """Name a quantile's field: q10 of 0.1, q05 of 0.05, q97_5 of 0.975."""
    whole, _, rest = f"{Decimal(str(quantile)) * 100:f}".partition(".")
    rest = rest.rstrip("0")
    return f"q{int(whole):02}{f'_{rest}' if rest else ''}"


def middle_of(quantiles: Sequence[float]) -> int:
    """Give the place of the quantile that `prediction` is: the median, or else the middle one, of two the lower."""
    return list(quantiles).index(0.5) if 0.5 in quantiles else (len(quantiles) - 1) // 2
