"""Answers to look-ups, as JSON: what a page predicts, that it has expired, or that there is nothing.

Every answer is made of one bundle. A row that is not valid any more is told of without what it predicted.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

from jobs.bundles.bundle_reader import Bundle, Found
from jobs.bundles.key_columns import instant_of

PAGE, EXPIRED, NOTHING = "page", "expired", "nothing"
#: The status of a look-up of one key of which nothing is predicted.
STATUS: Mapping[str, int] = {NOTHING: 404, EXPIRED: 410}


class Answer(NamedTuple):
    """One answer: `made` says what it is, and `inside` is the inside of its JSON object, behind the product."""

    made: str
    inside: str


def answer_to_one(bundle: Bundle, given: Mapping[str, Any], now_us: int) -> tuple[str, str]:
    """Look up what a request for one thing names, an entity or a list: give what was found, and the answer's inside.

    Raises
    ------
    KeyRefused
        If `given` is neither a key of the product nor that of a list.
    """
    lists = bundle.manifest.list_keys
    if lists and given.keys() == set(lists):
        return answers_of_list(bundle, given, now_us)
    found = answer(bundle, given, now_us)
    return found.made, found.inside


def answer(bundle: Bundle, given: Mapping[str, Any], now_us: int) -> Answer:
    """Look one entity up.

    Raises
    ------
    KeyRefused
        If `given` is not a key of the product.
    """
    values = bundle.values(given)
    found = bundle.find(values)
    if found is None:
        found = bundle.find_beyond(given)
    said = _said(found, _keys(bundle, values), now_us)
    why = bundle.why_nothing(given) if found is None else None
    return Answer(said.made, f'{said.inside},"why":{json.dumps(why)}') if why else said


def answers_of_list(bundle: Bundle, given: Mapping[str, Any], now_us: int) -> tuple[str, str]:
    """Look one list up: give what was found, and the inside of the answer, in which the entries stand by rank.

    Raises
    ------
    KeyRefused
        If `given` is not the key of a list of the product.
    """
    entries = bundle.find_list(bundle.values(given, of_list=True))
    said = [_said(found, _keys(bundle, kept), now_us) for kept, found in entries]
    # All entries of a list are of one page; one that has expired is left out, and ranks stay what they were.
    valid = [each.inside for each in said if each.made == PAGE]
    made = PAGE if valid else EXPIRED if said else NOTHING
    listed = ",".join(f"{{{each}}}" for each in valid)
    return made, f'"made":"{made}","list":[{listed}]'


def head(bundle: Bundle) -> str:
    """Give the beginning of a JSON object that says which publication the answer is of."""
    manifest = bundle.manifest
    return f'"product":{json.dumps(manifest.product)},"snapshot_id":{manifest.snapshot_id}'


def etag_of(bundle: Bundle) -> bytes:
    """Give what tells the answers of one publication from those of others."""
    return f'"{bundle.manifest.snapshot_id}-{bundle.manifest.sha256[:16]}"'.encode()


def _keys(bundle: Bundle, values: Sequence[Any]) -> str:
    said = [before + say(value) for (before, say), value in zip(bundle.sayings, values, strict=True)]
    return f'"keys":{{{", ".join(said)}}}'


def _said(found: Found | None, keys: str, now_us: int) -> Answer:
    if found is None:
        return Answer(NOTHING, f'{keys},"made":"{NOTHING}"')
    until = f'"valid_until":"{instant_of(found.valid_until_us)}"'
    if not found.is_valid(now_us):
        return Answer(EXPIRED, f'{keys},"made":"{EXPIRED}",{found.made},{until}')
    return Answer(found.source, f'{keys},"made":"{found.source}",{found.made},{until},{found.prediction}')
