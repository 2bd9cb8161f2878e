"""The engine that makes pages in shards: tasks go out, files come back, and what came back is looked at.

One shard of each page is asked whole too, and compared; a difference is refused. Only files that tasks have returned
are taken, and their columns and rows have to be those that were told.
"""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager
from datetime import datetime
from pathlib import Path
from typing import Protocol

from jobs.pages.scores.score import ScoredFile
from jobs.pages.shards.processes import Run
from jobs.pages.shards.scores import Scores
from jobs.pages.shards.tasks import ASK, COMPARE, FEATURES, PREDICTIONS, PUT_TOGETHER, Done, Task, Work
from warehouse.batching.batch import Batch, FeaturePages
from warehouse.batching.engines import Computed, Wanted
from warehouse.batching.page_shards import Rows, Shard, forms_of
from warehouse.batching.splitting.forms import Split
from warehouse.errors import DefinitionError, RunFailed
from warehouse.sandbox import memory_limit_of
from warehouse.system_sql import exact_path, quote_all, system_sql


class Runner(Protocol):
    """What runs tasks: processes here, or a cluster."""

    #: As messages call it.
    name: str

    def running(self) -> AbstractContextManager[Run]:
        """Give what runs some tasks, and gives what became of each, in their order."""


class Shards:
    """Makes pages in `n` shards each, by a runner."""

    #: What looks at its own rows need not be looked at by `warehouse.batching.engines.compute`.
    compares_itself = True

    def __init__(self, runner: Runner, n: int) -> None:
        self.runner, self.n = runner, n
        #: By which version tasks score, and what they have scored in the end.
        self.scores: Scores | None = None
        self.scored: ScoredFile | None = None
        #: As messages call it.
        self.name = f"{runner.name}, in {n} shards"

    def compute(self, batch: Batch, wanted: Wanted) -> Computed:
        """Compute feature pages, see `warehouse.batching.engines.Engine`."""
        self.scored = None
        with self.runner.running() as run:
            return _Pages(self, batch, wanted, run).compute()


