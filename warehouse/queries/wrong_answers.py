"""DuckDB's known wrong answers: what is switched off, or refused, wherever authors' SQL runs.

One table says which, why, and from which version on it can go. Each was seen in the pinned version, and
`tests/sandbox/test_wrong_answers.py` shows each wrong without what is done here, and right with it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from warehouse.system_sql import literal

if TYPE_CHECKING:
    import duckdb

    from warehouse.queries.syntax_tree import Node


@dataclass(frozen=True)
class WrongAnswer:
    """A fault of DuckDB's.

    Attributes
    ----------
    issues
        Numbers at github.com/duckdb/duckdb/issues.
    what
        What comes out wrong.
    optimizer
        The optimizer that makes it so, and is switched off; None where the construct is refused instead.
    until
        From which version of DuckDB on it is right, as far as is known.
    """

    issues: tuple[int, ...]
    what: str
    optimizer: str | None
    until: str


WRONG_ANSWERS = (
    WrongAnswer(
        (25888, 23675, 23677, 24363),
        "the first rows of a window: a row of NULLs where there is none, and none where the order is by a NULL",
        "top_n_window_elimination",
        "1.5.6 (c766b40084)",
    ),
    WrongAnswer(
        (24624, 25819),
        "UNION ALL over parts that share a join: rows are lost, or a column has another one's values",
        "common_subplan",
        "1.6.0 (on the 1.5 branch: pull request 25831)",
    ),
    WrongAnswer(
        (24826, 24452),
        "mode(x ORDER BY y) over a window: a tie is broken by a row that has left the frame",
        None,
        "not known",
    ),
)


#: DuckLake 1.0 hands the statistics of the newest snapshot to who reads an older one (ducklake#1377). Where a column
#: has grown wider since, DuckDB then ends in an internal error.
_OF_OLDER_SNAPSHOTS = "statistics_propagation"


def switch_off_wrong_optimizers(connection: duckdb.DuckDBPyConnection, *, reads_the_past: bool = False) -> None:
    """Switch off, in a whole instance, the optimizers that make wrong answers.

    Parameters
    ----------
    reads_the_past
        Whether it reads a lake as it was at an older snapshot. What others ask of the instance then takes longer.
    """
    wrong = {each.optimizer for each in WRONG_ANSWERS if each.optimizer}
    listed = ",".join(sorted(wrong | ({_OF_OLDER_SNAPSHOTS} if reads_the_past else set())))
    connection.execute(f"SET GLOBAL disabled_optimizers = {literal(listed)}")


def refused_window(node: Node) -> str | None:
    """Say why a window function is refused for a wrong answer of DuckDB's, if it is."""
    if str(node["function_name"]).lower() == "mode":
        return "`mode` over a window may break a tie by a row outside it (DuckDB 1.5.5); group by a key, and join."
    return None
