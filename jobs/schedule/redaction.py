"""Keep secrets out of what is written: logs, reasons, alerts.

What counts as one: the value of any environment variable that alerts are sent by (registered when the schedule is
read), of any variable whose name says so (token, secret, password, key), and what stands before the `@` of a URL.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable

_SHOWN = "[redacted]"
_TELLING = re.compile(r"(TOKEN|SECRET|PASSWORD|PASSWD|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY)", re.IGNORECASE)
_IN_URL = re.compile(r"(?<=://)[^/\s@]+(?=@)")
#: Shorter values would blot out ordinary words.
_SHORTEST = 6
_registered: set[str] = set()


def register_secrets(variables: Iterable[str]) -> None:
    """Treat the values of these environment variables as secret from now on."""
    for name in variables:
        value = os.environ.get(name, "")
        _registered.update(part for part in re.split(r"[\s,]+", value) if len(part) >= _SHORTEST)


def redacted(text: str) -> str:
    """Give the text with every secret blotted out."""
    telling = {value for name, value in os.environ.items() if _TELLING.search(name) and len(value) >= _SHORTEST}
    for secret in sorted(_registered | telling, key=len, reverse=True):
        text = text.replace(secret, _SHOWN)
    return _IN_URL.sub(_SHOWN, text)