class _Pages:
    """The pages of one batch."""

    def __init__(self, engine: Shards, batch: Batch, wanted: Wanted, run: Run) -> None:
        self.engine, self.batch, self.wanted, self._run = engine, batch, wanted, run
        sandbox, definitions, product = batch.sandbox, batch.definitions, batch.product
        read = definitions.sources_of(product)
        columns = {source.name: sandbox.source_columns(source) for source in read}
        self.forms = forms_of(definitions, product, columns, sandbox.facts_of(definitions.sources))
        self.shards = [Shard(i, engine.n) for i in range(engine.n)]
        directory = wanted.file.with_suffix(".shards")
        directory.mkdir()
        where = (sandbox.snapshot_id, sandbox.ingest_id, directory, self.forms, memory_limit_of(product), engine.scores)
        self.packed = Work(sandbox.lake, definitions, product.name, *where).packed()
        self.failed: dict[datetime, str] = {}

    def compute(self) -> Computed:
        """Have the queries asked, the pages put together, and one shard of each compared."""
        asked = self._ask()
        pages = [page for page in self.wanted.pages if page not in self.failed]
        putting = [Task(PUT_TOGETHER, page, shard, asked[page].files) for page in pages for shard in self.shards]
        comparing = [self._comparison(page, asked[page]) for page in pages]
        # A shard asked whole takes longest, so it begins first.
        done = self._done([*comparing, *putting])
        self._require_equal(comparing, done[: len(comparing)])
        return self._staged(putting, done[len(comparing) :])

    def _done(self, tasks: Sequence[Task]) -> list[Done]:
        """Have tasks done; pages of which one fails have failed.

        Raises
        ------
        DefinitionError
            If a query does not bind.
        RunFailed
            If a process does not see the lake that it has to.
        """
        done = self._run(self.packed, tasks)
        if refused := [one.refused for one in done if one.refused is not None]:
            raise RunFailed(refused[0])
        if mistakes := [mistake for one in done for mistake in one.mistakes]:
            raise DefinitionError(list(dict.fromkeys(mistakes)))
        for task, one in zip(tasks, done, strict=True):
            if one.failed is not None:
                self.failed.setdefault(task.as_of, one.failed)
        return done

    def _ask(self) -> dict[datetime, _Asked]:
        tasks = [Task(ASK, page, shard) for page in self.wanted.pages for shard in self.shards]
        asked = {page: _Asked() for page in self.wanted.pages}
        for task, one in zip(tasks, self._done(tasks), strict=True):
            for name, rows in one.rows.items():
                asked[task.as_of].add(name, rows)
        for page, found in asked.items():
            if page not in self.failed:
                found.require_alike(self.engine.name)
        return asked

    def _comparison(self, page: datetime, asked: _Asked) -> Task:
        shard = random.Random(str(page)).choice(self.shards)
        split = [name for name, form in self.forms.items() if isinstance(form, Split)]
        return Task(COMPARE, page, shard, asked.files, {name: asked.rows[name][shard.i].file for name in split})

    def _require_equal(self, tasks: Sequence[Task], done: Sequence[Done]) -> None:
        for task, one in zip(tasks, done, strict=True):
            for where, why in one.differing.items():
                raise RunFailed(
                    f"{where}: on the page {task.as_of} {why}, which was to be the same in shards. Nothing was"
                    f" published; take `engine: duckdb` for {self.batch.product.name}, and report this."
                )

    def _staged(self, tasks: Sequence[Task], done: Sequence[Done]) -> Computed:
        """Look at the shards' files, and give them together."""
        kept = [(task, one) for task, one in zip(tasks, done, strict=True) if task.as_of not in self.failed]
        n_rows, crossed = (dict.fromkeys((task.as_of for task, _ in kept), 0) for _ in range(2))
        for task, one in kept:
            n_rows[task.as_of] += one.rows[FEATURES].n_rows
            crossed[task.as_of] += one.n_crossed
        self.wanted.done(len(self.wanted.pages))
        if not kept:
            return self._nothing()
        files, columns = self._looked_at([one.rows[FEATURES] for _, one in kept])
        if self.engine.scores is not None:
            scored, scored_columns = self._looked_at([one.rows[PREDICTIONS] for _, one in kept])
            self.engine.scored = ScoredFile(scored_columns, crossed, None, scored)
        return Computed(FeaturePages(files[0], n_rows, columns, files[1:]), self.failed)

    def _looked_at(self, rows: Sequence[Rows]) -> tuple[tuple[Path, ...], dict[str, str]]:
        """Give files that are as their tasks said, and the columns that all of them have."""
        for one in rows:
            self._require_as_told(one, rows[0].columns)
        return tuple(one.file for one in rows), dict(rows[0].columns)

    def _nothing(self) -> Computed:
        """Stage a file without rows, of pages that all failed."""
        self.batch.prepare(self.wanted.pages[0])
        made = self.batch.stage(self.wanted.file, [])
        return Computed(made, self.failed)

    def _require_as_told(self, rows: Rows, columns: Mapping[str, str]) -> None:
        path, keys = exact_path(rows.file), quote_all(self.batch.product.keys)
        described = self.batch.cursor.execute("DESCRIBE SELECT * FROM read_parquet($1)", [path]).fetchall()
        found = self.batch.cursor.execute(system_sql("shards/staged", keys=keys), [path]).fetchall()[0]
        there = {str(row[0]): str(row[1]) for row in described}
        if found != (rows.n_rows, rows.keys_hash) or there != rows.columns or there != columns:
            raise RunFailed(
                f"{self.engine.name}: the file {rows.file.name} is not what its task said: {found[0]} rows instead of"
                f" {rows.n_rows}, or other columns or keys. Nothing was published; run this again."
            )


class _Asked:
    """What the shards have written of each query of a page."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Rows]] = {}

    def add(self, name: str, rows: Rows) -> None:
        """Note a file; those of a query come in the order of the shards."""
        self.rows.setdefault(name, []).append(rows)

    @property
    def files(self) -> dict[str, list[Path]]:
        """The files by query."""
        return {name: [one.file for one in found] for name, found in self.rows.items()}

    def require_alike(self, engine: str) -> None:
        """See that the files of a query have the same columns."""
        for name, found in self.rows.items():
            if any(one.columns != found[0].columns for one in found):
                raise RunFailed(f"{engine}: the shards of {name} have different columns. Nothing was published.")
