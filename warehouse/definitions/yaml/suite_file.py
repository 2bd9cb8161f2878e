"""What holds of a suite as a whole: suite.yaml, a file that need not be there."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, FiniteFloat

from warehouse.definitions.yaml.yaml_text import validate

#: The file's name, in the suite's directory.
SETTINGS = "suite.yaml"


class Prices(BaseModel):
    """What is paid for: an hour of one core, and a GiB kept for a month, in `currency`."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cpu_hour: FiniteFloat = Field(default=0.0, ge=0)
    gib_month: FiniteFloat = Field(default=0.0, ge=0)
    currency: str = "USD"


class SuiteSettings(BaseModel):
    """The keys of suite.yaml."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    #: Whether jobs run only definitions that were deployed.
    deploy: Literal["required"] | None = None
    prices: Prices | None = None


def read_settings(root: Path, problems: list[str]) -> SuiteSettings:
    """Read suite.yaml; without it everything is left open. Mistakes are added to `problems`."""
    path = root / SETTINGS
    if not path.exists():
        return SuiteSettings()
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        problems.append(f"{SETTINGS}: cannot be read: {error}.")
        return SuiteSettings()
    return validate(SuiteSettings, text, SETTINGS, problems) or SuiteSettings()
