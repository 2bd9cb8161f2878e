"""The reader of bundles as one file to copy: of Python, which needs that alone, and of JavaScript."""

from __future__ import annotations

import re
from pathlib import Path

#: The modules of the reader, in the order in which they stand in the one file.
PARTS = ("key_columns", "signatures", "compiled_trees", "row_expressions", "on_demand", "bundle_reader")
_FUTURE = "from __future__ import annotations\n"
_TITLE = "Almanac's reader of bundles in one file: Python 3.11 and its standard library. See docs/edge.md."
_HEAD = f'"""{_TITLE}"""\n\n{_FUTURE}'


def one_file() -> str:
    """Give the text of the reader as one module."""
    texts = [(Path(__file__).parent / f"{name}.py").read_text(encoding="utf-8") for name in PARTS]
    bare = [re.sub(r"(?m)^from jobs\.bundles\.\w+ import .*\n", "", text.replace(_FUTURE, "")) for text in texts]
    return "\n\n".join([_HEAD, *bare])


def javascript_file() -> str:
    """Give the text of the reader as a module for browsers."""
    return (Path(__file__).parent / "reader.js").read_text(encoding="utf-8")
