"""The largest contributions of each row: who has them, and how large they are."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True)
class Largest:
    """The largest contributions of some rows, the largest first, ties in the order of players.

    Parameters
    ----------
    player, value
        (n_rows, n): whose they are, by place, and what they come to.
    count
        (n_rows,): how many of the n there are; what is behind them has no meaning.
    """

    player: npt.NDArray[np.int32]
    value: npt.NDArray[np.float32]
    count: npt.NDArray[np.int32]

    @classmethod
    def room(cls, n_rows: int, most: int) -> Largest:
        """Return room for those of some rows, at most so many of each, none so far."""
        shape = n_rows, most
        return cls(np.zeros(shape, np.int32), np.zeros(shape, np.float32), np.zeros(n_rows, np.int32))

    def of_rows(self, rows: slice) -> Largest:
        """Return those of some of the rows; to write to them is to write to these."""
        return Largest(self.player[rows], self.value[rows], self.count[rows])

    def put(self, rows: npt.NDArray[np.bool_], part: Largest) -> None:
        """Put in those of the rows that are marked."""
        self.player[rows], self.value[rows], self.count[rows] = part.player, part.value, part.count

    def flat(self) -> tuple[npt.NDArray[np.int32], npt.NDArray[np.float32]]:
        """Return players and values of all rows, one row's after another's."""
        most = self.player.shape[1]
        if (self.count == most).all():
            return self.player.ravel(), self.value.ravel()
        is_there = np.arange(most) < self.count[:, np.newaxis]
        return self.player[is_there], self.value[is_there]

    def pick(self, sums: Any, direction: int) -> None:
        """Pick them from contributions.

        Parameters
        ----------
        sums
            (n_tiles, n_players, n_rows of a tile): tile after tile.
        direction
            1: the largest above zero; -1: the largest below zero; 0: the largest sizes.
        """
        from jobs.scoring.reasons.table_kernel import pick_largest

        pick_largest(sums, len(self.count), direction, self.player, self.value, self.count)
