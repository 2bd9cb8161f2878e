"""Scorers: models made ready for throughput, with the estimator's own answers. See `compile_model`."""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from jobs.scoring.compiled import compile_model
    from jobs.scoring.interface.arrow_input import estimator_input
    from jobs.scoring.interface.scorer import Scorer, estimator_scorer
    from jobs.scoring.parity import ParityReport, check_parity, ready_scorer
    from jobs.scoring.processes import ProcessScorer
    from jobs.scoring.stream import score_stream, scored_reader

__all__ = [
    "ParityReport",
    "ProcessScorer",
    "Scorer",
    "check_parity",
    "compile_model",
    "estimator_input",
    "estimator_scorer",
    "ready_scorer",
    "score_stream",
    "scored_reader",
]

#: Where each name is. It is imported when it is asked for: what scores a file's model needs no reader of estimators.
_PLACES = {
    "ParityReport": "parity",
    "ProcessScorer": "processes",
    "Scorer": "interface.scorer",
    "check_parity": "parity",
    "compile_model": "compiled",
    "estimator_input": "interface.arrow_input",
    "estimator_scorer": "interface.scorer",
    "ready_scorer": "parity",
    "score_stream": "stream",
    "scored_reader": "stream",
}


def __getattr__(name: str) -> Any:
    """Import a name of this package, as `from jobs.scoring import compile_model` asks for it."""
    if name not in _PLACES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(f"{__name__}.{_PLACES[name]}"), name)
