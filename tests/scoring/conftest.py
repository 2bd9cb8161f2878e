"""One OpenMP thread, for these tests only: models are small, and idle OpenMP threads spin where CPUs are shared."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from threadpoolctl import threadpool_limits


@pytest.fixture(autouse=True, scope="package")
def one_openmp_thread() -> Iterator[None]:
    with threadpool_limits(1):
        yield
