"""The players among whom a prediction is divided: source columns, or groups of them that count as one."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from warehouse.errors import UsageError


@dataclass(frozen=True)
class Players:
    """Who the contributions are of.

    Parameters
    ----------
    names
        Of each player: a column's own name, or a group's.
    of_feature
        (n_features,): the player that each of the model's columns belongs to.
    """

    names: tuple[str, ...]
    of_feature: npt.NDArray[np.int64]


def make_players(feature_names: Sequence[str], groups: Mapping[str, Sequence[str]] | None = None) -> Players:
    """Return one player for each group and for each column that is in none, in the order of their first columns.

    Raises
    ------
    UsageError
        A group has no columns, one that the model does not read, one of another group, or the name of a column that
        is not its own.
    """
    group_of: dict[str, str] = {}
    for name, columns in (groups or {}).items():
        if not columns:
            raise UsageError(f"the group `{name}` has no columns.")
        if name in feature_names and name not in columns:
            raise UsageError(f"the group `{name}` has the name of a column that is not in it; give it another name.")
        for column in columns:
            if column not in feature_names:
                raise UsageError(
                    f"the group `{name}` has `{column}`, which the model does not read: {list(feature_names)}."
                )
            if column in group_of:
                raise UsageError(f"`{column}` is in the groups `{group_of[column]}` and `{name}`; leave it in one.")
            group_of[column] = name
    owners = [group_of.get(name, name) for name in feature_names]
    names = tuple(dict.fromkeys(owners))
    return Players(names, np.array([names.index(owner) for owner in owners], np.int64))
