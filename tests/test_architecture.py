"""The shape of the code: a folder imports only folders drawn below it, no circles, readable sizes.

One test holds a rule for all modules, and lists those that break it: a test for each of them took more than all it did.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from functools import cache
from pathlib import Path

ROOT = Path(__file__).parent.parent
MODULES = sorted(p for top in ("jobs", "warehouse") for p in (ROOT / top).rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
MAX_FILES_OF_A_FOLDER = 16
# The house, from the roof down: a folder imports only folders drawn below it. What stands at the top of `jobs` is what
# every job is handed, and what stands at the top of `warehouse` everybody may use. README has the same picture.
FLOORS: tuple[str, ...] = (
    "jobs.__main__",
    "jobs.cli",
    "jobs.cli.output",
    "jobs.web.site",
    "jobs.web.views",
    "jobs.web.parts",
    "jobs.web",
    "jobs.check",
    "jobs.erasure",
    "jobs.suites",
    "jobs.products",
    "jobs.rehearsal",
    "jobs.retraining",
    "jobs.training",
    "jobs.rollout",
    "jobs.rollout.inference",
    "jobs.monitoring.report",
    "jobs.monitoring.judging",
    "jobs.monitoring",
    "jobs.monitoring.performance",
    "jobs.pages",
    "jobs.pages.shards",
    "jobs.pages.scores",
    "jobs.backup",
    "jobs.export",
    "jobs.bundles",
    "jobs.examples",
    "jobs.facts",
    "jobs.facts.csv_files",
    "jobs.facts.databases",
    "jobs.facts.files",
    "jobs.models.reasons",
    "jobs.models",
    "jobs.models.columns",
    "jobs.models.arms",
    "jobs.models.libraries",
    "jobs.models.kinds",
    "jobs.schedule",
    "jobs.schedule.processes",
    "jobs.schedule.decisions",
    "jobs.schedule.files",
    "jobs.scoring.reasons",
    "jobs.scoring",
    "jobs.scoring.readers",
    "jobs.scoring.steps",
    "jobs.scoring.files",
    "jobs.scoring.sieves",
    "jobs.scoring.kernels",
    "jobs.scoring.machine_code",
    "jobs.scoring.interface",
    "jobs",
    "warehouse.reader",
    "warehouse.lineage",
    "warehouse.pages.lists",
    "warehouse.pages.profiling",
    "warehouse.pages",
    "warehouse.pages.arms",
    "warehouse.pages.fallback",
    "warehouse.batching",
    "warehouse.batching.splitting",
    "warehouse.batching.lifting",
    "warehouse.batching.ranges",
    "warehouse.batching.syntax",
    "warehouse.sandbox",
    "warehouse.facts",
    "warehouse.ledger",
    "warehouse.operations",
    "warehouse.definitions",
    "warehouse.definitions.yaml",
    "warehouse.lake.copies",
    "warehouse.lake",
    "warehouse.lake.storage",
    "warehouse.lake.postgres",
    "warehouse.lake.registered",
    "warehouse.queries",
    "warehouse",
)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


@cache
def floor_of(module: str) -> str:
    return max((name for name in FLOORS if module == name or module.startswith(name + ".")), key=len)


@cache
def tree_of(path: Path) -> ast.Module:
    return ast.parse(path.read_text())


@cache
def known_modules() -> frozenset[str]:
    return frozenset(dotted(path) for path in MODULES)


def imports_of(path: Path) -> Iterator[str]:
    """Yield the modules of ours that a module imports: anywhere, for types too, and inside functions."""
    known = known_modules()
    for node in ast.walk(tree_of(path)):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ("jobs", "warehouse"))
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}:{node.lineno} imports by a relative name"
            if node.module and node.module.split(".")[0] in ("jobs", "warehouse"):
                for alias in node.names:
                    full = f"{node.module}.{alias.name}"
                    yield full if full in known else node.module


def test_every_folder_stands_on_a_floor_of_its_own() -> None:
    folders = {dotted(path / "__init__.py") for path in {path.parent for path in MODULES}}
    assert folders == {name for name in FLOORS if (ROOT / name.replace(".", "/")).is_dir()}


def test_a_folder_imports_only_folders_drawn_below_it() -> None:
    height = {name: place for place, name in enumerate(FLOORS)}
    above = [
        f"{dotted(path)} imports upward: {name}"
        for path in MODULES
        for name in imports_of(path)
        if height[floor_of(name)] < height[floor_of(dotted(path))]
    ]
    assert not above


def test_no_import_cycles() -> None:
    # A package that re-exports its own submodules is no circle: who imports it from inside is caught by this.
    edges = {dotted(path): {name for name in imports_of(path) if name != dotted(path)} for path in MODULES}
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, "import cycle: " + " -> ".join((*trail[trail.index(module) :], module))
        if module in done:
            return
        for name in sorted(edges.get(module, ())):
            visit(name, (*trail, module))
        done.add(module)

    for module in edges:
        visit(module, ())


def test_a_folder_can_be_taken_in_at_a_glance() -> None:
    files = Counter(path.parent for path in MODULES if path.name != "__init__.py")
    full = [f"{folder} has {n} files" for folder, n in files.items() if n > MAX_FILES_OF_A_FOLDER]
    assert not full, "find the rooms in them"


def test_at_the_top_of_jobs_stands_only_what_every_job_is_handed() -> None:
    files = {path.stem for path in (ROOT / "jobs").glob("*.py")}
    assert files == {"__init__", "__main__", "suite", "progress", "metering"}


def test_a_module_is_short_and_says_what_it_does() -> None:
    silent = [str(path) for path in MODULES if not ast.get_docstring(tree_of(path))]
    assert not silent, "they open without a paragraph on what they do"
    long = [str(path) for path in MODULES if len(path.read_text().splitlines()) > MAX_MODULE_LINES]
    assert not long


def test_functions_are_short() -> None:
    too_long = [
        f"{path}: {node.name} ({length} lines)"
        for path in MODULES
        for node in ast.walk(tree_of(path))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not too_long


SQL_OPENINGS = ("select ", "insert ", "create ", "delete ", "update ", "with ", "copy ", "merge ")


def test_jobs_hold_no_sql_of_more_than_a_line() -> None:
    held = [
        f"{path}:{node.lineno}"
        for path in MODULES
        if "jobs" in path.relative_to(ROOT).parts
        for node in ast.walk(tree_of(path))
        if isinstance(node, ast.Constant) and isinstance(node.value, str) and is_long_sql(node.value.strip())
    ]
    assert not held, "they hold SQL of several lines"


def is_long_sql(text: str) -> bool:
    is_sql = text.lower().startswith(SQL_OPENINGS) and " from " in " ".join(text.lower().split())
    return is_sql and "\n" in text
