"""Interleaved lists of pages: two versions' rankings, drafted into the lists that readers see.

The same rankings, salt and keys give the same lists and the same teams, so that who picked what is not kept but drawn
again when outcomes are credited.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import duckdb
import numpy as np

from jobs.models.arms.assignment import unit_sql
from jobs.models.arms.team_draft import CHALLENGER, coins_sql, draft
from warehouse.definitions.product import Ranking
from warehouse.system_sql import exact_path, literal, quote_all, system_sql

if TYPE_CHECKING:
    import pyarrow as pa

_RANKINGS, _DRAFTED = 'temp.main."almanac: rankings"', "almanac_drafted"


def arm_of_both(live: str, challenger: str) -> str:
    """Name what serves an interleaved list, which is neither version alone."""
    return f"{live}+{challenger}"


def drafted(
    cursor: duckdb.DuckDBPyConnection, live: str, challenger: str, salt: str, keys: Sequence[str], ranking: Ranking
) -> pa.Table:
    """Draft the lists of some pages.

    Parameters
    ----------
    live, challenger
        SQL of relations with as_of, the keys and `rank`, from 1 in each list, cut off at `top`.
    salt
        Of the rollout.

    Returns
    -------
    pa.Table
        as_of, the keys, `list` (from 0), `place` (from 1) and `team`, one row an entry of either ranking.
    """
    import pyarrow as pa

    names = {"keys": quote_all(keys), "list": quote_all(ranking.keys)}
    rankings = system_sql("rollouts/two_rankings", **names, live=live, challenger=challenger)
    cursor.execute(f"CREATE OR REPLACE TEMP TABLE {_RANKINGS.removeprefix('temp.main.')} AS {rankings}")
    order = 'ORDER BY "almanac: list", live_rank'
    table = cursor.execute(f"FROM {_RANKINGS} {order}").to_arrow_table()
    coins = coins_sql(salt, ["as_of", *ranking.keys], ranking.top)
    drawn = cursor.execute(system_sql("rollouts/coins", coins=coins, rankings=_RANKINGS)).to_arrow_table()
    cursor.execute(f"DROP TABLE {_RANKINGS}")
    flat = drawn.column("coins").combine_chunks().flatten().to_numpy(zero_copy_only=False)
    lists, live_rank, rank = (
        table.column(name).to_numpy().astype(np.int64) for name in ("almanac: list", "live_rank", "rank")
    )
    found = draft(lists, live_rank, rank, flat.astype(bool).reshape(-1, ranking.top), ranking.top)
    kept = table.select(["as_of", *keys])
    for name, values in (("list", lists), ("place", found.place), ("team", found.team)):
        kept = kept.append_column(f"almanac: {name}", pa.array(values))
    return kept


def write_interleaved(
    cursor: duckdb.DuckDBPyConnection,
    files: tuple[Path, Path],
    versions: tuple[str, str],
    salt: str,
    keys: Sequence[str],
    ranking: Ranking,
    into: Path,
) -> None:
    """Write the lists that readers see into a staged file, with the columns of the two files and `arm`.

    Parameters
    ----------
    files, versions
        The rankings of the live version and of the challenger, staged, and their names.
    """
    import pyarrow as pa

    relations = [f"read_parquet({literal(exact_path(file))})" for file in files]
    table = drafted(cursor, relations[0], relations[1], salt, keys, ranking)
    team = table.column("almanac: team").to_numpy()
    version = pa.array(np.where(team == CHALLENGER, versions[1], versions[0]))
    rows = table.select(["as_of", *keys]).append_column("version", version)
    cursor.register(_DRAFTED, rows.append_column("place", table.column("almanac: place")))
    try:
        statement = system_sql(
            "rollouts/interleave",
            arm=literal(arm_of_both(*versions)),
            files=", ".join(literal(exact_path(file)) for file in files),
            drafted=_DRAFTED,
            keys=quote_all(keys),
            top=str(ranking.top),
            file=literal(str(into)),
        )
        cursor.execute(statement)
    finally:
        cursor.unregister(_DRAFTED)


def write_by_chance(
    cursor: duckdb.DuckDBPyConnection,
    features: str,
    live: Path,
    given: str,
    salt: str,
    keys: Sequence[str],
    ranking: Ranking,
    into: Path,
) -> None:
    """Write lists that no model chose into a staged file: candidates in the order of a hash.

    Parameters
    ----------
    features
        SQL of the feature pages, with all candidates.
    live
        The staged file of the live version's lists.
    given
        The expression of a row's arm.
    """
    statement = system_sql(
        "rollouts/by_chance",
        keys=quote_all(keys),
        list=quote_all(ranking.keys),
        features=features,
        live=literal(exact_path(live)),
        given=given,
        text=f"concat({literal(salt)}, chr(31), {unit_sql(['as_of', *keys])})",
        top=str(ranking.top),
        file=literal(str(into)),
    )
    cursor.execute(statement)
