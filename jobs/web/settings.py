"""What `almanac serve` is told, as its processes are handed it."""

from __future__ import annotations

import time
from dataclasses import dataclass, field
from pathlib import Path

#: A request may name so many keys, and have so many bytes.
MOST_KEYS, MOST_BYTES = 1_000, 1 << 20
#: What comes before a request's body: its line and headers.
MOST_HEAD_BYTES = 32 << 10
#: A process has so many connections.
MOST_CONNECTIONS = 1_000
#: A connection that nothing is asked on is closed after so long.
KEEP_ALIVE_S = 30
#: So often a process looks whether there is a newer bundle: it asks for the state of one file.
LOOK_EVERY_S = 0.05
#: A process that says nothing for so long is replaced, with its connections; on a busy machine one may say nothing for
#: a while that is well.
HANGS_AFTER_S = 30


@dataclass(frozen=True)
class ServeSettings:
    """How predictions are served.

    Attributes
    ----------
    bundles
        Directories that are bundles, or are to become some.
    searched
        Directories in which every `*.bundle` is served, those that come later too.
    counts
        A directory of this service's own, in which each process writes down what it counts.
    processes
        How many there are to be.
    token
        What a request has to bear; None where only this machine is listened to.
    hosts
        What requests may call this service, where there is no token; empty if anything.
    public_key
        Whose bundles are served (PEM, Ed25519); None for anybody's.
    rate
        How many keys a second one client may ask of one process; 0 for any number.
    patience_s
        After so many seconds a request has to be there, answered and read; else its client is cut off.
    now_us
        What to take the time for, in microseconds since 1970, for trials; None for the clock.
    log_requests, log_bytes
        Where what requests give is written down, up to so many bytes; None for nowhere.
    """

    bundles: tuple[Path, ...]
    searched: tuple[Path, ...]
    counts: Path
    processes: int = 1
    token: str | None = field(default=None, repr=False)
    hosts: tuple[str, ...] = ()
    public_key: str | None = None
    rate: float = 0.0
    patience_s: float = 10.0
    now_us: int | None = None
    log_requests: Path | None = None
    log_bytes: int = 1 << 30

    def now(self) -> int:
        """Give what to take the time for."""
        return time.time_ns() // 1000 if self.now_us is None else self.now_us
