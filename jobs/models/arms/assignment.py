"""Assignment: which version serves a unit. It follows from the rollout's salt and the unit alone.

A unit's text is that of its columns by DuckDB's CAST, joined by 0x1f, NULL as 0x00; its bucket is the lower half of
md5(salt, 0x1f, text) modulo a million. `bucket_sql` says so in SQL, for whole pages, and `bucket_of` in Python, for one
unit whose texts came from DuckDB. Each challenger has a stretch of buckets with a start of its own, so that shares can
grow without anybody changing from one challenger to another, and a challenger that is taken out leaves its units to the
live version and moves nobody else.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from decimal import Decimal
from typing import Any

from warehouse.errors import UsageError
from warehouse.system_sql import literal, quote

BUCKETS = 1_000_000
#: The arm of units that no model chooses for. Their hash is another one: neither arms nor shares move them in or out.
EXPLORE = "explore"
_BETWEEN, _NULL = "\x1f", "\x00"


def unit_text(texts: Sequence[str | None]) -> str:
    """Give the text of a unit from the texts of its columns, which are those of DuckDB's CAST to VARCHAR."""
    return _BETWEEN.join(_NULL if text is None else text for text in texts)


def bucket_of(salt: str, texts: Sequence[str | None]) -> int:
    """Give the bucket of one unit, 0 to 999,999."""
    return _bucket(salt, unit_text(texts))


def _bucket(salt: str, text: str) -> int:
    digest = hashlib.md5(f"{salt}{_BETWEEN}{text}".encode(), usedforsecurity=False).digest()
    return int.from_bytes(digest[8:], "little") % BUCKETS


def unit_sql(unit: Sequence[str]) -> str:
    """Give the expression of a unit's text, over a relation with its columns."""
    texts = ", ".join(f"coalesce(CAST({quote(name)} AS VARCHAR), chr(0))" for name in unit)
    return f"concat_ws(chr(31), {texts})"


def bucket_sql(salt: str, unit: Sequence[str]) -> str:
    """Give the expression of a unit's bucket, an INTEGER from 0 to 999,999."""
    text = f"concat({literal(salt)}, chr(31), {unit_sql(unit)})"
    return f"CAST(md5_number_lower({text}) % {BUCKETS} AS INTEGER)"


@dataclass(frozen=True)
class Arm:
    """One challenger: the units with `low <= bucket < high` are its own."""

    version: str
    low: int = 0
    high: int = 0


@dataclass(frozen=True)
class Assignment:
    """Who is served by whom on a page.

    Attributes
    ----------
    salt, unit
        Of the rollout: they stay while it goes on.
    live
        The version that serves everybody else.
    arms
        The challengers that are still in, each with its buckets.
    by_region
        Only rows that meet a condition over the page's columns, which the caller brings, are given to challengers.
    listed
        Only units with one of these texts are given to challengers; None where no list limits them.
    explore
        How many of the buckets of the other hash no model chooses for, before anybody is given to an arm.
    """

    salt: str
    unit: tuple[str, ...]
    live: str
    arms: tuple[Arm, ...] = ()
    by_region: bool = False
    listed: tuple[str, ...] | None = None
    explore: int = 0

    @property
    def _explore_salt(self) -> str:
        return f"{self.salt}{_BETWEEN}{EXPLORE}"

    def arm_of(self, texts: Sequence[str | None], inside: bool = True) -> str:
        """Give the version that serves one unit; `inside` says whether its row meets the region's condition."""
        text = unit_text(texts)
        if self.explore and _bucket(self._explore_salt, text) < self.explore:
            return EXPLORE
        if (self.by_region and not inside) or (self.listed is not None and text not in self.listed):
            return self.live
        bucket = _bucket(self.salt, text)
        return next((arm.version for arm in self.arms if arm.low <= bucket < arm.high), self.live)

    def arm_sql(self, region: str | None = None) -> str:
        """Give the expression of the version that serves a row, a VARCHAR that is never NULL.

        Parameters
        ----------
        region
            The condition, as SQL over the same relation, which the caller has checked. NULL counts as not met.
        """
        if self.by_region != (region is not None):
            raise UsageError("an assignment by region needs the region's condition, and no other has one")
        bucket, inside = bucket_sql(self.salt, self.unit), self._inside(region)
        branches = [
            f"WHEN {inside} AND {bucket} BETWEEN {arm.low} AND {arm.high - 1} THEN {literal(arm.version)}"
            for arm in self.arms
            if arm.high > arm.low
        ]
        if self.explore:
            explored = bucket_sql(self._explore_salt, self.unit)
            branches.insert(0, f"WHEN {explored} < {self.explore} THEN {literal(EXPLORE)}")
        live = literal(self.live)
        return f"(CASE {' '.join(branches)} ELSE {live} END)" if branches else live

    def _inside(self, region: str | None) -> str:
        if region is not None:
            return f"coalesce(({region}), false)"
        if self.listed is not None:
            return f"{unit_sql(self.unit)} IN ({', '.join(map(_text_sql, self.listed)) or 'NULL'})"
        return "true"

    def without(self, version: str) -> Assignment:
        """Take a challenger out: its units are the live version's, everybody else stays where they are."""
        return replace(self, arms=tuple(arm for arm in self.arms if arm.version != version))

    def shares(self) -> dict[str, float]:
        """Give the share of units by arm, the live version's too: what counts are compared with."""
        left = 1 - self.explore / BUCKETS
        found = {arm.version: left * (arm.high - arm.low) / BUCKETS for arm in self.arms}
        shares = {self.live: left - sum(found.values()), **found}
        return {**shares, EXPLORE: self.explore / BUCKETS} if self.explore else shares

    def to_json(self) -> str:
        """Write it down, so that the ledger says who was served by whom."""
        return json.dumps(asdict(self), sort_keys=True)

    @classmethod
    def from_json(cls, text: str) -> Assignment:
        """Read what `to_json` wrote."""
        found: dict[str, Any] = json.loads(text)
        arms = tuple(Arm(**arm) for arm in found.pop("arms"))
        unit, listed = tuple(found.pop("unit")), found.pop("listed")
        return cls(unit=unit, arms=arms, listed=None if listed is None else tuple(listed), **found)


