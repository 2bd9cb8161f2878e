"""The shape of the code: layers import downward only, no cycles, modules and functions of a readable size."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
MODULES = sorted(p for top in ("jobs", "warehouse") for p in (ROOT / top).rglob("*.py"))
MAX_MODULE_LINES = 400
MAX_FUNCTION_LINES = 60
# From the top down; a module may import from its own layer and from those after it.
LAYERS: tuple[tuple[str, ...], ...] = (
    ("jobs.cli", "jobs.__main__"),
    ("jobs.schedule",),
    ("jobs",),
    ("jobs.models", "jobs.scoring"),
    ("warehouse",),
)


def dotted(path: Path) -> str:
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def layer_of(module: str) -> int:
    matches = [
        (len(name), level)
        for level, names in enumerate(LAYERS)
        for name in names
        if module == name or module.startswith(name + ".")
    ]
    return max(matches)[1]


def imports_of(path: Path, *, top_level_only: bool = False) -> Iterator[str]:
    tree = ast.parse(path.read_text())
    known = {dotted(p) for p in MODULES}

    def is_ours(name: str | None) -> bool:
        return name is not None and name.split(".")[0] in ("jobs", "warehouse")

    for node in tree.body if top_level_only else ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names if alias.name.split(".")[0] in ("jobs", "warehouse"))
        elif isinstance(node, ast.ImportFrom) and node.module and node.module.split(".")[0] in ("jobs", "warehouse"):
            for alias in node.names:
                full = f"{node.module}.{alias.name}"
                yield full if full in known else node.module


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_imports_only_from_its_own_layer_or_below(path: Path) -> None:
    own = layer_of(dotted(path))
    above = [name for name in imports_of(path) if layer_of(name) < own]
    assert not above, f"{dotted(path)} imports upward: {above}"


def test_no_import_cycles() -> None:
    # A package that re-exports its own submodules is no cycle, so self-containing edges are left out.
    edges = {
        dotted(path): {name for name in imports_of(path, top_level_only=True) if name != dotted(path)}
        for path in MODULES
    }
    done: set[str] = set()

    def visit(module: str, trail: tuple[str, ...]) -> None:
        assert module not in trail, "import cycle: " + " -> ".join((*trail[trail.index(module) :], module))
        if module in done:
            return
        for name in edges.get(module, ()):
            visit(name, (*trail, module))
        done.add(module)

    for module in edges:
        visit(module, ())


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_a_module_is_short_and_says_what_it_does(path: Path) -> None:
    text = path.read_text()
    assert ast.get_docstring(ast.parse(text)), f"{path} opens without a paragraph on what it does"
    assert len(text.splitlines()) <= MAX_MODULE_LINES


@pytest.mark.parametrize("path", MODULES, ids=dotted)
def test_functions_are_short(path: Path) -> None:
    too_long = [
        f"{node.name} ({length} lines)"
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef))
        and (length := (node.end_lineno or node.lineno) - node.lineno + 1) > MAX_FUNCTION_LINES
    ]
    assert not too_long


SQL_OPENINGS = ("select ", "insert ", "create ", "delete ", "update ", "with ", "copy ", "merge ")


@pytest.mark.parametrize("path", [p for p in MODULES if "jobs" in p.relative_to(ROOT).parts], ids=dotted)
def test_jobs_hold_no_sql_of_more_than_a_line(path: Path) -> None:
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value.strip()
            is_sql = text.lower().startswith(SQL_OPENINGS) and " from " in " ".join(text.lower().split())
            assert not (is_sql and "\n" in text), f"{path}:{node.lineno} holds SQL of several lines"
