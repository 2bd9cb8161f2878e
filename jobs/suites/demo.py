"""The demo: the main job end to end, on every flight from New York in 2013, in a fresh suite."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from datetime import datetime
from decimal import Decimal
from pathlib import Path
from typing import Any

from jobs.facts.ingest import ingest
from jobs.monitoring.evaluate import evaluate
from jobs.pages.predict import predict_pages
from jobs.progress import Progress
from jobs.suite import Clock, open_suite
from jobs.suites.query import Answer, query_rows
from jobs.suites.starter import FLIGHTS, make_flights
from jobs.training.train import train

PRODUCT = FLIGHTS
TRAINED_AS_OF = datetime(2013, 10, 1)
PAGES_UNTIL = datetime(2013, 10, 9)
QUERY = (
    "SELECT flight_date, carrier, flight, origin, round(probability, 3) AS probability, valid_until, model_version"
    f" FROM predictions.{PRODUCT}_current ORDER BY probability DESC LIMIT 8"
)


@dataclass
class DemoResult:
    """What the demo did: rows and seconds a step, how the pages did, and what an application sees."""

    steps: list[dict[str, Any]] = field(default_factory=list)
    evaluation: list[dict[str, Any]] = field(default_factory=list)
    query: str = QUERY
    answer: Answer = field(default_factory=lambda: Answer([], [], frozenset()))


def run_demo(directory: Path, clock: Clock, progress: Progress) -> DemoResult:
    """Ingest all sources, train as of 2013-10-01, publish eight October pages, and read them as applications do.

    Raises
    ------
    UsageError
        If the directory is not empty.
    IngestFailed
        If the package with the flights is not installed.
    """
    make_flights(directory)
    suite = open_suite(directory, clock)
    result = DemoResult()

    began = time.monotonic()

    def note(step: str, what: str, rows: int) -> None:
        nonlocal began
        seconds = time.monotonic() - began
        result.steps.append({"step": step, "what": what, "rows": rows, "seconds": Decimal(f"{seconds:.1f}")})
        began = time.monotonic()

    ingested = ingest(suite, (), progress)
    note("ingest", f"{len(ingested)} sources", sum(r.ingestion.rows_read for r in ingested if r.ingestion))
    trained = train(suite, PRODUCT, TRAINED_AS_OF, progress).model
    auc = trained.metrics["validation_roc_auc"]
    note("train", f"{trained.version} on {trained.n_pages} pages, validation ROC AUC {auc:.3f}", trained.n_rows)
    product = suite.definitions.product(PRODUCT)
    pages = product.pages_between(TRAINED_AS_OF, PAGES_UNTIL)
    made = predict_pages(suite, product, pages, progress=progress)
    note("predict", f"{len(pages)} pages, checked and committed", made.n_rows)
    evaluation = evaluate(suite, PRODUCT, TRAINED_AS_OF, PAGES_UNTIL)
    note("evaluate", "against the landings known since", evaluation.n_labelled)
    result.evaluation = evaluation.groups
    result.answer = query_rows(suite, QUERY)
    return result
