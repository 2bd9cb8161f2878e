"""A row of figures as a line of blocks, on terminals that can show them."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence

_BLOCKS = "▁▂▃▄▅▆▇█"


def spark(values: Sequence[float | None]) -> str:
    """Draw figures from 0 to their largest; a gap where there is none, and nothing where blocks cannot be shown."""
    try:
        _BLOCKS.encode(sys.stdout.encoding or "ascii")
    except (UnicodeEncodeError, LookupError):
        return ""
    known = [value for value in values if value is not None and math.isfinite(value)]
    most = max(known, default=0.0)
    if most <= 0 or not sys.stdout.isatty():
        return ""
    return "".join(
        " " if value is None or not math.isfinite(value) else _BLOCKS[min(7, int(max(0.0, value) / most * 8))]
        for value in values
    )
