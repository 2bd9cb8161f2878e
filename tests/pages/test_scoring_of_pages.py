"""Pages are scored in bounded memory, by a scorer that is kept, and checked by hashes before anything is compared."""

from __future__ import annotations

import subprocess
import sys
from datetime import datetime, timedelta

import duckdb
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from jobs.models import versions
from jobs.models.artifacts import MODEL_FILE
from jobs.models.versions import load_scorer, model_history
from jobs.pages.backfill import BackfillOrder, backfill
from jobs.pages.batch_size import MAX_PAGES, ROWS_THAT_STREAM, BatchSize
from jobs.pages.batches import PagesWanted, _Worklist
from jobs.pages.predict import run_page
from jobs.progress import Silent
from jobs.suite import Suite
from jobs.training.train import train
from tests.conftest import PAGE, PRODUCT, TRAINED_AS_OF, reopened
from tests.lakes import page_rows, rows
from tests.versions import train_and_promote_a_second_version
from warehouse.errors import ScoringFailed, UsageError
from warehouse.ledger.records import ModelRecord
from warehouse.operations.leases import Leases
from warehouse.pages import audits
from warehouse.queries.memory import limit_memory
from warehouse.sandbox import MEMORY_LIMIT, memory_limit_of

KEYS = st.lists(st.tuples(st.integers(0, 2), st.sampled_from(["a", "b", None]), st.integers(-1, 1)), max_size=12)


class Counting(Silent):
    """Adds up the rows that it is told of."""

    def __init__(self) -> None:
        self.rows = 0

    def advance(self, done: int = 1, rows: int = 0) -> None:
        self.rows += rows


def record_of(suite: Suite, version: str = "v1") -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version(version)


@settings(max_examples=60, deadline=None)
@given(features=KEYS, predictions=KEYS, data=st.data(), n_parts=st.sampled_from([1, 3]))
def test_hashes_settle_just_the_pages_that_are_in_order(
    features: list[tuple[int, str | None, int]],
    predictions: list[tuple[int, str | None, int]],
    data: st.DataObject,
    n_parts: int,
) -> None:
    predictions = data.draw(st.sampled_from([predictions, list(reversed(features)), sorted(set(features), key=str)]))
    with duckdb.connect() as connection:
        for name, keys in (("features", features), ("predictions", predictions)):
            connection.execute(f"CREATE TABLE {name} (day INTEGER, name VARCHAR, number INTEGER, as_of TIMESTAMP)")
            for day, text, number in keys:
                at = datetime(2026, 1, 1) + timedelta(days=day)
                connection.execute(f"INSERT INTO {name} VALUES ($1, $2, $3, $4)", [day, text, number, at])
        n_rows = (n_parts - 1) * audits._HASHES_AT_A_TIME
        relations = {"features": "features", "predictions": "predictions"}
        settled = audits._settled_by_hashes(connection, "name, number", relations, n_rows, all_covered=True)
    assert ("unique_keys" in settled) == (len(set(predictions)) == len(predictions))
    assert ("entities_covered" in settled) == (sorted(map(str, features)) == sorted(map(str, predictions)))


def test_a_page_is_scored_as_its_rows_are_told_of(trained: Suite) -> None:
    progress = Counting()
    result = run_page(trained, PRODUCT, PAGE, progress=progress)
    assert progress.rows == result.n_rows > 0


def test_pages_that_have_their_features_make_larger_batches(trained: Suite) -> None:
    large = BatchSize(100, 50_000.0)
    assert large.pages() < large.pages_in_all() == ROWS_THAT_STREAM // 50_000
    assert BatchSize(100, 50_000.0, fixed=7).pages_in_all() == 7
    assert BatchSize(10, 20.0).pages_in_all() == MAX_PAGES
    product = trained.definitions.product(PRODUCT)
    pages = product.pages_between(PAGE, PAGE + timedelta(days=20))
    backfill(trained, BackfillOrder(PRODUCT, PAGE, PAGE + timedelta(days=8), features_only=True))
    wanted = PagesWanted(product, pages, dict.fromkeys(pages, record_of(trained)))
    with trained.lake.reading(follow=True) as connection, Leases(trained.lake) as leases:
        worklist = _Worklist(trained, wanted, connection, leases, Silent())
        worklist.size = BatchSize(100, 50_000.0, budget=3 * 100 * 50_000 * 40)
        assert worklist.size.pages() == 3
        # The eight that have features, and three that are to be computed.
        assert worklist._next_batch(pages, 0) == pages[:11]
        assert worklist._next_batch(pages, 11) == pages[11:14]


def test_a_version_is_read_and_compiled_once_a_process(trained: Suite) -> None:
    model = record_of(trained)
    assert load_scorer(trained.lake, model) is load_scorer(trained.lake, model)
    second = record_of(trained, train_and_promote_a_second_version(trained))
    assert load_scorer(trained.lake, second) is not load_scorer(trained.lake, model)
    assert len(versions._scorers) <= versions.SCORERS_KEPT


