"""The same units are given to an arm in each run: a rollout's salt is drawn at random, and here it is counted."""

from __future__ import annotations

import itertools
from types import SimpleNamespace
from uuid import UUID

import pytest

from jobs.rollout import stages


@pytest.fixture(autouse=True)
def _salts_are_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    numbers = itertools.count(1)
    monkeypatch.setattr(stages, "uuid", SimpleNamespace(uuid4=lambda: UUID(int=next(numbers) << 96)))
