"""What docstrings, comments and pages name of the code by its place is there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
TEXTS = [
    *(path for folder in ("jobs", "warehouse", "tests") for path in (ROOT / folder).rglob("*.py")),
    *(ROOT / "sql").rglob("*.sql"),
    *(ROOT / "docs").glob("*.md"),
    *ROOT.glob("*.md"),
]
_MODULE = re.compile(r"`((?:jobs|warehouse)(?:\.\w+)+)`")
_PATH = re.compile(r"\b((?:tests|docs|sql/system|jobs|warehouse)/[\w/.-]+?\.(?:py|md|sql|toml))\b")
#: A capital word stands for any name.
_PLACEHOLDER = re.compile(r"[A-Z]{3,}")


def is_there(dotted: str) -> bool:
    """Tell whether a module, or something that a module has, bears a name."""
    parts = dotted.split(".")
    for n_module in range(len(parts), 0, -1):
        place = ROOT.joinpath(*parts[:n_module])
        file = place / "__init__.py" if place.is_dir() else place.with_suffix(".py")
        if file.exists():
            if n_module == len(parts):
                return True
            # A package may import a name only when it is asked for it; elsewhere the name is defined.
            name = rf"\b{parts[-1]}\b"
            defined = name if place.is_dir() else rf"^\s*(?:def |class ){name}|^{name}"
            return bool(re.search(defined, file.read_text(), re.MULTILINE))
    return False


@pytest.mark.parametrize("folder", ["jobs", "warehouse", "tests", "sql", "docs", ""])
def test_what_is_named_is_there(folder: str) -> None:
    gone = []
    for path in TEXTS:
        relative = path.relative_to(ROOT)
        if (relative.parts[0] if len(relative.parts) > 1 else "") != folder:
            continue
        text = path.read_text()
        # In tests such names are mostly keys of schedules.yaml, whose jobs stand under `jobs`.
        modules = [] if folder == "tests" else _MODULE.findall(text)
        gone += [f"{relative}: {name}" for name in modules if not is_there(name)]
        named = {name for name in _PATH.findall(text) if not _PLACEHOLDER.search(Path(name).stem)}
        gone += [f"{relative}: {name}" for name in sorted(named) if not (ROOT / name).exists()]
    assert gone == []


def test_a_name_that_is_gone_is_found() -> None:
    assert is_there("warehouse.lake.lake.Lake")
    assert is_there("jobs.schedule.decisions.decide")
    assert not is_there("warehouse.watermarks")
    assert not is_there("warehouse.lake.lake.Pond")


def anchors_of(page: Path) -> set[str]:
    """Give the names by which a page's headings are linked to."""
    fenced = re.sub(r"^```.*?^```", "", page.read_text(), flags=re.MULTILINE | re.DOTALL)
    headings = re.findall(r"^#+ (.+)$", fenced, re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", heading).strip().lower().replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", [*(ROOT / "docs").glob("*.md"), *ROOT.glob("*.md")], ids=lambda page: page.name)
def test_links_lead_somewhere(page: Path) -> None:
    lost = []
    for link in re.findall(r"\]\(([^)\s]+)\)", page.read_text()):
        if re.match(r"[a-z]+:", link):
            continue
        place, _, anchor = link.partition("#")
        target = (page.parent / place).resolve() if place else page
        if not target.exists() or (anchor and anchor not in anchors_of(target)):
            lost.append(link)
    assert lost == []
