"""One OpenMP thread per test: models here are small, and idle OpenMP threads spin where CPUs are shared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="session")
def one_openmp_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield
