"""How a version's predictions are explained: made ready, checked once, and recorded in the first commit that uses it.

The check adds base and contributions up on real rows and on rows made to be difficult, those on which the compiled
model was compared with its estimator. Where they miss the raw prediction, or the model cannot be explained exactly, the
version has no reasons, and the ledger says why.
"""

from __future__ import annotations

import hashlib
import io
import itertools
import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import duckdb
import numpy as np

from jobs.models.artifacts import artifact_bytes
from jobs.models.columns.requirements import classes_of
from jobs.models.kinds.class_metrics import predicted
from jobs.models.reasons.records import ReasonRun, ReasonsRecord, recorded_reasons
from warehouse.definitions import Product
from warehouse.definitions.reasons import BackgroundSettings, ReasonSettings
from warehouse.errors import ScoringFailed, UsageError
from warehouse.lake.lake import Commit, Lake
from warehouse.ledger import records as ledger
from warehouse.ledger.records import ModelRecord
from warehouse.system_sql import quote, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

    from jobs.scoring.interface.scorer import Floats, Scorer
    from jobs.scoring.reasons.explainer import Explainer

#: So many real rows are explained before a version has reasons; as many made ones at most.
CHECKED_ROWS = 1_000
#: Rows of the pages that a linear model was trained on whose mean its contributions are counted from.
LINEAR_BACKGROUND_ROWS = 1_000


@dataclass(frozen=True)
class Version:
    """What has to be known of a version to explain it, before it is in the ledger or after."""

    product: Product
    version: str
    features: Sequence[str]
    label_cutoff: datetime
    first_page: datetime
    last_page: datetime
    #: Those that it has learnt, of a label with classes.
    classes: tuple[str, ...] = ()

    @classmethod
    def of(cls, product: Product, model: ModelRecord) -> Version:
        """Give a registered version."""
        names = (model.version, model.features, model.writes_from, model.first_page, model.last_page)
        return cls(product, *names, classes_of(model))

    @property
    def places(self) -> tuple[int, ...]:
        """Of each class as declared its place among those learnt. One that was not learnt is never predicted."""
        return tuple(self.classes.index(name) if name in self.classes else 0 for name in self.product.classes)


@dataclass(frozen=True)
class Reasons:
    """The reasons of a version, ready for pages.

    Attributes
    ----------
    settings
        What is wanted.
    record
        How it is explained; its run and commit are filled in where it is new.
    explainer
        None where the version has no reasons.
    background
        The bytes of the background's file, where that has yet to be written.
    is_new
        Whether the record has yet to be written.
    classes
        Of classes as they are declared, the place of each among those that the version has learnt; none of one score.
    """

    settings: ReasonSettings
    record: ReasonsRecord
    explainer: Explainer | None
    background: bytes | None
    is_new: bool
    classes: tuple[int, ...] = ()

    def column(self, batch: pa.RecordBatch, scores: Floats) -> pa.Array:
        """Return the reasons of a batch's rows: of classes, (n_rows, n_classes) scores, those of the likeliest."""
        from jobs.models.reasons.column import no_reasons, reasons_column

        if self.explainer is None:
            return no_reasons(batch.num_rows)
        if self.classes:
            said = np.array(self.classes, np.int64)[predicted(np.asarray(scores, np.float64))]
            return reasons_column(self.explainer, self.settings, batch, scores, said)
        return reasons_column(self.explainer, self.settings, batch, scores)

    def ahead(self, artifact: str, run_id: str, directory: Path) -> dict[str, Path]:
        """Stage the background in a directory if it has yet to be written, and name it for `Lake.commit`."""
        if not self.is_new or self.background is None:
            return {}
        staged = directory / f"{self.record.version}-{_file_name(run_id)}"
        staged.write_bytes(self.background)
        return {f"{artifact}/{_file_name(run_id)}": staged}

    def commit(self, commit: Commit, lake: Lake, artifact: str, run_id: str, now: datetime, wrote: bool = True) -> None:
        """Record in a commit how the version is explained, if it was not, and that a run wrote its reasons.

        Parameters
        ----------
        artifact
            The version's, beside which the background is put.
        wrote
            Whether the run wrote pages.
        """
        settings = self.settings.model_dump_json()
        if self.is_new:
            record = replace(self.record, run_id=run_id, written_at=now, snapshot_id=commit.snapshot_id)
            if self.background is not None:
                name = _file_name(run_id)
                (lake.root / artifact / name).write_bytes(self.background)
                commit.turn.keep(f"{artifact}/{name}")
                record = replace(record, background_file=name)
            ledger.append(commit, [record])
        if wrote:
            product = self.record.product
            run = ReasonRun(product, run_id, self.settings.fingerprint, self.settings.basis, settings)
            ledger.append(commit, [run])


def _file_name(run_id: str) -> str:
    return f"background-{run_id}.parquet"


def ready_reasons(
    lake: Lake, product: Product, model: ModelRecord, scorer: Scorer, sample: Callable[[], pa.Table]
) -> Reasons | None:
    """Give the reasons that a product wants of a version; None if it wants none.

    Parameters
    ----------
    sample
        Gives some of the rows to be scored, with their types.

    Raises
    ------
    ScoringFailed
        The background's file is missing or has changed, or the version is explained otherwise than recorded.
    """
    settings = product.header.reasons
    if settings is None:
        return None
    version = Version.of(product, model)
    with lake.reading() as connection:
        record = recorded_reasons(connection, product.name, model.version, settings.basis)
        if record is None:
            return first_reasons(connection, settings, version, scorer, sample())
    if record.refused is not None:
        return Reasons(settings, record, None, None, is_new=False)
    rows = sample()
    kinds = tuple(str(field.type) for field in rows.schema)
    with _lock:
        key = (id(scorer), settings.basis, kinds)
        _kept[key] = kept = _kept.pop(key, None) or (
            scorer,
            _explainer_again(lake, settings, record, model, scorer, rows, version.classes),
        )
        while len(_kept) > KEPT:
            _kept.pop(next(iter(_kept)))
    return Reasons(settings, record, kept[1], None, is_new=False, classes=version.places)


def _explainer_again(
    lake: Lake,
    settings: ReasonSettings,
    record: ReasonsRecord,
    model: ModelRecord,
    scorer: Scorer,
    rows: pa.Table,
    classes: tuple[str, ...],
) -> Explainer:
    background = None
    if record.background_file is not None:
        data = artifact_bytes(model, lake.root, record.background_file)
        if hashlib.sha256(data).hexdigest() != record.background_sha256:
            raise ScoringFailed(
                f"the background {model.artifact}/{record.background_file} of {model.product} {model.version} is not"
                " the one that was recorded: its bytes have changed. Restore it from a copy, or train anew."
            )
        background = _read(data)
    explainer = _explainer(settings, model.features, scorer, rows, background, bool(classes))
    now: Sequence[float | None] = explainer.bases or [explainer.base]
    then: Sequence[float | None] = [(record.bases or {}).get(name) for name in classes] if classes else [record.base]
    pairs = itertools.zip_longest(now, then)
    if any(a is None or b is None or abs(a - b) > 1e-9 * max(1.0, abs(b)) for a, b in pairs):
        raise ScoringFailed(
            f"{model.product} {model.version} is explained from the base {_shown(now)} now, and from {_shown(then)}"
            " when its reasons were recorded. Restore its files from a copy, or train anew."
        )
    return explainer


def _shown(bases: Sequence[float | None]) -> str:
    return ", ".join(str(one) for one in bases)


def first_reasons(
    connection: duckdb.DuckDBPyConnection,
    settings: ReasonSettings,
    version: Version,
    scorer: Scorer,
    sample: pa.Table,
) -> Reasons:
    """Make the reasons of a version that never had such, and check them.

    Parameters
    ----------
    connection
        One that reads the lake: the background is read from its feature pages.
    sample
        Real rows, with their types.
    """
    empty = ReasonsRecord(
        version.product.name, version.version, settings.basis, settings.model_dump_json(), "", datetime.min, 0
    )
    try:
        words, background = _background(connection, settings, version, scorer)
        data = _written(background) if background is not None else None
        explainer = _explainer(settings, version.features, scorer, sample, background, bool(version.classes))
        n_checked, largest = explainer.check(_rows_to_check(scorer, sample))
    except (UsageError, ScoringFailed) as error:
        return Reasons(settings, replace(empty, refused=str(error)), None, None, is_new=True)
    record = replace(
        empty,
        base=None if explainer.by_class else explainer.base,
        bases=dict(zip(version.classes, explainer.bases, strict=True)),
        method=explainer.method,
        players=list(explainer.players.names),
        background=words,
        background_sha256=hashlib.sha256(data).hexdigest() if data is not None else None,
        background_rows=background.num_rows if background is not None else None,
        n_checked=n_checked,
        largest_miss=largest,
    )
    return Reasons(settings, record, explainer, data, is_new=True, classes=version.places)


def _explainer(
    settings: ReasonSettings,
    features: Sequence[str],
    scorer: Scorer,
    rows: pa.Table,
    background: pa.Table | None,
    by_class: bool,
) -> Explainer:
    from jobs.scoring.reasons.explainer import Explainer
    from jobs.scoring.reasons.players import make_players

    players = make_players(features, settings.groups)
    return Explainer(scorer, players, rows, background, at_rate=True, by_class=by_class)


def _background(
    connection: duckdb.DuckDBPyConnection, settings: ReasonSettings, version: Version, scorer: Scorer
) -> tuple[str | None, pa.Table | None]:
    """Return the background in words, and its rows; None twice where none is needed."""
    from jobs.scoring.reasons.explainer import is_linear_scorer

    wanted = settings.background
    if wanted is None:
        if not is_linear_scorer(scorer):
            return None, None
        until = version.last_page + timedelta(microseconds=1)
        wanted = BackgroundSettings(since=version.first_page, until=until, rows=LINEAR_BACKGROUND_ROWS)
    elif wanted.until > version.label_cutoff:
        raise UsageError(
            f"the background reaches up to {wanted.until}, and {version.version} writes pages from its label cut-off"
            f" {version.label_cutoff} on: rows from after a page may not bear on it. Let `background.until` be earlier."
        )
    query = system_sql(
        "explain/background",
        columns=quote_all(version.features),
        keys=quote_all(version.product.keys),
        table=quote(version.product.name),
    )
    words = f"{wanted.rows} rows at most of the feature pages from {wanted.since} to before {wanted.until}"
    try:
        rows = connection.execute(query, [wanted.since, wanted.until, wanted.rows]).to_arrow_table()
    except (duckdb.BinderException, duckdb.CatalogException) as error:
        raise UsageError(f"the background cannot be read: {error}") from error
    if not rows.num_rows:
        raise UsageError(
            f"the background has no rows: there are no feature pages from {wanted.since} to {wanted.until}"
        )
    return words, rows


def _rows_to_check(scorer: Scorer, sample: pa.Table) -> list[pa.Table]:
    """Return real rows, and rows made to be difficult, as far as the model does not refuse them."""
    from jobs.scoring.parity import probe_rows

    real = sample.select(list(scorer.feature_names)).slice(0, CHECKED_ROWS).combine_chunks()
    found = [real] if real.num_rows else []
    for rows in probe_rows(scorer, real):
        part = rows.slice(0, CHECKED_ROWS)
        try:
            scorer.raw(part)
        except ScoringFailed:
            continue
        found.append(part)
    return found


def _written(rows: pa.Table) -> bytes:
    import pyarrow.parquet as pq

    out = io.BytesIO()
    pq.write_table(rows, out, compression="zstd")
    return out.getvalue()


def _read(data: bytes) -> pa.Table:
    import pyarrow.parquet as pq

    return pq.read_table(io.BytesIO(data))


#: Explainers that a process keeps, with their scorers, by scorer, basis and the columns' types.
_kept: dict[tuple[int, str, tuple[str, ...]], tuple[Scorer, Any]] = {}
_lock = threading.Lock()
#: Their tables take up to 256 MiB each.
KEPT = 1
