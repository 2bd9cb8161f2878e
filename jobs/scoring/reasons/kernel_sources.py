"""The modules of this folder that are compiled: what the machine code depends on, beside the scoring kernels."""

from __future__ import annotations

from pathlib import Path

SOURCES = tuple(Path(__file__).parent / name for name in ("grouping_kernel.py", "table_kernel.py", "table_vectors.py"))
