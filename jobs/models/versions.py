"""Model versions as jobs use them: chosen, loaded once, made into scorers."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb

from warehouse.errors import NotFoundError, UsageError
from warehouse.label_kinds import KINDS
from warehouse.lake.lake import Lake, check_format
from warehouse.ledger import records as ledger
from warehouse.ledger.model_record import NEVER
from warehouse.ledger.records import ModelRecord, Promotion

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.models.compiled_files import CompiledFile, LateFile
    from jobs.scoring import Scorer


@dataclass(frozen=True)
class ModelHistory:
    """A product's versions and promotions, as the ledger has them."""

    product: str
    models: Sequence[ModelRecord]
    promotions: Sequence[Promotion]

    def version(self, name: str) -> ModelRecord:
        """Give a version, or say which there are."""
        for model in self.models:
            if model.version == name:
                return model
        there = ", ".join(model.version for model in self.models) or f"none yet; run `almanac train {self.product}`"
        raise NotFoundError(f"{self.product} has no model version `{name}`. There is: {there}.")

    def in_effect(self, as_of: datetime) -> ModelRecord:
        """Give the version that writes the page `as_of`.

        Raises
        ------
        UsageError
            If the product has no live model, or none was in effect yet; the first one is named.
        """
        if not self.promotions:
            raise UsageError(f"{self.product} has no live model; run `almanac train {self.product}` first.")
        name = ledger.model_in_effect(self.promotions, as_of)
        if name is None:
            first = min(self.promotions, key=lambda promotion: promotion.effective_from)
            raise UsageError(
                f"{self.product} had no model in effect at {as_of}: the first is {first.version}, in effect from"
                f" {first.effective_from} on. Choose later pages, or train with an earlier --as-of."
            )
        return self.version(name)

    def live(self, as_of: datetime) -> ModelRecord | None:
        """Give the version that writes the page `as_of`, or None where none was in effect."""
        name = ledger.model_in_effect(self.promotions, as_of)
        return self.version(name) if name is not None else None

    def newest(self) -> ModelRecord:
        """Give the version trained here that knows the latest labels; of several the last. There must be one."""
        trained = [model for model in self.models if not model.is_rule and not model.is_imported]
        return max(reversed(trained), key=lambda model: model.writes_from)

    def next_version(self, parent: ModelRecord | None = None) -> str:
        """Name the next stateless version, v1, v2, ...; or the next that continues v1, v1.1, v1.2, ..."""
        if parent is None:
            return f"v{max((_numbers(model.version)[0] for model in self.models), default=0) + 1}"
        major = _numbers(parent.version)[0]
        return f"v{major}.{max(minor for n, minor in map(_numbers, self._names()) if n == major) + 1}"

    def _names(self) -> list[str]:
        return [model.version for model in self.models]


def _numbers(version: str) -> tuple[int, int]:
    """Read v2 as (2, 0), and v2.3 as (2, 3)."""
    major, _, minor = version[1:].partition(".")
    return int(major), int(minor or 0)


def model_history(connection: duckdb.DuckDBPyConnection, product: str) -> ModelHistory:
    """Read a product's versions and promotions from the ledger."""
    return ModelHistory(product, ledger.models(connection, product), ledger.promotions(connection, product))


def left_out_pages(model: ModelRecord) -> set[datetime]:
    """Give the pages of the grid that a version was not to learn from."""
    told = json.loads(model.validation or "{}")
    return {datetime.fromisoformat(page) for page in told.get("left_out_pages", [])}


def refuse_hindsight(model: ModelRecord, pages: Sequence[datetime], *, allowed: bool) -> None:
    """Refuse pages that lie before a version's label cut-off: it has seen what came of them.

    Raises
    ------
    UsageError
        Unless `allowed`; such pages are then marked, and left out of every metric.
    """
    early = [page for page in pages if model.has_seen(page)]
    if early and not allowed and model.writes_from == NEVER:
        raise UsageError(
            f"{model.product} {model.version} was trained elsewhere, and it is not known which labels it has seen; it"
            " may write no page but with --hindsight. Import it again with --trained-as-of, if that is known."
        )
    if early and not allowed:
        raise UsageError(
            f"{model.product} {model.version} has seen labels up to {model.label_cutoff}, and may not write the page"
            f" {early[0]}{f' and {len(early) - 1} more' if len(early) > 1 else ''}. Take a version trained earlier"
            f" (almanac train {model.product} --as-of T), or give --hindsight: such pages are marked, and left out"
            " of every metric."
        )


