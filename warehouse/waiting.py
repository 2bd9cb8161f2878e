"""How long to wait for what another process holds: a lock, or a database that is busy."""

from __future__ import annotations

import os
import re

from warehouse.errors import UsageError

#: How many seconds to wait for a lock that another process holds, where it is set; otherwise what each lock says.
WAIT_VARIABLE = "ALMANAC_WAIT_S"
WRITER_LOCK_TIMEOUT_S = 120.0
INGEST_LOCK_TIMEOUT_S = 600.0


def wait_s(otherwise: float) -> float:
    """Give how many seconds to wait for a lock: what `ALMANAC_WAIT_S` says, or `otherwise`.

    Raises
    ------
    UsageError
        If the variable is no number of seconds.
    """
    text = os.environ.get(WAIT_VARIABLE)
    if text is None:
        return otherwise
    if not re.fullmatch(r"[0-9]{1,6}(\.[0-9]{1,6})?", text):
        raise UsageError(f"{WAIT_VARIABLE} is `{text}`; give a number of seconds, such as 5 or 600.")
    return float(text)