def test_a_version_whose_file_has_changed_is_refused_even_if_its_scorer_is_kept(trained: Suite) -> None:
    model = record_of(trained)
    load_scorer(trained.lake, model)
    file = trained.lake.root / model.artifact / MODEL_FILE
    file.write_bytes(file.read_bytes()[:-1] + b"?")
    with pytest.raises(ScoringFailed, match="bytes have changed"):
        load_scorer(trained.lake, model)


def test_what_a_sandbox_keeps_in_memory_can_be_set(published: Suite, monkeypatch: pytest.MonkeyPatch) -> None:
    first = page_rows(published, PRODUCT)
    monkeypatch.setenv("ALMANAC_MEMORY_LIMIT", "150MiB")
    run_page(published, PRODUCT, PAGE)
    assert page_rows(published, PRODUCT) == first
    monkeypatch.setenv("ALMANAC_MEMORY_LIMIT", "plenty")
    with pytest.raises(UsageError, match=r"ALMANAC_MEMORY_LIMIT is `plenty`.*500MiB"):
        run_page(published, PRODUCT, PAGE)


@pytest.mark.parametrize(
    ("n_pages", "of_machine", "kept"), [(1, "40GiB", "2.0 GiB"), (365, "40GiB", "4.0 GiB"), (365, "6GiB", "2.0 GiB")]
)
def test_many_pages_may_keep_more_in_memory_where_the_machine_has_it(
    published: Suite, n_pages: int, of_machine: str, kept: str
) -> None:
    with duckdb.connect() as instance:
        instance.execute(f"SET memory_limit = '{of_machine}'")
        limit_memory(instance, memory_limit_of(published.definitions.product(PRODUCT), n_pages), at_least=MEMORY_LIMIT)
        assert instance.execute("SELECT current_setting('memory_limit')").fetchone() == (kept,)


NEAREST = """
import numpy as np
from sklearn.base import BaseEstimator, ClassifierMixin
from sklearn.neighbors import KNeighborsClassifier

{imports}

class Nearest(ClassifierMixin, BaseEstimator):
    def __init__(self, n: int = 5) -> None:
        self.n = n

    def fit(self, rows, label):
        self.inner_ = KNeighborsClassifier(self.n).fit(self._numbers(rows), label)
        self.classes_ = self.inner_.classes_
        {more}
        return self

    def _numbers(self, rows):
        return np.nan_to_num(rows.select("parcels", "hours_left").to_numpy())

    def predict_proba(self, rows):
        return self.inner_.predict_proba(self._numbers(rows))
"""


def with_own_estimator(suite: Suite, imports: str = "", more: str = "") -> Suite:
    (suite.root / "nearest.py").write_text(NEAREST.format(imports=imports, more=more))
    file = suite.root / f"sql/products/{PRODUCT}/product.yaml"
    lines = file.read_text().splitlines()
    changed = {"  estimator:": "  estimator: nearest:Nearest", "  parameters:": "  parameters: {n: 7}"}
    lines = [next((new for old, new in changed.items() if line.startswith(old)), line) for line in lines]
    file.write_text("\n".join(lines) + "\n")
    return reopened(suite)


def test_a_run_imports_nothing_that_it_does_not_need(trained: Suite) -> None:
    # Each of them takes a hundredth of a second or more, of the one that such a run has.
    dear = ["sklearn", "skops", "numba", "polars", "pandas", "sqlglot.generator", "pyarrow.compute", "pyarrow.dataset"]
    dear += ["numpy.ma", "jobs.pages.shards.engine"]
    words = ["almanac", "--suite", str(trained.root), "run", PRODUCT, "--as-of", str(PAGE)]
    program = (
        f"import sys; sys.argv = {words}\nfrom jobs.cli import main\n"
        f"try: main()\nfinally: print([name for name in {dear} if name in sys.modules])"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)
    assert "Published" in done.stdout
    assert done.stdout.splitlines()[-1] == "[]"


def test_a_suites_own_estimator_is_loaded_by_a_new_process_and_scores_itself(ingested: Suite) -> None:
    suite = with_own_estimator(ingested)
    for words in (["train", PRODUCT, "--as-of", TRAINED_AS_OF.isoformat()], ["run", PRODUCT, "--as-of", str(PAGE)]):
        command = [sys.executable, "-m", "jobs", "--suite", str(suite.root), *words]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    assert record_of(suite).scorer == "estimator"
    assert "Nearest is not among the models" in record_of(suite).scorer_reason
    found = [row[0] for row in rows(suite, f"SELECT probability FROM predictions.{PRODUCT}")]
    assert len(found) > 10
    assert np.array_equal(np.round(np.array(found) * 7), np.array(found) * 7)


def test_an_estimator_that_could_not_be_loaded_again_is_refused_when_it_is_trained(ingested: Suite) -> None:
    (ingested.root / "elsewhere.py").write_text("class Notes:\n    def __init__(self):\n        self.text = 'x'\n")
    suite = with_own_estimator(ingested, "import elsewhere", "self.notes_ = elsewhere.Notes()")
    with pytest.raises(UsageError, match=r"elsewhere\.Notes"):
        train(suite, PRODUCT, TRAINED_AS_OF)
    assert rows(suite, "SELECT count(*) FROM ledger.models") == [(0,)]
