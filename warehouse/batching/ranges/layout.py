"""How the written SQL is laid out: one column to a line, each step of the ladder indented."""

from __future__ import annotations

from collections.abc import Sequence


def select(columns: Sequence[str], *clauses: str) -> str:
    """Write a SELECT of these columns, each on a line of its own, and the clauses that follow them."""
    return "\n".join(["SELECT", ",\n".join(f"    {column}" for column in columns), *clauses])


def indented(body: str) -> str:
    """Put a query in parentheses, on lines of its own."""
    return "(\n" + "\n".join(f"    {line}" for line in body.splitlines()) + "\n)"
