"""Versions are scored from their compiled files, without the libraries that trained them; older ones get theirs."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from datetime import datetime

import pytest

from jobs.models.artifacts import COMPILED_FILE, MANIFEST_FILE
from jobs.models.model_table import model_card
from jobs.models.versions import load_scorer, model_history
from jobs.pages.predict import run_page
from jobs.scoring.compiled import CompiledScorer
from jobs.suite import Suite
from tests.conftest import PAGE, PRODUCT
from warehouse.errors import AlmanacError
from warehouse.ledger.records import ModelRecord

NEXT_PAGE = datetime(2026, 3, 11, 18)
SCORING_ALONE = """
import sys
from datetime import datetime
from pathlib import Path
from jobs.pages.predict import run_page
from jobs.suite import open_suite
suite = open_suite(Path(sys.argv[1]), lambda: datetime(2026, 4, 10))
assert len(run_page(suite, "late_order", datetime(2026, 3, 10, 18)).published) == 2
print(" ".join(sorted({name.partition(".")[0] for name in sys.modules} & {"sklearn", "skops", "polars"})) or "none")
"""


def record(suite: Suite) -> ModelRecord:
    with suite.lake.reading() as connection:
        return model_history(connection, PRODUCT).version("v1")


def without_file(suite: Suite) -> None:
    """Make the version what it was before there were compiled files."""
    directory = suite.lake.root / record(suite).artifact
    (directory / COMPILED_FILE).unlink()
    manifest = json.loads((directory / MANIFEST_FILE).read_text())
    del manifest["files"][COMPILED_FILE]
    text = json.dumps(manifest)
    (directory / MANIFEST_FILE).write_text(text)
    with suite.lake.commit("as it was registered then") as commit:
        commit.execute("UPDATE ledger.models SET sha256 = $1", [hashlib.sha256(text.encode()).hexdigest()])


def test_a_process_that_only_scores_imports_no_training_library(trained: Suite) -> None:
    done = subprocess.run(
        [sys.executable, "-c", SCORING_ALONE, str(trained.root)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["none"]


@pytest.mark.parametrize("place", [0, 3_000, -1])
def test_a_changed_byte_of_the_compiled_file_is_refused(trained: Suite, place: int) -> None:
    path = trained.lake.root / record(trained).artifact / COMPILED_FILE
    data = bytearray(path.read_bytes())
    data[place] ^= 1
    path.write_bytes(bytes(data))
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        run_page(trained, PRODUCT, PAGE)


def test_a_version_registered_before_gets_its_file_at_its_next_scoring(trained: Suite) -> None:
    without_file(trained)
    assert "read through skops" in model_card(trained, PRODUCT, "v1").compiled
    published = run_page(trained, PRODUCT, PAGE).published
    with trained.lake.reading() as connection:
        rows = connection.execute(
            "SELECT file, format, n_rows > 100, snapshot_id FROM ledger.compiled_models WHERE version = 'v1'"
        ).fetchall()
    [(file, version, is_compared, snapshot)] = rows
    assert (version, is_compared) == (1, True)
    # It came with the page, in its commit.
    assert {page.snapshot_id for page in published} == {snapshot}
    assert file in model_card(trained, PRODUCT, "v1").compiled
    scorer = load_scorer(trained.lake, record(trained))
    assert isinstance(scorer, CompiledScorer)
    assert scorer.filed == (trained.lake.root / record(trained).artifact / file).read_bytes()
    run_page(trained, PRODUCT, NEXT_PAGE)
    with trained.lake.reading() as connection:
        assert connection.execute("SELECT count(*) FROM ledger.compiled_models").fetchone() == (1,)


def test_a_late_file_that_has_changed_is_refused(trained: Suite) -> None:
    without_file(trained)
    run_page(trained, PRODUCT, PAGE)
    [path] = (trained.lake.root / record(trained).artifact).glob("compiled-*")
    path.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(AlmanacError, match="its bytes have changed"):
        run_page(trained, PRODUCT, NEXT_PAGE)
