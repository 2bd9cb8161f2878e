"""Every command, option and key of a definition is documented, and README's examples are true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import typer
from pydantic import BaseModel

from jobs.cli import whole_app
from jobs.examples.files import Example, ExamplesFile, FileGiven
from jobs.models.libraries import ESTIMATORS
from jobs.models.pipelines import STEPS
from jobs.schedule.files.retraining import Condition, Retraining
from warehouse.definitions.expect import DeliverySettings, Expectation, ExpectedRows, Quiet
from warehouse.definitions.export import FallbackSettings, TargetSettings
from warehouse.definitions.gates import Bound, CheckBounds, FairnessBound, GateSettings, NotWorse, SegmentBound
from warehouse.definitions.monitor import FairnessSettings, HoldBound, MonitorSettings
from warehouse.definitions.pipeline import (
    Candidate,
    ModelSettings,
    PipelineSettings,
    Range,
    RetrainSettings,
    SearchSettings,
    StepSettings,
    ValidationSettings,
)
from warehouse.definitions.product import (
    CheckHeader,
    CheckSettings,
    FeatureUse,
    LabelSettings,
    PageSettings,
    ProductHeader,
    RowCountBand,
)
from warehouse.definitions.rollout import (
    AcuteSettings,
    CanaryStage,
    InterleaveStage,
    PlanChanges,
    RolloutSettings,
    RolloutStage,
    ShadowStage,
)
from warehouse.definitions.source import DeliveryEntry, SourceHeader
from warehouse.definitions.sql_file import FeatureHeader
from warehouse.definitions.yaml.suite_file import Prices, SuiteSettings

ROOT = Path(__file__).parent.parent
TEXT = "\n".join(path.read_text() for path in [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))])


def commands(group: Any, before: str = "") -> dict[str, Any]:
    """All commands by their full names: those of a group follow its own."""
    found: dict[str, Any] = {}
    for name, command in getattr(group, "commands", {}).items():
        found |= {f"{before}{name}": command} | commands(command, f"{before}{name} ")
    return found


COMMANDS = commands(typer.main.get_command(whole_app()))
MODELS: list[type[BaseModel]] = [
    SourceHeader,
    DeliveryEntry,
    DeliverySettings,
    Expectation,
    ExpectedRows,
    Quiet,
    FeatureHeader,
    ProductHeader,
    TargetSettings,
    FallbackSettings,
    FeatureUse,
    LabelSettings,
    ModelSettings,
    PageSettings,
    CheckSettings,
    RowCountBand,
    CheckHeader,
    Example,
    ExamplesFile,
    FileGiven,
    ValidationSettings,
    PipelineSettings,
    StepSettings,
    GateSettings,
    FairnessSettings,
    FairnessBound,
    MonitorSettings,
    HoldBound,
    NotWorse,
    SegmentBound,
    Bound,
    RolloutSettings,
    RolloutStage,
    PlanChanges,
    ShadowStage,
    CanaryStage,
    InterleaveStage,
    AcuteSettings,
    Condition,
    Retraining,
    RetrainSettings,
    CheckBounds,
    SuiteSettings,
    Prices,
    SearchSettings,
    Candidate,
    Range,
]


@pytest.mark.parametrize("name", sorted(COMMANDS))
def test_a_command_and_its_options_are_documented(name: str) -> None:
    assert f"almanac {name}" in TEXT
    options = [text for parameter in COMMANDS[name].params for text in parameter.opts if text.startswith("--")]
    missing = [option for option in options if option not in ("--debug", "--help") and option not in TEXT]
    assert not missing


@pytest.mark.parametrize("model", MODELS, ids=lambda model: model.__name__)
def test_a_key_of_a_definition_is_documented(model: type[BaseModel]) -> None:
    names = [field.alias or name for name, field in model.model_fields.items()]
    missing = [name for name in names if f"`{name}`" not in TEXT]
    assert not missing


def test_every_estimator_is_documented() -> None:
    assert not [name for name in ESTIMATORS if f"`{name}`" not in TEXT]


def test_every_step_of_a_pipeline_is_documented() -> None:
    assert not [name for name in STEPS if f"`{name}`" not in TEXT]


def test_paths_that_readme_names_exist() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
