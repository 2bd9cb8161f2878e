"""Suites to test with: the starter, as `almanac init` makes it, at stages of its life, each test with its own copy."""

from __future__ import annotations

import contextlib
import gc
import os
import shutil
import tempfile
import threading
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import filelock
import hypothesis
import pytest

from jobs.facts.ingest import ingest
from jobs.pages.labelled import ensure_feature_pages
from jobs.pages.predict import run_page
from jobs.progress import Silent
from jobs.suite import Suite, open_suite
from jobs.suites.starter import make_starter
from jobs.training.train import train
from tests import lakes_in_postgres
from tests.postgres_server import Server, lacking, running_server
from tests.slow_tests import find_slow, mark_slow
from tests.workers import pytest_xdist_make_scheduler, watch_workers
from warehouse.errors import AlmanacError
from warehouse.lake import lake as lake_module
from warehouse.lake import warm_up
from warehouse.lake.lake import Lake

if TYPE_CHECKING:
    from tests.s3_proxy import Faults
    from tests.s3_server import S3

__all__ = ["pytest_xdist_make_scheduler"]

# As the command line does, and before anything loads OpenMP.
os.environ.setdefault("OMP_WAIT_POLICY", "passive")

# Neither how long an example takes nor how long it took to draw says anything on a machine with more to do.
hypothesis.settings.register_profile(
    "at_any_pace",
    hypothesis.settings.get_profile(hypothesis.settings.get_current_profile_name()),
    deadline=None,
    suppress_health_check=[hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("at_any_pace")

#: What every test's clock says, unless it says otherwise: after the starter's last fact.
NOW = datetime(2026, 4, 10)
PRODUCT = "late_order"
TRAINED_AS_OF = datetime(2026, 3, 1)
PAGE = datetime(2026, 3, 10, 18)
#: The latest instant of which tests train, and up to which `paged` has pages.
TRAINED_LATER = datetime(2026, 3, 20)

#: The files that take longest, longest first: one of them begun last would leave the other workers without work.
LONG_FILES = (
    "test_docs_sessions.py",
    "test_upkeep.py",
    "test_demo.py",
    "test_rollout_looks.py",
    "test_training.py",
    "test_within_the_day.py",
    "test_customers.py",
    "test_classes.py",
    "test_lived_again.py",
    "test_rehearsal.py",
    "test_site.py",
    "test_lost_hosts.py",
    "test_breakages.py",
    "test_check.py",
    "test_shared_lakes.py",
    "test_serve.py",
    "test_clock_simulation.py",
    "test_sandbox_time.py",
    "test_generated_queries.py",
    "test_derivations_search.py",
    "test_backfill.py",
    "test_adversarial.py",
    "test_same_rows.py",
    "test_promotion.py",
    "test_clock_suite.py",
    "test_stages.py",
    "test_publishing.py",
    "test_interleaving.py",
    "test_benchmarks.py",
    "test_docs_operating.py",
    "test_clock_processes.py",
    "test_second_line.py",
    "test_site_browser.py",
    "test_shop.py",
    "test_wheel.py",
    "test_container.py",
    "test_processes.py",
    "test_kills.py",
)


def pytest_addoption(parser: pytest.Parser) -> None:
    """Let the slow tests be found anew."""
    parser.addoption("--find-slow", action="store_true", help="measure all tests, and write tests/slow_tests.txt anew")


@pytest.hookimpl(tryfirst=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Mark the slow tests, and put the long files first, since pytest-xdist hands files out in this order."""
    mark_slow(items)
    if lakes_in_postgres.ONLY:
        items[:] = [item for item in items if lakes_in_postgres.is_chosen(_name_of(item))]
    order = {name: place for place, name in enumerate(LONG_FILES)}
    items.sort(key=lambda item: order.get(item.path.name, len(order)))


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run some tests on both catalogues."""
    if kinds := lakes_in_postgres.kinds_of(_name_of(metafunc.definition)):
        metafunc.parametrize("lake_kind", kinds, indirect=True)


def _name_of(test: pytest.Item) -> str:
    """Give `FILE::NAME`, without parameters."""
    return test.nodeid.partition("[")[0]


def pytest_configure(config: pytest.Config) -> None:
    """Let processes that tests start find our modules compiled, also where none may be compiled beside the sources."""
    if os.environ.get("PYTHONDONTWRITEBYTECODE") and "PYTEST_XDIST_WORKER" not in os.environ:
        directory = tempfile.mkdtemp(prefix="almanac-bytecode-")
        config.add_cleanup(lambda: shutil.rmtree(directory, ignore_errors=True))
        os.environ["PYTHONPYCACHEPREFIX"] = directory
        del os.environ["PYTHONDONTWRITEBYTECODE"]
    watch_workers(config)
    find_slow(config)


def pytest_collection_finish() -> None:
    """Look for garbage as seldom as the command line does, and never among what has been imported by now."""
    gc.set_threshold(100_000)
    gc.freeze()


def clock_at(now: datetime) -> Callable[[], datetime]:
    return lambda: now


@pytest.fixture(scope="session")
def _moved_lakes(tmp_path_factory: pytest.TempPathFactory) -> lakes_in_postgres.Moved:
    return lakes_in_postgres.Moved(tmp_path_factory.mktemp("moved"))


@pytest.fixture(autouse=True)
def lake_kind(request: pytest.FixtureRequest) -> Iterator[str]:
    """What the catalogues of a test's lakes lie in: SQLite, unless it is run on PostgreSQL."""
    kind: str = getattr(request, "param", "sqlite")
    if kind == "sqlite":
        yield kind
        return
    if lacking():
        pytest.skip(f"not installed: {lacking()}")
    given = [request.getfixturevalue(name) for name in ("postgres", "_moved_lakes")]
    with lakes_in_postgres.lakes_in(*given):
        yield kind


@pytest.fixture(autouse=True)
def _nothing_is_left(request: pytest.FixtureRequest, lake_kind: str) -> Iterator[None]:
    """Leave nothing of a test to the next one in its process: no variable, no directory, no lake that is open."""
    variables, directory = dict(os.environ), Path.cwd()
    yield
    os.chdir(directory)
    os.environ.update({name: value for name, value in variables.items() if name != "PYTEST_CURRENT_TEST"})
    for name in [name for name in os.environ if name.startswith("ALMANAC_") and name not in variables]:
        del os.environ[name]
    _close_what_is_on_its_way()
    own = request.node.funcargs.get("tmp_path")
    for _, file, _ in {identity for identity, _ in lake_module._instances._kept}:  # type: ignore[misc]
        if not file.exists() or own in file.parents:
            _close(file)


def _close_what_is_on_its_way() -> None:
    """Wait for threads that open lakes, and close what they opened for commands that never asked for it."""
    for thread in threading.enumerate():
        if thread.name == "opening the lake":
            thread.join()
    while warm_up._spares:
        _, spare = warm_up._spares.popitem()
        with contextlib.suppress(AlmanacError, OSError, duckdb.Error):
            spare.result()[1].close()


def _close(file: Path) -> None:
    """Close the instances of a catalogue, whether or not its file is still there."""
    instances = lake_module._instances
    for key in [key for key in instances._kept if key[0][1] == file]:  # type: ignore[index]
        instances._kept.pop(key).close()


def made_once(factory: pytest.TempPathFactory, name: str, make: Callable[[Path], object]) -> Path:
    """Make a suite in one of the processes that share the tests; gives this process's own copy of it."""
    root = factory.mktemp(name) / "shop"
    is_shared = "PYTEST_XDIST_WORKER" in os.environ
    common = factory.getbasetemp().parent if is_shared else factory.getbasetemp()
    kept = common / f"made-{name}"
    with filelock.FileLock(common / f"made-{name}.lock"):
        if not kept.exists():
            make(root)
            # A catalogue that is open has a log beside it, which must not change while another process copies it.
            _close_what_is_on_its_way()
            Lake(root / "lake").close()
            shutil.copytree(root, kept.with_suffix(".part"))
            kept.with_suffix(".part").rename(kept)
            return root
    shutil.copytree(kept, root)
    return root


@pytest.fixture(scope="session")
def _ingested(tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        make_starter(root)
        ingest(open_suite(root, clock_at(NOW)))

    return made_once(tmp_path_factory, "ingested", make)


@pytest.fixture(scope="session")
def _paged(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        shutil.copytree(_ingested, root)
        header = root / f"sql/products/{PRODUCT}/product.yaml"
        header.write_text(header.read_text().replace("since: 2026-01-15", "since: 2026-02-01"))
        suite = open_suite(root, clock_at(NOW))
        product = suite.definitions.product(PRODUCT)
        pages = product.pages_between(product.header.pages.since, TRAINED_LATER)
        ensure_feature_pages(suite, product, pages, Silent())

    return made_once(tmp_path_factory, "paged", make)


@pytest.fixture(scope="session")
def _trained(_ingested: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        shutil.copytree(_ingested, root)
        train(open_suite(root, clock_at(NOW)), PRODUCT, TRAINED_AS_OF)

    return made_once(tmp_path_factory, "trained", make)


@pytest.fixture(scope="session")
def _published(_trained: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    def make(root: Path) -> None:
        shutil.copytree(_trained, root)
        run_page(open_suite(root, clock_at(NOW)), PRODUCT, PAGE)

    return made_once(tmp_path_factory, "published", make)


@pytest.fixture
def starter(tmp_path: Path) -> Path:
    """A new suite, nothing ingested."""
    make_starter(tmp_path / "shop")
    return tmp_path / "shop"


@pytest.fixture
def ingested(_ingested: Path, tmp_path: Path) -> Suite:
    """A suite with its facts."""
    shutil.copytree(_ingested, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW), commits=True)


@pytest.fixture
def paged(_paged: Path, tmp_path: Path) -> Suite:
    """A suite with its facts, and the feature pages that trainings before TRAINED_LATER read; no model yet.

    Its pages begin later than the starter's, to save time: each training works out the labels of each page.
    """
    shutil.copytree(_paged, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW), commits=True)


@pytest.fixture
def trained(_trained: Path, tmp_path: Path) -> Suite:
    """A suite with a live model, trained as of TRAINED_AS_OF, and no prediction yet."""
    shutil.copytree(_trained, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW), commits=True)


@pytest.fixture
def published(_published: Path, tmp_path: Path) -> Suite:
    """A suite with a live model that has written one page, PAGE."""
    shutil.copytree(_published, tmp_path / "shop")
    return open_suite(tmp_path / "shop", clock_at(NOW), commits=True)


@pytest.fixture(scope="session")
def postgres() -> Iterator[Server]:
    """A PostgreSQL server for all tests of this process; each makes a database of its own in it."""
    with running_server() as server:
        yield server


@pytest.fixture(scope="session")
def _s3_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    """An S3 server for all tests of this process: it takes three seconds to start."""
    from tests.s3_server import running_s3_server  # few tests need boto3, which takes a while to import

    with running_s3_server(tmp_path_factory.mktemp("s3")) as server:
        yield server


@pytest.fixture(scope="module")
def bucket(_s3_server: tuple[str, Path], tmp_path_factory: pytest.TempPathFactory) -> Iterator[S3]:
    """A bucket on the server of S3, empty at first, for the tests of a module."""
    from tests.s3_server import empty_bucket

    with pytest.MonkeyPatch.context() as patch:
        yield empty_bucket(_s3_server, tmp_path_factory.mktemp("aws"), patch)


@pytest.fixture(scope="module")
def _faults(bucket: S3, _s3_server: tuple[str, Path]) -> Iterator[Faults]:
    from tests.s3_proxy import broken_line

    with broken_line(_s3_server[0]) as faults:
        yield faults


@pytest.fixture
def faults(_faults: Faults) -> Iterator[Faults]:
    """What becomes of requests to the bucket; after the test all of them pass again."""
    yield _faults
    _faults.go_on.set()
    _faults.tell("")


@pytest.fixture
def s3(_s3_server: tuple[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> S3:
    """An S3 server with an empty bucket, which the environment names."""
    from tests.s3_server import empty_bucket

    return empty_bucket(_s3_server, tmp_path, monkeypatch)


def reopened(suite: Suite, now: datetime = NOW) -> Suite:
    """Read a suite's files again, after a test has changed them."""
    return open_suite(suite.root, clock_at(now), commits=True)
