"""Every command, option and key of a definition is documented, and README's examples are true."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

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


def test_commands_and_their_options_are_documented() -> None:
    assert [name for name in COMMANDS if f"almanac {name}" not in TEXT] == []
    every = [(name, one) for name, command in COMMANDS.items() for part in command.params for one in part.opts]
    assert [name_and_option for name_and_option in every if is_missing(name_and_option[1])] == []


def is_missing(option: str) -> bool:
    return option.startswith("--") and option not in ("--debug", "--help") and option not in TEXT


def test_keys_of_definitions_are_documented() -> None:
    names = [(model.__name__, field.alias or name) for model in MODELS for name, field in model.model_fields.items()]
    missing = [(model, name) for model, name in names if f"`{name}`" not in TEXT]
    assert not missing


def test_every_estimator_is_documented() -> None:
    assert not [name for name in ESTIMATORS if f"`{name}`" not in TEXT]


def test_every_step_of_a_pipeline_is_documented() -> None:
    assert not [name for name in STEPS if f"`{name}`" not in TEXT]


def test_paths_that_readme_names_exist() -> None:
    named = re.findall(r"\]\(([^)#:]+)\)", (ROOT / "README.md").read_text())
    assert named
    assert not [path for path in named if not (ROOT / path).exists()]
