"""How values of the lake become what a bundle's SQLite file keeps, as SQL; `jobs.bundles.key_columns` reads it."""

from __future__ import annotations

from collections.abc import Mapping

from warehouse.system_sql import quote

#: What rows have in common is written once for all of them.
MADE = ("as_of", "model_version", "run_id", "published_at", "hindsight", "arm")
#: Keys that SQLite keeps as text.
_KEPT_AS_TEXT = ("HUGEINT", "UHUGEINT", "UBIGINT", "DATE", "UUID")


def kept_as(column: str, kind: str) -> str:
    """Give SQL of a key as SQLite keeps it."""
    if kind in _KEPT_AS_TEXT or kind.startswith("DECIMAL("):
        return f"{column}::VARCHAR"
    if kind == "TIMESTAMP":
        return f"epoch_us({column})"
    return f"{column}::INTEGER" if kind == "BOOLEAN" else column


def inside_of(columns: Mapping[str, str]) -> str:
    """Give SQL of columns as the inside of a JSON object. Instants are in UTC, and say so."""
    parts = ", ".join(f"{quote(name)} := {_said_as(name, kind)}" for name, kind in columns.items())
    return f"(to_json(struct_pack({parts}))::VARCHAR)[2:-2]" if parts else "''"


def _said_as(name: str, kind: str) -> str:
    return f"replace({quote(name)}::VARCHAR, ' ', 'T') || 'Z'" if kind == "TIMESTAMP" else quote(name)
