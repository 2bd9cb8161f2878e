"""Scores made where the rows are: a task scores its shard of a page, so that no row travels to be scored."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jobs.models.compiled_files import compiled_file
from jobs.models.versions import load_scorer
from jobs.pages.scores.score import ScoredFile, score_pages
from jobs.pages.scores.scoring import Scoring
from warehouse.batching.batch import Batch
from warehouse.lake.lake import Lake, check_format
from warehouse.ledger.records import ModelRecord
from warehouse.system_sql import parquet


@dataclass(frozen=True)
class Scores:
    """Which version scores, by the hash of its artifact, and the columns that are the same on every row."""

    model: ModelRecord
    constants: Mapping[str, Any]

    def write(self, batch: Batch, lake: Lake, features: Path, file: Path) -> ScoredFile:
        """Score a staged file of features, and stage the predictions.

        Raises
        ------
        ScoringFailed
            If the artifact is not the one that was recorded, or the version refuses a row.
        """
        scorer, constants = load_scorer(lake, self.model), dict(self.constants)
        relation = f"(FROM {parquet([features])})"
        return score_pages(batch.cursor, batch.product, self.model, scorer, relation, file, constants, lambda n: None)


def scores_of(scoring: Scoring, model: ModelRecord | None) -> Scores | None:
    """Say how tasks score; None where all rows have to be in one place for it, which is then here.

    That is so for ranked lists and for reasons, and for a version that is still to be compiled and compared.
    """
    product, lake = scoring.product, scoring.suite.lake
    if model is None or product.ranking is not None or product.header.reasons is not None or model.is_rule:
        return None
    with lake.reading() as connection:
        file = compiled_file(connection, model, lake.root, check_format(connection, lake.root))
    return Scores(model, scoring.constants()) if file is not None else None
