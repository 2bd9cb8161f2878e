"""Reads the trees of a compiled model's file, and the columns that they and linear models look at."""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np

from jobs.scoring.files.model_source import Source, as_object, chosen, finite, number, require
from jobs.scoring.files.tensors import Array, DamagedModel
from jobs.scoring.kernels.bins import ColumnBins
from jobs.scoring.kernels.codes import Slot
from jobs.scoring.kernels.links import FUNCTIONS, SHAPES, Link
from jobs.scoring.kernels.model_data import TreeModel
from jobs.scoring.kernels.tree_structure import left_children

KIND_CODES = ("float64", "float32", "text")
"""What `column.kind` counts."""
COVER_UNITS = ("rows", "weighted rows", "hessians", "unknown")
LARGEST_CODE = np.iinfo(np.int32).max - 1


def read_link(described: Any, n_outputs: int) -> Link:
    """Read a link for so many outputs."""
    found = as_object(described, "the link")
    shape = chosen(found, "shape", SHAPES)
    require(shape == "columns" or n_outputs == 1, f"a link of the shape {shape!r} is given {n_outputs} outputs")
    function = chosen(found, "function", tuple(FUNCTIONS))
    return Link(function, shape, number(found, "slope"), number(found, "divisor"))


def read_columns(source: Source, prefix: str, kinds: Sequence[str]) -> tuple[ColumnBins, ...]:
    """Read the bins of columns."""
    feature = source.take(f"{prefix}column.feature", np.int32)
    kind = source.take(f"{prefix}column.kind", np.uint8, size=len(feature))
    n_places = source.counts(f"{prefix}column.n_places", np.int64, len(feature))
    require((np.diff(feature) > 0).all(), "its columns are not in order")
    require(((feature >= 0) & (feature < len(kinds))).all(), "it has a column of no feature")
    is_text = kind == KIND_CODES.index("text")
    breakpoints = source.take(f"{prefix}column.breakpoints", np.float64, size=int(n_places[~is_text].sum()))
    refused = source.flags(f"{prefix}column.refused", int((n_places + 2).sum()))
    domains = _categories(source, prefix, n_places[is_text])
    found: list[ColumnBins] = []
    at, bin_at = 0, 0
    for place, size in zip(feature.tolist(), n_places.tolist(), strict=True):
        name = kinds[place]
        require(name == KIND_CODES[min(2, int(kind[len(found)]))], "a column is of another type than its feature")
        own = refused[bin_at : bin_at + size + 2]
        bin_at += size + 2
        if name == "text":
            found.append(ColumnBins(place, name, np.zeros(0), next(domains), own))
            continue
        numbers = breakpoints[at : at + size].astype(name)
        require((numbers == breakpoints[at : at + size]).all(), "a breakpoint is none of its column's type, or NaN")
        require((numbers[1:] > numbers[:-1]).all() and (numbers < np.inf).all(), "breakpoints are not in order")
        at += size
        found.append(ColumnBins(place, name, numbers, (), own))
    return tuple(found)


def _categories(source: Source, prefix: str, n_places: Array) -> Iterator[tuple[str, ...]]:
    """Return the categories of each column of text."""
    ends = source.counts(f"{prefix}category.end", np.int64, int(n_places.sum()))
    require((np.diff(ends) >= 0).all(), "its categories overlap")
    data = source.take(f"{prefix}category.text", np.uint8, size=int(ends[-1]) if len(ends) else 0).tobytes()
    starts = [0, *ends.tolist()]
    try:
        texts = [data[first:last].decode() for first, last in zip(starts, ends.tolist(), strict=False)]
    except UnicodeDecodeError as error:
        raise DamagedModel(f"a category is no text ({error})") from error
    domains, at = [], 0
    for size in n_places.tolist():
        domain = tuple(texts[at : at + size])
        require(all(a < b for a, b in itertools.pairwise(domain)), "a column's categories are not in order")
        domains.append(domain)
        at += size
    return iter(domains)


def _slots(source: Source, prefix: str, columns: Sequence[ColumnBins]) -> tuple[Slot, ...]:
    column = source.take(f"{prefix}slot.column", np.int32)
    require(((column >= 0) & (column < len(columns))).all(), "a slot is of no column")
    sizes = [columns[place].size for place in column.tolist()]
    codes = source.take(f"{prefix}slot.codes", np.int32, size=sum(sizes))
    require(((codes >= 0) & (codes <= LARGEST_CODE)).all(), "a code is out of range")
    ends = np.cumsum(sizes, dtype=np.int64)
    return tuple(
        Slot(place, codes[end - size : end].astype(np.int64))
        for place, size, end in zip(column.tolist(), sizes, ends.tolist(), strict=True)
    )


def tree_model(source: Source, described: Mapping[str, Any], prefix: str, kinds: Sequence[str]) -> TreeModel:
    """Read trees whose arrays' names begin with `prefix`, for features of these types."""
    columns = read_columns(source, prefix, kinds)
    slots = _slots(source, prefix, columns)
    base = finite(source.take(f"{prefix}base", np.float64, np.float32), "base")
    require(len(base), "it has no outputs")
    n_nodes = source.counts(f"{prefix}tree.n_nodes", np.int64)
    require((n_nodes % 2 == 1).all(), "a tree has a number of nodes that no tree has")
    total = int(n_nodes.sum())
    slot = source.take(f"{prefix}node.slot", np.int32, size=total)
    code = source.take(f"{prefix}node.code", np.int32, size=total)
    cover = finite(source.take(f"{prefix}node.cover", np.float64, size=total), "node.cover")
    require((cover >= 0).all(), "a cover is negative")
    n_leaves = (total + len(n_nodes)) // 2
    leaves = finite(source.take(f"{prefix}leaves", base.dtype, n_dimensions=2), "leaves")
    width = leaves.shape[1]
    require(leaves.shape[0] == n_leaves and 1 <= width <= len(base), "the leaves are not as many as the trees have")
    output = source.take(f"{prefix}tree.output", np.int32, size=len(n_nodes))
    require(((output >= 0) & (output <= len(base) - width)).all(), "a tree adds to no output")
    require((np.diff(output) >= 0).all(), "its trees are not in the order of their outputs")
    is_inner = slot >= 0
    require(((slot >= -1) & (slot < len(slots))).all(), "a node looks at no slot")
    require((np.where(is_inner, (code >= 0) & (code <= LARGEST_CODE), code == -1)).all(), "a test is out of range")
    model = TreeModel(
        columns,
        slots,
        n_nodes,
        output,
        slot,
        code,
        cover,
        leaves,
        base,
        number(described, "divisor"),
        read_link(described.get("link"), len(base)),
        chosen(described, "cover", COVER_UNITS),
    )
    _require_trees(model, is_inner)
    return model


def _require_trees(model: TreeModel, is_inner: Array) -> None:
    """Refuse nodes that do not make one tree each: too many or too few inner ones, or a child before its parent."""
    _, tree, left = left_children(model)
    n_inner = np.bincount(tree, weights=is_inner, minlength=model.n_trees)
    require((2 * n_inner + 1 == model.n_nodes).all(), "a tree has too many leaves, or too few")
    here = np.arange(len(tree))
    require((left[is_inner] > here[is_inner]).all(), "a node comes before the one that leads to it")
