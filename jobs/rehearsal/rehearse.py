"""Rehearse: live through a stretch of history again under each of some policies, and compare what they came to."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import datetime, timedelta
from pathlib import Path

from jobs.metering import RunMeter
from jobs.progress import Progress, Silent
from jobs.rehearsal.at_once import live_all
from jobs.rehearsal.figures import Lived, PolicyResult, compare
from jobs.rehearsal.lives import Terms, begin_first
from jobs.rehearsal.policies import read_policies
from jobs.rehearsal.record import Rehearsal, keep_rehearsal
from jobs.rehearsal.room import Asked, Room, one_at_a_time, prepare
from jobs.suite import Suite
from jobs.training.recalled import Recalled
from warehouse.definitions import Product
from warehouse.errors import UsageError
from warehouse.label_kinds import KINDS


def rehearse(
    suite: Suite,
    product_name: str,
    begin: datetime,
    end: datetime,
    policies: Path,
    *,
    hold_out: float | None = None,
    training_takes: timedelta | None = None,
    keep: bool = False,
    scratch: Path | None = None,
    processes: int = 1,
    progress: Progress | None = None,
) -> Rehearsal:
    """Live through the time from `begin` to `end` (excluded, naive UTC) under each policy of a file.

    What is published stays as it is; the ledger gets what the policies came to. Killed, the same call goes on where it
    was.

    Parameters
    ----------
    hold_out
        The share of the pages, the last ones, that no policy is chosen by.
    training_takes
        How long a training takes; None: as long as those of the ledger took.
    keep
        Keep the policies' suites, to be looked at.
    scratch
        The directory in which the policies' lakes are put; see `jobs.rehearsal.room` for where they are otherwise.
    processes
        So many policies are lived through at once, each in a process of its own; with 1, all in this one.

    Raises
    ------
    UsageError
        If the stretch is not past, or the product has a rule.
    DefinitionError
        If the file, or what a policy makes of the definitions, is wrong.
    RunFailed
        If the version that all policies begin with does not pass its gates, or another process rehearses the same.
    """
    progress = progress or Silent()
    product = suite.definitions.product(product_name)
    _require_lived(suite, product, begin, end, hold_out)
    asked = Asked(product, begin, end, tuple(read_policies(policies, product)), scratch)
    meter = RunMeter(suite, "rehearse", product.name)
    with one_at_a_time(suite, asked):
        found = _rehearse(suite, asked, hold_out, training_takes, processes, progress, keep=keep)
    keep_rehearsal(suite, asked, found, meter, kept=keep)
    return found


def _rehearse(
    suite: Suite,
    asked: Asked,
    hold_out: float | None,
    training_takes: timedelta | None,
    processes: int,
    progress: Progress,
    *,
    keep: bool,
) -> Rehearsal:
    """Live through the stretch under each policy, by nobody else meanwhile."""
    room = prepare(suite, asked, progress)
    recalled = Recalled()
    takes = begin_first(room, recalled) if training_takes is None else training_takes
    ended = live_all(room, Terms(takes, suite.clock()), recalled, progress, processes)
    lives = {name: one.lived for name, one in ended.items()}
    found = _compared(room, lives, {name: one.n_failed for name, one in ended.items()}, hold_out)
    if not keep:
        shutil.rmtree(room.directory, ignore_errors=True)
    return replace(found, training_s=takes.total_seconds(), shared=recalled.n_shared)


def _require_lived(suite: Suite, product: Product, begin: datetime, end: datetime, hold_out: float | None) -> None:
    if product.rule is not None:
        raise UsageError(f"{product.name} has a rule, {product.rule.where}, which is not trained.")
    if not begin < end <= suite.clock():
        raise UsageError(f"from {begin} to {end} is no stretch of the past (it is {suite.clock()} UTC).")
    if hold_out is not None and not 0 < hold_out < 1:
        raise UsageError(f"--hold-out {hold_out} is no share between 0 and 1.")


def _compared(room: Room, lives: Mapping[str, Lived], failed: Mapping[str, int], hold_out: float | None) -> Rehearsal:
    asked = room.asked
    kind = KINDS[asked.product.kind.name]
    pages = asked.product.pages_between(asked.begin, asked.end)
    higher = kind.metrics[kind.loss]
    told = Rehearsal(
        asked.product.name, asked.begin, asked.end, kind.loss, higher, 0.0, (), None,
        facts_in_their_time=room.facts_in_their_time,
    )  # fmt: skip
    if hold_out is None:
        rows, best = _marked(compare(asked.product, lives, failed, pages), higher)
        return replace(told, rows=rows, best=best)
    cut = len(pages) - round(hold_out * len(pages))
    if not 0 < cut < len(pages):
        raise UsageError(f"--hold-out {hold_out} of {len(pages)} pages leaves none on one side.")
    chosen_on, best = _marked(compare(asked.product, lives, failed, pages[:cut]), higher)
    rows = [replace(row, is_best=row.policy == best) for row in compare(asked.product, lives, failed, pages[cut:])]
    return replace(told, rows=rows, best=best, chosen_on=chosen_on, held_out_from=pages[cut])


def _marked(rows: Sequence[PolicyResult], higher: bool) -> tuple[list[PolicyResult], str | None]:
    """Mark the best: of those whose figures are the same, the one with the fewest trainings."""
    known = [row for row in rows if row.figure is not None]
    if not known:
        return list(rows), None
    best = min(known, key=lambda row: (-(row.figure or 0.0) if higher else row.figure or 0.0, row.trainings)).policy
    return [replace(row, is_best=row.policy == best) for row in rows], best