def in_shadow(salt: str, unit: Sequence[str], live: str, challengers: Sequence[str]) -> Assignment:
    """Give nobody to a challenger: all of them score, and the live version serves."""
    return Assignment(salt, tuple(unit), live, tuple(Arm(version) for version in challengers))


def by_share(salt: str, unit: Sequence[str], live: str, challengers: Sequence[str], share: Decimal) -> Assignment:
    """Give `share` of the units, 0 to 1, to each challenger.

    Challenger k of K has its buckets from k / K on, whatever the share: who was given to it stays with it as the share
    grows.

    Raises
    ------
    UsageError
        If the challengers together would have more than everything.
    """
    width = int(share * BUCKETS)
    if not 0 <= width <= BUCKETS // max(1, len(challengers)):
        raise UsageError(
            f"a share of {share:%} for each of {len(challengers)} challengers is more than there is; "
            f"at most {Decimal(1) / max(1, len(challengers)):.0%} each"
        )
    starts = [place * BUCKETS // len(challengers) for place in range(len(challengers))]
    arms = tuple(Arm(version, low, low + width) for version, low in zip(challengers, starts, strict=True))
    return Assignment(salt, tuple(unit), live, arms)


def by_region(salt: str, unit: Sequence[str], live: str, challengers: Sequence[str]) -> Assignment:
    """Give the rows that meet a condition to the challengers; several share them evenly, unit by unit."""
    whole = by_share(salt, unit, live, challengers, Decimal(1) / len(challengers))
    return replace(whole, arms=_filled(whole.arms), by_region=True)


def by_list(
    salt: str, unit: Sequence[str], live: str, challengers: Sequence[str], listed: Sequence[Sequence[str | None]]
) -> Assignment:
    """Give listed units (the texts of their columns) to the challengers; several share them evenly."""
    whole = by_share(salt, unit, live, challengers, Decimal(1) / len(challengers))
    return replace(whole, arms=_filled(whole.arms), listed=tuple(sorted({unit_text(one) for one in listed})))


def _text_sql(text: str) -> str:
    # DuckDB's parser ends a statement at 0x00, which stands for NULL in a unit's text.
    parts = " || chr(0) || ".join(literal(part) for part in text.split(_NULL))
    return f"({parts})"


def _filled(arms: tuple[Arm, ...]) -> tuple[Arm, ...]:
    # A million is no multiple of three: each arm ends where the next begins.
    ends = [*(arm.low for arm in arms[1:]), BUCKETS]
    return tuple(replace(arm, high=end) for arm, end in zip(arms, ends, strict=True))
