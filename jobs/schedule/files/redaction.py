"""Keep secrets out of what is written: logs, reasons, alerts, listings, messages about schedules.yaml.

What counts as one: the value of any environment variable that alerts are sent by (registered when the schedule is
read), of any variable whose name says so (token, secret, password, key), the user and password in a URL, and what a
URL's query gives under such a name.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from urllib.parse import unquote

_SHOWN = "[redacted]"
_NAMES = "TOKEN|SECRET|PASSWORD|PASSWD|PASSPHRASE|CREDENTIAL|API_?KEY|PRIVATE_?KEY|ACCESS_?KEY|WEBHOOK"
_TELLING = re.compile(f"(?:{_NAMES}|_PASS$|_PW$|_DSN$)", re.IGNORECASE)
#: Up to the last @ before the path, since passwords hold some.
_IN_URL = re.compile(r"(?<=://)[^/\s]+(?=@)")
_IN_QUERY = re.compile(rf"([?&][^=&\s]*(?:{_NAMES}|SIG|KEY|AUTH)[^=&\s]*=)[^&\s'\"]+", re.IGNORECASE)
#: Shorter values would blot out ordinary words.
_SHORTEST = 6
_registered: set[str] = set()


def register_secrets(variables: Iterable[str]) -> None:
    """Treat the values of these environment variables as secret from now on, and the passwords in them."""
    for name in variables:
        for address in os.environ.get(name, "").split():
            login = _IN_URL.search(address)
            password = login[0].partition(":")[2] if login else ""
            _registered.update(part for part in (address, password, unquote(password)) if len(part) >= _SHORTEST)


def redacted(text: str) -> str:
    """Give the text with every secret blotted out."""
    telling = {value for name, value in os.environ.items() if _TELLING.search(name) and len(value) >= _SHORTEST}
    for secret in sorted(_registered | telling, key=len, reverse=True):
        text = text.replace(secret, _SHOWN)
    return _IN_QUERY.sub(rf"\1{_SHOWN}", _IN_URL.sub(_SHOWN, text))