def load_scorer(lake: Lake, model: ModelRecord) -> Scorer:
    """Give a version's scorer, made in the way that was found sound when the version was registered.

    The last few are kept: a backfill asks for the same one for every batch. The artifact's bytes are looked at each
    time; if they have changed, what was made of the old ones does not count.

    Raises
    ------
    ScoringFailed
        If a file of the artifact is missing or any byte of it has changed.
    UsageError
        If it was made by another suite, or holds a type that is not trusted.
    """
    return _ready(lake, model, None).scorer


@dataclass(frozen=True)
class ReadyScorer:
    """A version's scorer, and the compiled file that it still has to get with the next commit, if any."""

    scorer: Scorer
    late: LateFile | None = None


def ready_to_score(lake: Lake, model: ModelRecord, sample: Callable[[], pa.Table]) -> ReadyScorer:
    """Give a version's scorer as `load_scorer` does, for a job that commits what it scores.

    A version that has no compiled file yet, and that could have one, is compiled and compared on the `sample` of the
    rows to be scored, which is asked for then only.
    """
    return _ready(lake, model, sample)


def _ready(lake: Lake, model: ModelRecord, sample: Callable[[], pa.Table] | None) -> ReadyScorer:
    # Most commands ask which versions there are, and load none; so what loads them is imported here.
    from jobs.models.artifacts import read_artifact, verify_artifact
    from jobs.models.compiled_files import compile_late, compiled_file, verify_file

    with lake.reading() as connection:
        suite_id = check_format(connection, lake.root)
        file = compiled_file(connection, model, lake.root, suite_id)
    if model.is_rule:
        return ReadyScorer(_rule_of(model, lake.root, suite_id))
    load = partial(read_artifact, model, lake.root.absolute(), suite_id)
    if file is None and sample is not None and model.scorer != "estimator":
        return ReadyScorer(*compile_late(model, load(), sample()))
    # The estimator answers for what is compiled from it: neither scores where the other is gone or has changed.
    digest = verify_artifact(model, lake.root, suite_id)
    if file is not None:
        digest = verify_file(model, lake.root, file)
    key = ((lake.root / model.artifact).absolute(), model.version, digest, model.scorer)
    with _scorers_lock:
        scorer = _scorers.pop(key, None) or _make_scorer(lake.root, model, file, load)
        _scorers[key] = scorer
        while len(_scorers) > SCORERS_KEPT:
            _scorers.pop(next(iter(_scorers)))
        return ReadyScorer(scorer)


def _rule_of(model: ModelRecord, root: Path, suite_id: str) -> Scorer:
    """Make the scorer of a version that is a text of SQL, by the keys and the kind of label that it was written for."""
    from jobs.models.artifacts import read_rule
    from jobs.scoring.rules import RuleScorer

    told, kind = json.loads(model.parameters), KINDS[model.label_kind or "binary"]
    text, where = read_rule(model, root, suite_id), f"{told['file']} of {model.product} {model.version}"
    is_probability = kind.name == "binary"
    return RuleScorer(text, where, model.features, told["keys"], kind.score, is_probability=is_probability)


def _make_scorer(root: Path, model: ModelRecord, file: CompiledFile | None, load: Callable[[], Any]) -> Scorer:
    from jobs.models.compiled_files import read_compiled

    if file is not None:
        return read_compiled(model, root, file, load)
    from jobs.scoring import ProcessScorer, compile_model

    if model.scorer == "estimator":
        return ProcessScorer(load(), model.features, model.scorer_reason, load)
    return compile_model(load(), model.features)


def load_estimator(lake: Lake, model: ModelRecord) -> Any:
    """Load a version's estimator, or pipeline, after every check; see `read_artifact` for what it raises."""
    from jobs.models.artifacts import read_artifact

    return read_artifact(model, lake.root, _suite_id(lake))


def load_held_out(lake: Lake, model: ModelRecord) -> pa.Table | None:
    """Load what a version's validation held out: keys, as_of, label and score."""
    from jobs.models.artifacts import read_held_out

    return read_held_out(model, lake.root, _suite_id(lake))


def _suite_id(lake: Lake) -> str:
    with lake.reading() as connection:
        return check_format(connection, lake.root)


#: Scorers that a process keeps, by their artifact's place, version and hash, the one asked for last at the end.
_scorers: dict[tuple[Path, str, str, str], Scorer] = {}
_scorers_lock = threading.Lock()
#: A large forest takes hundreds of megabytes, and a run works with one or two versions.
SCORERS_KEPT = 2
