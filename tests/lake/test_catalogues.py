"""Nothing but the modules of catalogues knows what kind of catalogue a lake has, or where its locks and state lie."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

import pytest

from jobs.facts.ingest import ingest
from jobs.suite import Suite, open_suite
from jobs.suites.upkeep import upkeep
from tests.conftest import NOW, PRODUCT, clock_at
from tests.lakes import rows
from warehouse.errors import PublishFailed, RunFailed
from warehouse.lake import catalogues, lake
from warehouse.lake.catalogues import Catalogue, SqliteCatalogue
from warehouse.operations import leases, state
from warehouse.operations.leases import Leases, pages_held

ROOT = Path(__file__).parents[2]
CATALOGUES = ROOT / "warehouse" / "lake" / "catalogues.py"
#: The other kind of catalogue, and what copies one kind into another.
BESIDE = [*(ROOT / "warehouse/lake/postgres").glob("*.py"), *(ROOT / "warehouse/lake/copies").glob("*.py")]
MODULES = [
    path
    for top in ("jobs", "warehouse")
    for path in sorted((ROOT / top).rglob("*.py"))
    if path not in (CATALOGUES, *BESIDE)
]
#: What only a catalogue in a file has.
OF_A_FILE = ("catalogue.sqlite", "ducklake:", "META_", "TYPE sqlite", "writer.lock", "ingest.lock", "sqlite_scanner")


def texts_of(path: Path) -> list[str]:
    """Give the strings of a module, docstrings left out."""
    tree = ast.parse(path.read_text())
    docs = {
        id(node.body[0].value)
        for node in ast.walk(tree)
        if isinstance(node, (ast.Module, ast.ClassDef, ast.FunctionDef))
        and isinstance(node.body[0], ast.Expr)
        and isinstance(node.body[0].value, ast.Constant)
    }
    constants = [node for node in ast.walk(tree) if isinstance(node, ast.Constant) and id(node) not in docs]
    return [node.value for node in constants if isinstance(node.value, str)]


def test_no_other_module_assumes_a_file() -> None:
    found = [
        f"{path.relative_to(ROOT)}: {word}"
        for path in MODULES
        for text in texts_of(path)
        for word in OF_A_FILE
        if word in text
    ]
    assert found == []
    assert [word for word in OF_A_FILE if any(word in text for text in texts_of(CATALOGUES))] == list(OF_A_FILE)


@dataclass(frozen=True)
class Elsewhere(SqliteCatalogue):
    """A catalogue that has its file, its locks and its state in another place than the lake's directory."""

    @property
    def file(self) -> Path:
        return self.root.parent / "elsewhere" / "of this lake.db"

    @property
    def operations(self) -> Path:
        return self.root.parent / "elsewhere" / "state.db"

    @property
    def owners(self) -> Path:
        return self.root.parent / "elsewhere" / "alive"


@pytest.fixture
def elsewhere(starter: Path, monkeypatch: pytest.MonkeyPatch) -> Suite:
    (starter / "elsewhere").mkdir()

    def catalogue_of(root: Path) -> Catalogue:
        return Elsewhere(root)

    for module in (catalogues, lake, state, leases):
        monkeypatch.setattr(module, "catalogue_of", catalogue_of)
    return open_suite(starter, clock_at(NOW))


def test_a_suite_works_with_a_catalogue_that_is_elsewhere(elsewhere: Suite) -> None:
    ingest(elsewhere)
    with Leases(elsewhere.lake) as mine, mine.holding(PRODUCT, [NOW]) as held:
        assert held == {NOW}
        assert set(pages_held(elsewhere.lake, PRODUCT)) == {NOW}
    upkeep(elsewhere)
    assert rows(elsewhere, "SELECT count(*) > 0 FROM sources.orders") == [(True,)]
    assert {"of this lake.db", "state.db", "alive"} <= {path.name for path in (elsewhere.root / "elsewhere").iterdir()}
    here = {path.name for path in elsewhere.lake.root.iterdir()}
    assert not {name for name in here if "sqlite" in name or name == "owners"}


def test_whoever_waits_for_a_lock_in_vain_is_told_what_to_do(tmp_path: Path) -> None:
    catalogue = SqliteCatalogue(tmp_path)
    with (
        catalogue.writer_lock(),
        pytest.raises(PublishFailed, match=r"writer\.lock for 0 s; see which one with `fuser`"),
        SqliteCatalogue(tmp_path).writer_lock(timeout_s=0),
    ):
        pass
    with (
        catalogue.ingest_lock(),
        pytest.raises(RunFailed, match="another ingest of this lake"),
        SqliteCatalogue(tmp_path).ingest_lock(timeout_s=0),
    ):
        pass


def test_a_catalogue_that_was_made_anew_is_another(tmp_path: Path) -> None:
    catalogue = SqliteCatalogue(tmp_path)
    nothing = catalogue.identity()
    catalogue.file.write_text("one")
    first = catalogue.identity()
    (tmp_path / "kept").hardlink_to(catalogue.file)  # so that its inode is not given out again
    catalogue.file.unlink()
    catalogue.file.write_text("another")
    assert len({nothing, first, catalogue.identity()}) == 3
