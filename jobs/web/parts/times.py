"""Instants of the operational state, which are text there."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from typing import Any

#: Its columns that hold instants.
_INSTANTS = frozenset({"at", "page", "settled_at", "started_at", "finished_at", "paused_at", "raised_at"})


def as_instants(names: Sequence[str], rows: Sequence[tuple[Any, ...]]) -> list[tuple[Any, ...]]:
    """Give rows with the instants in them read."""
    places = {place for place, name in enumerate(names) if name in _INSTANTS}
    return [tuple(_read(value) if place in places else value for place, value in enumerate(row)) for row in rows]


def _read(value: Any) -> Any:
    try:
        return datetime.fromisoformat(value)
    except (TypeError, ValueError):
        return value
