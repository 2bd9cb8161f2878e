"""Turns a library's trees into trees over bins: the form in which a compiled model is kept and laid out."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from jobs.scoring.interface.scorer import NotUnderstood
from jobs.scoring.kernels.codes import I64, SlotTable
from jobs.scoring.kernels.ensemble import F64, Ensemble, Tree
from jobs.scoring.kernels.links import Link
from jobs.scoring.kernels.model_data import LibraryLink, TreeModel


def bin_trees(ensemble: Ensemble, kinds: Sequence[str], link: Link | LibraryLink) -> TreeModel:
    """Return the ensemble as bins, slots and trees over them.

    Parameters
    ----------
    ensemble
        The model, as its library means it.
    kinds
        Of each input column "float64", "float32" or "text", see `feature_kind`.
    link
        What makes predictions of raw predictions.

    Raises
    ------
    NotUnderstood
        A column is text where the model expects numbers, or the link is of one output and the trees have several.
    """
    if isinstance(link, Link) and link.shape != "columns" and len(ensemble.base) != 1:
        raise NotUnderstood(f"its link makes a {link.shape} of one output, and its trees have {len(ensemble.base)}")
    table = SlotTable(ensemble, kinds)
    # Trees of one output side by side, their order kept: that is the order of each output's sum.
    trees = sorted(ensemble.trees, key=lambda tree: tree.output)
    orders = [_breadth_first(tree) for tree in trees]
    tests = [table.tests_of(tree) for tree in trees]
    is_known = all(tree.cover is not None for tree in trees)
    width = trees[0].value.shape[1] if trees else 1
    leaves = [tree.value[order[tree.left[order] < 0]] for tree, order in zip(trees, orders, strict=True)]
    return TreeModel(
        columns=tuple(table.columns),
        slots=tuple(table.slots),
        n_nodes=np.array([len(order) for order in orders], np.int64),
        output=np.array([tree.output for tree in trees], np.int32),
        slot=_joined([test.slot[order] for test, order in zip(tests, orders, strict=True)]).astype(np.int32),
        code=_joined([test.code[order] for test, order in zip(tests, orders, strict=True)]).astype(np.int32),
        cover=_joined([_cover(tree)[order] for tree, order in zip(trees, orders, strict=True)]).astype(np.float64),
        leaves=np.concatenate([np.zeros((0, width), ensemble.base.dtype), *leaves]).astype(ensemble.base.dtype),
        base=np.ascontiguousarray(ensemble.base),
        divisor=ensemble.divisor,
        link=link,
        cover_unit=ensemble.cover_unit if is_known else "unknown",
    )


def _cover(tree: Tree) -> F64:
    return np.zeros(len(tree.left)) if tree.cover is None else tree.cover


def _joined(parts: Sequence[npt.NDArray[np.generic]]) -> npt.NDArray[np.generic]:
    return np.concatenate(parts) if parts else np.zeros(0, np.int64)


def _breadth_first(tree: Tree) -> I64:
    """Return the nodes level by level, siblings side by side."""
    levels = [np.zeros(1, np.int64)]
    while True:
        level = levels[-1]
        inner = level[tree.left[level] >= 0]
        if not len(inner):
            break
        levels.append(np.stack([tree.left[inner], tree.right[inner]], axis=1).ravel().astype(np.int64))
    return np.concatenate(levels)
