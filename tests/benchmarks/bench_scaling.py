"""Benchmark 4: how scoring scales, one axis at a time: rows, trees, features.

    python -m tests.benchmarks.bench_scaling [--rows N] [--rounds N] [--axis NAME ...]

The base is 200 trees of 31 leaves on 20 float64 features with missing values. Trees are random ones of that shape,
so that no axis waits for training. Batches are generated as they are scored, each of other rows, and only the scoring
is timed: memory does not grow with the rows, and a batch comes from memory, as it would in a stream.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable, Iterator
from functools import lru_cache

import numpy as np
import pyarrow as pa

from jobs.scoring.kernels.ensemble import Ensemble, Feature, Tree
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.tree_scorer import TreeProgram
from jobs.scoring.readers.bin_trees import bin_trees
from tests.benchmarks.timing import Contestant, machine, measure, table, versions

LEAVES = 31
BATCH_ROWS = 65_536
N_THRESHOLDS = 200
POOL_ROWS = 8_000_000
"""64 MB: more than the caches hold."""


def random_tree(rng: np.random.Generator, n_features: int, n_leaves: int) -> Tree:
    """Grow a tree by splitting random leaves, at one of 200 places of a random feature."""
    size = 2 * n_leaves - 1
    left, right = np.full(size, -1, np.int32), np.full(size, -1, np.int32)
    leaves = [0]
    for first in range(1, size, 2):
        node = leaves.pop(int(rng.integers(len(leaves))))
        left[node], right[node] = first, first + 1
        leaves += [first, first + 1]
    return Tree(
        feature=rng.integers(0, n_features, size).astype(np.int32),
        threshold=(rng.integers(1, N_THRESHOLDS, size) / N_THRESHOLDS - 0.5) * 4,
        missing_left=rng.random(size) < 0.5,
        left=left,
        right=right,
        value=rng.normal(size=(size, 1)),
        category_set=np.full(size, -1, np.int32),
    )


def program(n_trees: int, n_features: int, n_leaves: int = LEAVES) -> TreeProgram:
    rng = np.random.default_rng(n_trees)
    features = tuple(Feature(place) for place in range(n_features))
    trees = tuple(random_tree(rng, n_features, n_leaves) for _ in range(n_trees))
    names = [f"f{place}" for place in range(n_features)]
    model = bin_trees(Ensemble(features, trees, np.zeros(1)), ["float64"] * n_features, Link("identity", "value"))
    return TreeProgram(model, names)


class Rows:
    """Generates batches: each column is a stretch, begun at a random place, of many random numbers."""

    def __init__(self, seed: int = 0) -> None:
        self._rng = np.random.default_rng(seed)
        values = self._rng.normal(size=POOL_ROWS)
        values[self._rng.random(POOL_ROWS) < 0.05] = np.nan
        self._pool = pa.array(values)

    def batch(self, n_rows: int, n_features: int) -> list[pa.Array]:
        starts = self._rng.integers(0, POOL_ROWS - n_rows, n_features)
        return [self._pool.slice(int(start), n_rows) for start in starts]


@lru_cache(maxsize=1)
def generated() -> Rows:
    return Rows()


def scoring(name: str, model: TreeProgram, n_features: int, n_rows: int, batch_rows: int = BATCH_ROWS) -> Contestant:
    """Score `n_rows` rows in batches of at most 65,536 and about 100 MB."""
    size = min(n_rows, batch_rows, max(256, 12_000_000 // n_features))

    def run() -> float:
        spent = 0.0
        for first in range(0, n_rows, size):
            count = min(size, n_rows - first)
            batch = generated().batch(count, n_features)
            start = time.perf_counter()
            model.raw(batch, count)
            spent += time.perf_counter() - start
        return spent

    return Contestant(name, n_rows, run)


def over_rows(n_rows: int) -> Iterator[Contestant]:
    model = program(200, 20)
    for size in (10_000, 30_000, 100_000, 1_000_000, 10_000_000, 40_000_000):
        if size <= 40 * n_rows:
            yield scoring(f"{size:,} rows", model, 20, size)


def over_batches(n_rows: int) -> Iterator[Contestant]:
    model = program(200, 20)
    for size in (64, 256, 1024, 4096, 16_384, 65_536, 262_144):
        yield scoring(f"batches of {size:,} rows", model, 20, max(1, n_rows // size) * size, size)


def over_trees(n_rows: int) -> Iterator[Contestant]:
    for n_trees in (10, 30, 100, 200, 500, 1000, 2000):
        yield scoring(f"{n_trees:,} trees", program(n_trees, 20), 20, max(1000, n_rows * 100 // max(100, n_trees)))


def over_features(n_rows: int) -> Iterator[Contestant]:
    for n_features in (5, 10, 20, 50, 100, 200, 500):
        size = max(1000, n_rows * 20 // max(20, n_features))
        yield scoring(f"{n_features} features", program(200, n_features), n_features, size)


def over_leaves(n_rows: int) -> Iterator[Contestant]:
    for n_leaves in (8, 16, 32, 64, 128, 256, 512, 1024, 4096):
        size = max(1000, n_rows * 16 // max(16, n_leaves))
        yield scoring(f"{n_leaves:,} leaves", program(200, 20, n_leaves), 20, size)


AXES: dict[str, Callable[[int], Iterator[Contestant]]] = {
    "rows": over_rows,
    "batches": over_batches,
    "trees": over_trees,
    "features": over_features,
    "leaves": over_leaves,
}


def main(arguments: list[str] | None = None) -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--axis", nargs="+", choices=AXES, default=list(AXES))
    chosen = parser.parse_args(arguments)
    print(machine())
    print(versions("numba", "pyarrow"))
    for name in chosen.axis:
        contestants = list(AXES[name](chosen.rows))
        measure(contestants, chosen.rounds)
        rows = [
            [
                contestant.name,
                f"{contestant.rows:,}",
                f"{contestant.million_rows_per_s:.3f}",
                f"{1e3 / contestant.million_rows_per_s:,.0f}",
            ]
            for contestant in contestants
        ]
        print(f"\nOver {name}; medians of {chosen.rounds} alternating runs\n")
        print(table(["", "rows", "million rows/s", "ns per row"], rows), flush=True)


if __name__ == "__main__":
    main()
