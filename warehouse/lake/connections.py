"""The database instances that a process keeps open: attaching a lake takes ten times as long as a question to it.

An instance is one lake's, and reads, or reads and writes: a process that commits reads on the instance that does, since
each reads the lake's catalogue for itself, as often as a table or a view changes. Where hosts share a catalogue, what
reads is apart. An instance can *hold* its lake, by a transaction that stays open. SQLite gives a catalogue up when the
last transaction on it ends, and takes it up with the next, each time under a lock, and the SQLite that DuckDB is built
with sleeps for a whole second when it meets one: of two commands at a time every fourth took that second longer. While
someone holds the catalogue, nobody gives it up. Nor does SQLite shorten its log then, so that commands hold their lake,
and programs that stay for long do not.

DuckLake keeps the catalogue of each state that it was asked about for as long as its instance lives (ducklake#852; in
1.5.5 until the instance's memory is full), and a commit of pages makes such a state, since its views name the newest
page. So an instance that remembers many is replaced by a new one, and goes when the last cursor on it does.

What a committed state of a lake says does not change. Several steps of a job ask the same of it, and a question to the
ledger takes some milliseconds whatever it is: so the last answers are kept, by state; see `remembered`.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Hashable, Iterator
from dataclasses import dataclass
from functools import wraps
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar, cast
from weakref import WeakKeyDictionary

import duckdb

from warehouse.lake.catalogues import Catalogue

#: A process works on one lake; what works on many is tests.
_KEPT = 4
#: At every so manieth time that somebody wants an instance it is asked how much it remembers, which takes 0.3 ms.
_LOOKED_AT_EVERY = 16
#: It is replaced once that is as much as so many states take, and this in bytes, by DuckDB's own estimate: about half.
_STATES_REMEMBERED, _BYTES_REMEMBERED = 8, 16 * 2**20
_REMEMBERED = "SELECT coalesce(sum(memory_usage_bytes), 0) FROM duckdb_memory() WHERE tag = 'OBJECT_CACHE'"
#: What an instance can be given before its lake is attached to it.
First = Callable[[duckdb.DuckDBPyConnection], None]

Arguments = ParamSpec("Arguments")
Answer = TypeVar("Answer")


class _Kept:
    """An instance, what it holds, and how many cursors read on it, and follow the lake's states on it."""

    def __init__(self, catalogue: Catalogue) -> None:
        self.instance: duckdb.DuckDBPyConnection | None = None
        self.n_reading = self.n_following = 0
        self._catalogue = catalogue
        self._transaction: duckdb.DuckDBPyConnection | None = None
        self._n_wanted, self._most_bytes = 0, 0

    @property
    def is_held(self) -> bool:
        """Whether the catalogue is held."""
        return self._transaction is not None

    def hold(self, instance: duckdb.DuckDBPyConnection) -> None:
        """Hold the catalogue, unless it is held."""
        if self._transaction is None:
            self._transaction = self._catalogue.hold(instance)

    def remembers_too_much(self) -> bool:
        """Tell whether it is to be replaced; one on which a cursor follows would go on beside the new one."""
        self._n_wanted += 1
        if self._n_wanted % _LOOKED_AT_EVERY != 1:
            return False
        remembered = self._bytes_remembered()
        # What a state takes is seen at the first look, when there are few, whoever follows.
        self._most_bytes = self._most_bytes or max(_STATES_REMEMBERED * remembered, _BYTES_REMEMBERED)
        return remembered > self._most_bytes and not self.n_following

    def _bytes_remembered(self) -> int:
        assert self.instance is not None
        with contextlib.closing(self.instance.cursor()) as cursor:
            row = cursor.execute(_REMEMBERED).fetchone()
        return int(row[0]) if row else 0

    def let_go(self) -> None:
        """Hold the catalogue no more."""
        if self._transaction is not None:
            self._transaction.close()

    def close(self) -> None:
        """Close it, and with it whatever cursors there are on it."""
        self.let_go()
        if self.instance is not None:
            self.instance.close()


