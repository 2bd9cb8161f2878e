"""Scoring a batch of pages: by the version that is live, and by the arms of a rollout beside it.

All arms score every row. What is served goes to the product's table, and the rest to `predictions.PRODUCT_arms`; both
are staged here, and published in one commit.
"""

from __future__ import annotations

import functools
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np
import numpy.typing as npt

from jobs.models.arms.assignment import EXPLORE
from jobs.models.arms.lists import write_by_chance, write_interleaved
from jobs.models.compiled_files import LateFile
from jobs.models.reasons.explaining import Reasons, ready_reasons
from jobs.models.versions import ready_to_score
from jobs.pages.scores.arms import Arms
from jobs.pages.scores.score import ScoredFile, prediction_rows, sample_of, sample_rows, score_pages
from jobs.progress import Progress
from jobs.suite import Suite
from warehouse.definitions import Product
from warehouse.errors import AlmanacError, ArmFailed
from warehouse.lake.lake import Commit
from warehouse.lake.registry import ARM_COLUMN
from warehouse.ledger.records import ModelRecord
from warehouse.ledger.rollouts import ArmPage
from warehouse.pages.profiling.in_passing import InPassing
from warehouse.system_sql import exact_path, literal, quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.pages.scores.sifted import SiftedPage
    from jobs.scoring import Scorer

#: The file of a batch's predictions, in the directory of its run.
PREDICTIONS = "predictions.parquet"


@dataclass(frozen=True)
class Served:
    """The staged rows that readers are to see, those of arms that they are not, and how many there are of each."""

    file: Path
    columns: dict[str, str]
    beside: Path
    counts: list[ArmPage]


