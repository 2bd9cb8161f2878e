"""What recognition is told about a source, and what it answers when it does not understand.

The caller knows the lake; this package does not. All that it needs to know of a source is here.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import timedelta

from warehouse.errors import AlmanacError

KNOWN_AT = "known_at"
AS_OF = "as_of"


@dataclass(frozen=True)
class SourceShape:
    """A source as its sandbox view shows it.

    Parameters
    ----------
    columns
        Column name to DuckDB type, in the view's order; `known_at` (TIMESTAMP) may be left out.
    arrives_within
        How long facts take to reach us after `known_at`: a page sees those with
        `known_at + arrives_within < as_of`.
    has_versions
        Whether a row can be replaced or withdrawn inside the range of pages. Partial aggregates would
        then hold rows that later pages no longer see.
    """

    columns: Mapping[str, str]
    arrives_within: timedelta = timedelta(0)
    has_versions: bool = False


@dataclass(frozen=True)
class Reason:
    """Why a query is computed page by page: one sentence, without a full stop."""

    sentence: str

    def __str__(self) -> str:
        return self.sentence


@dataclass(frozen=True)
class Column:
    """A column of the result: its name, its DuckDB type, and whether equality on it means 1e-9.

    `is_approximate` marks what is made from a deviation: DuckDB sums those in floating point, in the
    order of its threads; here they come from exact sums, so the last bits may differ.
    """

    name: str
    type: str
    is_approximate: bool = False


class NotUnderstood(AlmanacError):
    """Recognition met something that it cannot prove to be safe; `recognise` turns it into a Reason."""
