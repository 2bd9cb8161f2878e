"""Which engine computes a product's feature pages: as product.yaml has it, or as a command says for once."""

from __future__ import annotations

import os
from collections.abc import Iterable
from dataclasses import replace
from typing import cast

from jobs.models.pipelines import imported
from jobs.suite import Suite
from warehouse.batching.engines import DuckDBHere, Engine
from warehouse.definitions import Product
from warehouse.engine_names import HERE, IN_SHARDS, PROCESSES, SPARK
from warehouse.errors import DefinitionError, UsageError
from warehouse.lake.storage.choice import require_directory


def engine_of(suite: Suite, product: Product, workers: int) -> Engine:
    """Give the engine that computes a product's feature pages: DuckDB here, unless another is named.

    `workers` is how many processes there may be.

    Raises
    ------
    DefinitionError
        If the one that product.yaml names cannot be imported, or is none.
    UsageError
        If it is Spark, and that is not installed.
    """
    path = product.header.engine
    if path == HERE:
        return DuckDBHere()
    if path in IN_SHARDS:
        from jobs.pages.shards.engine import Shards
        from jobs.pages.shards.processes import Processes

        n = n_shards(product)
        if path == PROCESSES:
            return Shards(Processes(min(n, workers)), n)
        from jobs.pages.shards.spark import SPARK_VARIABLE, Spark

        if not os.environ.get(SPARK_VARIABLE, "local").startswith("local"):
            require_directory(
                suite.lake.root,
                "a Spark of several hosts",
                "Its tasks stage files in the lake's directory, which is each host's own there: use `processes`, or"
                f" {SPARK_VARIABLE}=local[2].",
            )
        return Shards(Spark(), n)
    engine = imported(path, product.at("engine"), suite.root)()
    if not callable(getattr(engine, "compute", None)) or not isinstance(getattr(engine, "name", None), str):
        raise DefinitionError(
            f"{product.at('engine')}: what `{path}` makes is no engine: it needs a `name`, a text, and a method"
            " `compute(batch, wanted)`; see `Engine` in warehouse/batching/engines.py."
        )
    return cast(Engine, engine)


def n_shards(product: Product) -> int:
    """Give in how many shards a product's pages are made."""
    return product.header.shards or os.cpu_count() or 1


def with_engine(suite: Suite, products: Iterable[str], engine: str | None, shards: int | None) -> Suite:
    """Give the suite with another engine for some products, as a command's `--engine` and `--shards` say.

    Shards without an engine are made by processes, unless product.yaml names what makes shards.

    Raises
    ------
    UsageError
        If the engine makes no shards, and shards are asked for.
    """
    if engine is None and shards is None:
        return suite
    changed = dict(suite.definitions.products)
    for name in products:
        product = suite.definitions.product(name)
        header = product.header
        chosen = engine or (header.engine if header.engine in IN_SHARDS else PROCESSES)
        if chosen not in (HERE, *IN_SHARDS):
            raise UsageError(f"--engine is `{chosen}`; give one of {', '.join((HERE, *IN_SHARDS))}.")
        if chosen == HERE and shards is not None:
            raise UsageError(f"--shards goes with --engine {PROCESSES} or --engine {SPARK}; {HERE} makes pages whole.")
        n = (shards or header.shards) if chosen in IN_SHARDS else None
        changed[name] = replace(product, header=header.model_copy(update={"engine": chosen, "shards": n}))
    return replace(suite, definitions=replace(suite.definitions, products=changed))
