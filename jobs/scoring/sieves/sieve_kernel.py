"""The loops of a sieve of lists, compiled by numba; see `jobs.scoring.sieves.sieve`."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from jobs.scoring.machine_code.kernel_cache import compile_cached


def _find_lists(lists: Any, hashes: Any, places: Any, first_rows: Any) -> None:
    """Write the place of each row's list, -1 where there is no room for another one.

    Parameters
    ----------
    lists
        `ListArrays`.
    hashes
        (n_rows,) of the rows' lists.
    places, first_rows
        (n_rows,) to write: the places, and of each list that is new, in the order of their places, its first row.
    """
    mask = np.uint64(len(lists.slots) - 1)
    n_lists, n_new = lists.n_lists[0], 0
    for row in range(len(hashes)):
        hashed = hashes[row]
        if row and hashed == hashes[row - 1]:
            # The rows of a list often come one after the other.
            places[row] = places[row - 1]
            continue
        slot = (hashed ^ (hashed >> np.uint64(32))) & mask
        place = np.int64(lists.slots[slot]) - 1
        while place >= 0 and lists.hashes[place] != hashed:
            slot = (slot + np.uint64(1)) & mask
            place = np.int64(lists.slots[slot]) - 1
        if place < 0 and n_lists < len(lists.hashes):
            place = n_lists
            lists.hashes[place] = hashed
            lists.slots[slot] = np.int32(place + 1)
            first_rows[n_new] = row
            n_lists += 1
            n_new += 1
        places[row] = place
    lists.n_lists[0] = n_lists


def _tell_apart(words: Any, of_lists: Any, places: Any) -> None:
    """Take the place from rows whose list has another key, bit for bit, than the one at that place.

    Parameters
    ----------
    words
        (n_rows,) of a key column, as integers of its width.
    of_lists
        (n_lists,) of the same column, by place.
    places
        (n_rows,), which is written to.
    """
    for row in range(len(words)):
        if places[row] >= 0 and words[row] != of_lists[places[row]]:
            places[row] = -1


def _offer(lists: Any, places: Any, scores: Any) -> None:
    """Count rows for their lists, and put those scores into a list's heap that are among its highest."""
    top = lists.heaps.shape[1]
    for row in range(len(places)):
        place = places[row]
        if place < 0:
            continue
        lists.n_rows[place] += 1
        # Without a number, a score sorts before all numbers.
        score = math.inf if math.isnan(scores[row]) else scores[row]
        heap = lists.heaps[place]
        n_heaped = lists.n_heaped[place]
        if n_heaped < top:
            hole = int(n_heaped)
            lists.n_heaped[place] = n_heaped + 1
            while hole > 0 and heap[(hole - 1) >> 1] > score:
                heap[hole] = heap[(hole - 1) >> 1]
                hole = (hole - 1) >> 1
            heap[hole] = score
        elif score > heap[0]:
            hole, child = 0, 1
            while child < top:
                if child + 1 < top and heap[child + 1] < heap[child]:
                    child += 1
                if heap[child] >= score:
                    break
                heap[hole] = heap[child]
                hole, child = child, 2 * child + 1
            heap[hole] = score


def _find_kept(lists: Any, places: Any, scores: Any, kept: Any) -> None:
    """Write which rows may still be listed, or are of a list that is kept whole, or of one that has no place."""
    top = lists.heaps.shape[1]
    for row in range(len(places)):
        place = places[row]
        if place < 0 or lists.is_whole[place] or lists.n_heaped[place] < top:
            kept[row] = True
        else:
            # Equal scores stay, for keys to decide; what is no number sorts before all numbers.
            kept[row] = not scores[row] < lists.heaps[place, 0]


find_lists = compile_cached(_find_lists)
tell_apart = compile_cached(_tell_apart)
offer = compile_cached(_offer)
find_kept = compile_cached(_find_kept)
