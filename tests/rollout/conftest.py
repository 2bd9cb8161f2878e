"""A suite of rules to try beside each other."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from tests.conftest import made_once
from tests.rollout.worlds import BROKEN, COIN, GOOD, WILD, WORSE, with_rules


@pytest.fixture(scope="session")
def _rules(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        shutil.copytree(_ingested, root)
        with_rules(root, COIN, GOOD, WORSE, WILD, BROKEN)

    return made_once(tmp_path_factory, "rules", make)


@pytest.fixture
def rules(_rules: Path, tmp_path: Path) -> Path:
    """A suite in which a coin is live; v2 is good, v3 a little worse, v4 says late of everything, v5 cannot score."""
    shutil.copytree(_rules, tmp_path / "shop")
    return tmp_path / "shop"
