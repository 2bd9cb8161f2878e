"""Our own list of what was put into a bucket and is not known to be committed: what sweeping deletes, without listing.

It stands in the database of the catalogue, `almanac.staged_keys`. A key is written down before there is an object, and
struck out after the commit that names it. It bears the number of its turn (see `warehouse.lake.postgres.fences`): once
another turn has begun, that commit took place or never will, so that whoever holds the writer lock can tell at once.
What is put there before there is a turn bears none, and is left alone for a day. DuckLake writes files of its own names
in a turn, and deletes them when it rolls back: each turn is written down too, and one that was not struck out says that
a killed process may have left some.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass

from warehouse.lake.postgres.sessions import session

#: How long what bears no turn is left alone.
LEFT_ALONE = "interval '1 day'"
_TURN = "turn "


@dataclass(frozen=True)
class StagedKeys:
    """The list of one lake; `server` is the URL of its catalogue's database."""

    server: str

    def begin(self, turn: int) -> None:
        """Write a turn down."""
        self.add([f"{_TURN}{turn}"], turn)

    def add(self, keys: Collection[str], turn: int | None) -> None:
        """Write keys down, before there are objects."""
        insert = (
            "INSERT INTO almanac.staged_keys SELECT unnest(%s::TEXT[]), %s, clock_timestamp() ON CONFLICT (key) DO"
            " UPDATE SET turn = excluded.turn, staged_at = excluded.staged_at"
        )
        with session(self.server) as connection:
            connection.execute(insert, [list(keys), turn])

    def end(self, turn: int) -> None:
        """Strike a turn out, with all that bears it, after its commit."""
        with session(self.server) as connection:
            connection.execute("DELETE FROM almanac.staged_keys WHERE turn = %s", [turn])

    def strike(self, keys: Collection[str]) -> None:
        """Strike keys out: their objects are committed, or gone."""
        with session(self.server) as connection:
            connection.execute("DELETE FROM almanac.staged_keys WHERE key = ANY(%s)", [list(keys)])

    def all(self) -> list[str]:
        """Give all keys."""
        query = f"SELECT key FROM almanac.staged_keys WHERE NOT starts_with(key, '{_TURN}')"
        return self._keys(query)

    def over(self) -> list[str]:
        """Give the keys of which no commit can come any more; the caller holds the writer lock."""
        query = (
            f"SELECT key FROM almanac.staged_keys WHERE NOT starts_with(key, '{_TURN}') AND (turn < (SELECT fence FROM"
            f" almanac.writer) OR turn IS NULL AND staged_at < clock_timestamp() - {LEFT_ALONE}) ORDER BY key"
        )
        return self._keys(query)

    def turns_over(self) -> list[str]:
        """Give the turns that were not struck out, and ended so long ago that no file of theirs is young any more."""
        query = (
            f"SELECT key FROM almanac.staged_keys WHERE starts_with(key, '{_TURN}') AND turn < (SELECT fence FROM"
            f" almanac.writer) AND staged_at < clock_timestamp() - 2 * {LEFT_ALONE}"
        )
        return self._keys(query)

    def _keys(self, query: str) -> list[str]:
        with session(self.server) as connection:
            return [row[0] for row in connection.execute(query).fetchall()]
