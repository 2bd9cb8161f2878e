"""One host at a time, unless the lake has a server: kernel locks and SQLite files do not work across machines.

The host is recorded in the tick store with the time at which it was last seen. Another one is refused as long as that
is recent, so that a volume may move from one machine to another, but not be used by two.
"""

from __future__ import annotations

import json
import socket
from datetime import datetime, timedelta

from jobs.schedule.tick_store import TickStore
from warehouse.errors import UsageError
from warehouse.operations.leases import this_host

#: A scheduler shows itself this often, and a host that was not seen for so long has gone.
SHOW_EVERY = timedelta(seconds=15)
GONE_AFTER = timedelta(seconds=60)


def show_host(tick_store: TickStore, clock_now: datetime, *, again: bool = False) -> None:
    """Write down that this host is at work on the lake; with `again`, that it still is.

    Where the lake's catalogue is in PostgreSQL, several may be, and nothing is written.

    Raises
    ------
    UsageError
        If another one is. One that has taken over while this one was at work (it slept, or the two clocks differ)
        is at work whatever its clock says.
    """
    if tick_store.is_shared:
        return
    me = this_host()
    with tick_store.writing():
        seen = json.loads(tick_store.fact("host") or "{}")
        if seen.get("host") not in (None, me):
            last = datetime.fromisoformat(seen["seen_at"])
            if again or abs(clock_now - last) < GONE_AFTER:
                raise UsageError(
                    f"jobs of this lake are run on another host, {seen['name']}, which was last seen at {last} (UTC): "
                    "only one host may run them until the lake has a PostgreSQL catalogue. Stop the scheduler there, "
                    f"and try again after {GONE_AFTER.total_seconds():.0f} seconds"
                )
        said = {"host": me, "name": socket.gethostname(), "seen_at": str(clock_now)}
        tick_store.note_fact("host", json.dumps(said))