@dataclass
class Scoring:
    """Scores feature pages of one batch, and remembers what has to be committed of the versions that did.

    Attributes
    ----------
    cursor
        Where the relations can be read.
    run_id, directory
        The run, and where it stages.
    names_no_arm
        Whether rows bear an arm that is NULL: the table has the column since an earlier rollout, and takes a file as it
        is only if that has all of its columns.
    elsewhere
        What tasks have scored already.
    sifted
        What takes the candidates of a page of lists while they are made, where that is asked for.
    kept
        Of what it staged, which rows are kept, where that is known.
    """

    suite: Suite
    product: Product
    cursor: duckdb.DuckDBPyConnection
    run_id: str
    directory: Path
    progress: Progress
    names_no_arm: bool = False
    elsewhere: ScoredFile | None = None
    late: dict[str, LateFile] = field(default_factory=dict)
    reasons: dict[str, tuple[ModelRecord, Reasons]] = field(default_factory=dict)
    sifted: SiftedPage | None = None
    kept: npt.NDArray[np.bool_] | None = None

    def sieve(
        self, model: ModelRecord | None, pages: Sequence[datetime], columns: Callable[[], Mapping[str, str]]
    ) -> SiftedPage | None:
        """Give what scores candidates of lists while they are made; None where they are to be staged before.

        Parameters
        ----------
        model
            The version that writes the pages, and no other one scores them; None: features only.
        columns
            Gives the columns of feature pages with their types.
        """
        if model is None or self.product.ranking is None or len(pages) != 1:
            return None
        from jobs.pages.scores.sifted import SiftedPage, can_be_sifted

        if not can_be_sifted(columns().values()):
            return None

        def scorer(some: pa.RecordBatch) -> Scorer:
            return self._scorer(model, lambda: sample_of(some, model))

        rows, file = prediction_rows(self.product, model, self.constants()), self.directory / PREDICTIONS
        told = functools.partial(self.progress.advance, 0)
        self.sifted = SiftedPage(self.cursor, self.product, pages[0], rows, scorer, file, told)
        return self.sifted

    def _scorer(self, model: ModelRecord, sample: Callable[[], pa.Table]) -> Scorer:
        ready = ready_to_score(self.suite.lake, model, sample)
        if ready.late is not None:
            self.late[model.version] = ready.late
        return ready.scorer

    def write(self, model: ModelRecord, relation: str, file: Path, passing: InPassing | None = None) -> ScoredFile:
        """Score a relation of feature pages by a version, and stage the rows; `passing` profiles them on the way."""
        if self.elsewhere is not None:
            return self.elsewhere
        sample = functools.partial(sample_rows, self.cursor, model, relation)
        sifted, self.sifted = self.sifted.sifted if self.sifted is not None else None, None
        scorer = (sifted.scorer if sifted is not None else None) or self._scorer(model, sample)
        reasons = ready_reasons(self.suite.lake, self.product, model, scorer, sample)
        if reasons is not None:
            self.reasons[model.version] = model, reasons
            if reasons.is_new and reasons.record.refused is not None:
                self.progress.warn(f"{model.version} gives no reasons: {reasons.record.refused}")
        told = functools.partial(self.progress.advance, 0)
        how = (self.product, model, scorer, relation, file, self.constants(), told, reasons, passing)
        if sifted is None or sifted.scorer is None:
            return score_pages(self.cursor, *how)
        self.kept = sifted.kept
        return replace(score_pages(self.cursor, *how, sifted), relations=sifted.relations)

    def constants(self) -> dict[str, Any]:
        """Give the columns that are the same on every row."""
        arm = dict.fromkeys(ARM_COLUMN) if self.names_no_arm else {}
        return {"run_id": self.run_id, "published_at": self.suite.clock(), **arm}

    def ahead(self) -> dict[str, Path]:
        """Stage the files that `commit` has kept, and name them for `Lake.commit`, which sends them ahead."""
        found = [late.ahead(self.run_id, self.directory) for late in self.late.values()]
        found += [
            reasons.ahead(model.artifact, self.run_id, self.directory) for model, reasons in self.reasons.values()
        ]
        return {path: file for each in found for path, file in each.items()}

    def commit(self, commit: Commit, live: ModelRecord) -> None:
        """Record in a commit what versions got with this batch: compiled files, and how they are explained."""
        now = self.suite.clock()
        for late in self.late.values():
            late.commit(commit, self.suite.lake.root, self.run_id, now)
        for model, reasons in self.reasons.values():
            wrote = model.version == live.version
            reasons.commit(commit, self.suite.lake, model.artifact, self.run_id, now, wrote)

    def serve(self, arms: Arms, relation: str, live: Path, seconds: float) -> Served:
        """Score the arms beside the live version, and part the rows by who serves them.

        Parameters
        ----------
        relation
            SQL of the feature pages that the live version has scored.
        live, seconds
            The staged file of its rows, and how long that took.

        Raises
        ------
        ArmFailed
            If a challenger cannot score them.
        """
        files, took = [live], {arms.rollout.live: seconds}
        for model in arms.challengers:
            file = self.directory / f"arm-{model.version}.parquet"
            began = time.perf_counter()
            try:
                self.write(model, relation, file)
            except AlmanacError as error:
                raise ArmFailed(model.version, str(error)) from error
            took[model.version] = time.perf_counter() - began
            files.append(file)
        served, beside = self.directory / "served.parquet", self.directory / "beside.parquet"
        try:
            if arms.interleaves:
                self._interleave(arms, files, served)
            else:
                if arms.assignment.explore and self.product.ranking is not None:
                    files.append(self._by_chance(arms, relation, live))
                self._part(arms, relation, files, served, "=")
            self._part(arms, relation, files, beside, "<>")
        except (duckdb.BinderException, duckdb.ConversionException) as error:
            raise ArmFailed(None, f"`where` of its canary cannot be asked of the page: {error}") from error
        described = self.cursor.execute("DESCRIBE SELECT * FROM read_parquet($1)", [exact_path(served)]).fetchall()
        counts = self._counts(arms, served, beside, took)
        return Served(served, {str(row[0]): str(row[1]) for row in described}, beside, counts)

    def _interleave(self, arms: Arms, files: Sequence[Path], into: Path) -> None:
        assert self.product.ranking is not None
        versions = arms.rollout.live, arms.challengers[0].version
        ranking, keys = self.product.ranking, self.product.keys
        write_interleaved(self.cursor, (files[0], files[1]), versions, arms.rollout.salt, keys, ranking, into)

    def _by_chance(self, arms: Arms, relation: str, live: Path) -> Path:
        """Stage lists of the units that are explored: candidates in the order of a hash."""
        assert self.product.ranking is not None
        file = self.directory / f"arm-{EXPLORE}.parquet"
        salt, keys = arms.rollout.salt, self.product.keys
        write_by_chance(self.cursor, relation, live, arms.assignment.arm_sql(), salt, keys, self.product.ranking, file)
        return file

    def _part(self, arms: Arms, relation: str, files: Sequence[Path], into: Path, compared: str) -> None:
        # Interleaved lists are nobody's own: both versions' stand beside the page.
        given = "''" if arms.interleaves else arms.assignment.arm_sql(arms.where)
        keys, join = quote_all(self.product.keys), ""
        if arms.where is not None:
            join = system_sql("rollouts/given", keys=keys, given=given, features=relation)
            given = 'given."almanac: given"'
        listed = ", ".join(literal(exact_path(file)) for file in files)
        arm = given if compared == "=" else "scored.model_version"
        if arms.assignment.explore and self.product.ranking is None:
            given = f"CASE {given} WHEN {literal(EXPLORE)} THEN {literal(arms.rollout.live)} ELSE {given} END"
        parts = {"files": listed, "join": join, "given": given, "arm": arm, "keys": keys, "compared": compared}
        self.cursor.execute(system_sql("rollouts/split", file=literal(str(into)), **parts))

    def _counts(self, arms: Arms, served: Path, beside: Path, took: dict[str, float]) -> list[ArmPage]:
        has_score = not (self.product.classes or self.product.quantiles or self.product.ranking)
        score = quote(self.product.score_column) if has_score else "NULL::DOUBLE"
        files = {"served": exact_path(served), "beside": exact_path(beside)}
        rows = self.cursor.execute(system_sql("rollouts/counts", score=score), files).fetchall()
        sums: dict[str, int] = {}
        for _, arm, n_rows, _, _ in rows:
            sums[arm] = sums.get(arm, 0) + n_rows
        name = self.product.name, self.run_id, arms.rollout.rollout_id, arms.step.number
        return [_arm_page(name, row, took.get(row[1], 0.0) * row[2] / sums[row[1]]) for row in rows]


def _arm_page(
    name: tuple[str, str, str, int], row: tuple[datetime, str, int, int, float | None], seconds: float
) -> ArmPage:
    product, run_id, rollout_id, step = name
    as_of, arm, n_rows, n_served, mean = row
    return ArmPage(product, as_of, run_id, rollout_id, step, arm, n_rows, n_served, mean, seconds)


def numbered(counts: Sequence[ArmPage], published: set[datetime], snapshot_id: int) -> list[ArmPage]:
    """Give the ledger's rows of the arms of those pages that were published."""
    return [replace(one, snapshot_id=snapshot_id) for one in counts if one.as_of in published]
