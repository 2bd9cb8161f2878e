"""The engines that compute feature pages, by the names that product.yaml and `--engine` give them.

What each does is in `warehouse.batching.engines` and `jobs.pages.shards`.
"""

from __future__ import annotations

from typing import Annotated

from pydantic import AfterValidator

#: DuckDB in this process, where nothing else is said.
HERE = "duckdb"
#: Those that make each page in shards.
PROCESSES, SPARK = "processes", "spark"
IN_SHARDS = (PROCESSES, SPARK)


def _is_an_engine(value: str) -> str:
    if value not in (HERE, *IN_SHARDS) and ":" not in value:
        known = ", ".join(f"`{name}`" for name in (HERE, *IN_SHARDS))
        raise ValueError(f"`{value}` is neither one of {known} nor an import path `package.module:factory`")
    return value


def no_shards_reason(engine: str, shards: int | None) -> str | None:
    """Say why an engine makes no shards, if it is asked to; None if it may."""
    if shards is None or engine in IN_SHARDS:
        return None
    return f"`shards` goes with `engine: {PROCESSES}` or `engine: {SPARK}`; it is `{engine}`"


#: One of the names, or an import path.
EngineName = Annotated[str, AfterValidator(_is_an_engine)]
