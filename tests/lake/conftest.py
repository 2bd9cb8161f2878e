"""A suite whose lake was moved to PostgreSQL, for all files of this folder that a process runs."""

from __future__ import annotations

from pathlib import Path

import pytest

from jobs.suite import Suite, open_suite
from tests.conftest import NOW, clock_at
from tests.lake.shared_lakes import moved, password
from tests.postgres_server import Server


@pytest.fixture(scope="session")
def _world(postgres: Server, _published: Path, tmp_path_factory: pytest.TempPathFactory) -> Suite:
    """A suite with its facts, a live model and a page, whose lake was moved to PostgreSQL."""
    with password():
        return moved(postgres, "world", _published, tmp_path_factory.mktemp("elsewhere"))


@pytest.fixture
def world(_world: Suite) -> Suite:
    return open_suite(_world.root, clock_at(NOW))
