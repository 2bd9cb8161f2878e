"""What the tests of erasures share: the shop in which one person has left traces of every kind."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.conftest import made_once


@pytest.fixture(scope="session")
def _with_a_person(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """That shop, made once; tests copy it. See `tests.erasure.test_erase.make_world`."""
    from tests.erasure.test_erase import make_world

    return made_once(tmp_path_factory, "with-a-person", make_world)
