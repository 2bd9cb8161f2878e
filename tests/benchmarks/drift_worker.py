"""What runs in the environment of a tool that compares two frames: it reads two Parquet files and compares columns.

    python drift_worker.py NAME REFERENCE CURRENT

It imports nothing of Almanac. Each line on its standard input makes it read and compare both files once; it answers
with the CPU and the wall seconds that this took, and how many columns it compared.
"""

from __future__ import annotations

import importlib.metadata
import sys
import time
from collections.abc import Callable
from typing import Any

import pandas as pd


def evidently(reference: Any, current: Any) -> int:
    """PSI of each column, by Evidently's preset."""
    from evidently import DataDefinition, Dataset, Report
    from evidently.presets import DataDriftPreset

    definition = DataDefinition(numerical_columns=list(reference.columns))
    frames = [Dataset.from_pandas(frame, data_definition=definition) for frame in (current, reference)]
    told = Report([DataDriftPreset(method="psi")]).run(*frames).dict()
    return len(told["metrics"]) - 1


def nannyml(reference: Any, current: Any) -> int:
    """Jensen-Shannon of each column, which is what NannyML recommends; it has no PSI."""
    import nannyml as nml

    columns = list(reference.columns)
    calculator = nml.UnivariateDriftCalculator(
        column_names=columns, continuous_methods=["jensen_shannon"], chunk_number=1
    )
    calculator.fit(reference)
    calculator.calculate(current)
    return len(columns)


def whylogs(reference: Any, current: Any) -> int:
    """Profiles of both frames, and Kolmogorov-Smirnov of their quantile sketches; whylogs has no PSI."""
    import whylogs as why

    views = [why.log(frame).view() for frame in (reference, current)]
    sketches = [view.get_columns() for view in views]
    places = [step / 100 for step in range(101)]
    for name in reference.columns:
        here, there = (one[name].get_metric("distribution").kll.value for one in sketches)
        max(abs(here.get_rank(value) - there.get_rank(value)) for value in there.get_quantiles(places))
    return len(reference.columns)


TOOLS: dict[str, Callable[[Any, Any], int]] = {"evidently": evidently, "nannyml": nannyml, "whylogs": whylogs}


def main(name: str, reference: str, current: str) -> None:
    __import__(name)
    print(f"almanac-peer: {name} {importlib.metadata.version(name)}", flush=True)
    for _ in sys.stdin:
        begin, cpu = time.perf_counter(), time.process_time()
        n_columns = TOOLS[name](pd.read_parquet(reference), pd.read_parquet(current))
        seconds = time.process_time() - cpu, time.perf_counter() - begin
        print(f"almanac-peer: {seconds[0]} {seconds[1]} {n_columns}", flush=True)


if __name__ == "__main__":
    main(*sys.argv[1:])
