"""The texts of a suite's definitions, all of them, and the hash that tells one set of them from another.

A check, and a deployment, are of such a set: every file that says what jobs do, but for examples (`NAME.tests.yaml`),
which change nothing. Python modules that definitions name by an import path are among them, not what those import.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path

from warehouse.definitions import Definitions
from warehouse.definitions.yaml.suite_file import SETTINGS
from warehouse.errors import UsageError
from warehouse.queries.checked_query import fingerprint_of

_SCHEDULE = "schedules.yaml"
_FOLDERS = ("sources", "features", "products", "readiness")
_EXAMPLES = ".tests.yaml"


def all_texts(definitions: Definitions) -> dict[str, str]:
    """Read the text of every definition of a suite, by its path in the suite, sorted.

    Raises
    ------
    UsageError
        If a file is no text, or cannot be read.
    """
    root = definitions.root
    found = {}
    for path in sorted(_paths(root, _modules(definitions))):
        where = path.relative_to(root).as_posix()
        try:
            found[where] = path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise UsageError(
                f"{where} cannot be read as text: {error}. Definitions are text; move it elsewhere."
            ) from error
    return found


def fingerprint_of_texts(texts: Mapping[str, str]) -> str:
    """Hash a set of definitions by their very texts: a comment that changed makes it another set."""
    return fingerprint_of(sorted(texts.items()))


def _paths(root: Path, modules: Iterable[Path]) -> Iterator[Path]:
    for folder in _FOLDERS:
        for path in (root / "sql" / folder).rglob("*"):
            hidden = any(part.startswith(".") for part in path.relative_to(root).parts)
            if path.is_file() and not hidden and not path.name.endswith(_EXAMPLES):
                yield path
    for path in (root / _SCHEDULE, root / SETTINGS, *modules):
        if path.is_file():
            yield path


def _modules(definitions: Definitions) -> set[Path]:
    """Give the files that import paths would be found in, in the suite itself; they need not be there."""
    named = [product.header.engine for product in definitions.products.values()]
    named += [product.header.model.estimator for product in definitions.products.values()]
    named += [source.header.loader or "" for source in definitions.sources.values()]
    dotted = {each.partition(":")[0].replace(".", "/") for each in named if ":" in each}
    return {definitions.root / f"{each}{ending}" for each in dotted for ending in (".py", "/__init__.py")}