class Instances:
    """Those of one process, by catalogue. Python closes them at its end."""

    def __init__(self) -> None:
        self._kept: dict[tuple[Hashable, bool], _Kept] = {}
        #: Those that are used no more, and on which somebody reads still.
        self._dropped: list[_Kept] = []
        self._lock = threading.Lock()

    def get(
        self,
        catalogue: Catalogue,
        open_one: Callable[[First | None], duckdb.DuckDBPyConnection],
        check: Callable[[duckdb.DuckDBPyConnection], None],
        *,
        read_only: bool,
        hold: bool = False,
    ) -> duckdb.DuckDBPyConnection:
        """Give the instance of a catalogue, and open it if there is none yet; one that writes serves who reads too.

        One that remembers too much is replaced. It is not closed, since another thread may be about to use it.

        Parameters
        ----------
        open_one
            Opens one, in one thread at a time; what it is handed, if anything, sees it before the lake is attached.
        check
            Looks at one that was opened, and raises if it is not to be used.
        hold
            Hold the lake from now on.
        """
        with self._lock:
            key = self._key(catalogue, read_only=read_only)
            replaced = None
            if key in self._kept and self._kept[key].remembers_too_much():
                replaced = self._kept.pop(key)
                hold = hold or replaced.is_held
                # One that committed is followed by one that reads, if that is what is asked for.
                key = self._key(catalogue, read_only=read_only)
            if key not in self._kept:
                opened = _Kept(catalogue)
                try:
                    # Held before the lake is attached, which asks many questions.
                    opened.instance = open_one(opened.hold if hold else None)
                    check(opened.instance)
                except BaseException:
                    opened.close()
                    raise
                if replaced is None and (key[0], not key[1]) not in self._kept:
                    # Nothing of it was open, so that its file may be another by now, of the same inode.
                    _forget_answers(key[0])
                while len(self._kept) >= _KEPT:
                    self._kept.pop(next(iter(self._kept))).close()
                self._kept[key] = opened
            kept = self._kept[key]
            assert kept.instance is not None
            if hold:
                kept.hold(kept.instance)
            return kept.instance

    def _key(self, catalogue: Catalogue, *, read_only: bool) -> tuple[Hashable, bool]:
        identity = catalogue.identity()
        return identity, read_only and (catalogue.is_shared or (identity, False) not in self._kept)

    @contextlib.contextmanager
    def read(self, instance: duckdb.DuckDBPyConnection | None, *, follow: bool) -> Iterator[None]:
        """Do not close an instance, if one is given, for as long as a cursor reads on it.

        Nor is it replaced while one does that is to `follow`, which sees each new state.
        """
        with self._lock:
            read = [kept for kept in self._kept.values() if kept.instance is instance]
            for kept in read:
                kept.n_reading += 1
                kept.n_following += follow
        try:
            yield
        finally:
            with self._lock:
                for kept in read:
                    kept.n_reading -= 1
                    kept.n_following -= follow
                    if kept in self._dropped and not kept.n_reading:
                        self._dropped.remove(kept)
                        kept.close()

    def close(self, catalogue: Catalogue) -> None:
        """Close the instances of a catalogue, if there are any; what it has answered is forgotten."""
        with self._lock:
            _forget_answers(catalogue.identity())
            for read_only in (True, False):
                if (kept := self._kept.pop((catalogue.identity(), read_only), None)) is not None:
                    kept.close()

    def drop(self, instance: duckdb.DuckDBPyConnection) -> None:
        """Open another instance when this one is asked for again, and close it once nobody reads on it."""
        with self._lock:
            for key in [key for key, kept in self._kept.items() if kept.instance is instance]:
                kept = self._kept.pop(key)
                if kept.n_reading:
                    kept.let_go()
                    self._dropped.append(kept)
                else:
                    kept.close()


@dataclass
class _Reading:
    """What a cursor that writes nothing sees: a catalogue, and its state as last asked for, which may stay the same."""

    catalogue: Hashable
    one_state: bool
    state: object = None


class _Asked(NamedTuple):
    """What was asked of which state."""

    ask: Callable[..., object]
    catalogue: Hashable
    state: object
    args: tuple[object, ...]
    kwargs: tuple[tuple[str, object], ...]


_readings: WeakKeyDictionary[duckdb.DuckDBPyConnection, _Reading] = WeakKeyDictionary()
#: Answers by what was asked of which state, the newest at the end.
_answers: dict[_Asked, object] = {}
_ANSWERS_KEPT = 64


def reads_only(cursor: duckdb.DuckDBPyConnection, catalogue: Catalogue, *, one_state: bool) -> None:
    """Note that a cursor sees nothing but committed states of a lake, attached as `lake`, or only one of them."""
    _readings[cursor] = _Reading(catalogue.identity(), one_state)


def seen_snapshot(cursor: duckdb.DuckDBPyConnection) -> int | None:
    """Give the snapshot that a cursor sees of a lake, if it sees that one and nothing else."""
    reading = _readings.get(cursor)
    state = _state(cursor, reading) if reading is not None and reading.one_state else None
    return int(state[0]) if isinstance(state, tuple) else None


@contextlib.contextmanager
def nothing_written_yet(cursor: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> Iterator[None]:
    """Let what is asked at the beginning of a transaction that will write be answered as to who reads."""
    reads_only(cursor, catalogue, one_state=True)
    try:
        yield
    finally:
        del _readings[cursor]


def end_transaction(connection: duckdb.DuckDBPyConnection, catalogue: Catalogue) -> None:
    """End the transaction of a connection to a lake with a server before it is closed.

    DuckDB 1.5.5 would end it while it is being destroyed, and where the server has gone, the whole process with it.
    """
    if catalogue.is_shared:
        with contextlib.suppress(duckdb.Error):
            connection.execute("ROLLBACK")


def remembered(
    ask: Callable[Concatenate[duckdb.DuckDBPyConnection, Arguments], Answer],
) -> Callable[Concatenate[duckdb.DuckDBPyConnection, Arguments], Answer]:
    """Let a function that asks a lake answer by what it answered before, of the same state to the same arguments.

    Nobody may change what it returns. On a connection that writes, or of which `reads_only` was not said, it asks.
    """

    @wraps(ask)
    def answer(connection: duckdb.DuckDBPyConnection, /, *args: Arguments.args, **kwargs: Arguments.kwargs) -> Answer:
        reading = _readings.get(connection)
        if reading is None:
            return ask(connection, *args, **kwargs)
        state = _state(connection, reading)
        key = _Asked(ask, reading.catalogue, state, args, tuple(kwargs.items()))
        with contextlib.suppress(KeyError):
            return cast(Answer, _answers[key])
        found = ask(connection, *args, **kwargs)
        # Where no transaction is around both, a commit may have come between them.
        if _state(connection, reading) == state:
            _answers[key] = found
            for old in list(_answers)[:-_ANSWERS_KEPT]:
                _answers.pop(old, None)
        return found

    return answer


def _forget_answers(catalogue: Hashable) -> None:
    """Forget what a catalogue has answered: one made anew in its place may be taken for it."""
    for key in [key for key in list(_answers) if key.catalogue == catalogue]:
        _answers.pop(key, None)


def _state(connection: duckdb.DuckDBPyConnection, reading: _Reading) -> object:
    if reading.state is None or not reading.one_state:
        reading.state = connection.execute("SELECT id FROM ducklake_current_snapshot('lake')").fetchone()
    return reading.state
