"""The marks of a person: the texts by which free text, logs and JSON are seen to tell of them.

A text that only this person's facts have, such as a name or an order's number, is found wherever it stands as a word.
A number says little by itself: it is found only behind the name of what it stands for, as in `customer_id: 17`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any

#: What stands instead of a mark.
ERASED = "[erased]"
#: Shorter texts, but for the person's own, are no marks: they stand for something else too often.
_SHORTEST = 4
#: So many texts go into one regular expression; the engine's memory for one is bounded.
_IN_ONE = 200
_NUMBER = re.compile(r"[-+]?[0-9.]+")


@dataclass(frozen=True)
class Marks:
    """What finds a person: regular expressions, in the syntax that DuckDB (RE2) and Python have in common.

    `words` are the texts that stand alone, for where words are packed without anything between.
    """

    patterns: tuple[str, ...]
    words: tuple[str, ...] = ()

    @staticmethod
    def of(texts: Iterable[str], named: Mapping[str, Iterable[str]]) -> Marks:
        """Make them of texts that only this person has, and of values by the name of what they stand for."""
        words = sorted({text for text in texts if len(text) >= _SHORTEST and not _NUMBER.fullmatch(text)})
        values: dict[str, set[str]] = {}
        for name, found in named.items():
            for value in found:
                values.setdefault(value, set()).add(name)
        behind = [_behind(names, value) for value, names in sorted(values.items())]
        alone = sorted({*words, *(v for v in values if len(v) >= _SHORTEST and not _NUMBER.fullmatch(v))})
        every = [*behind, *map(_word, alone)]
        parts = tuple("|".join(every[start : start + _IN_ONE]) for start in range(0, len(every), _IN_ONE))
        return Marks(parts, tuple(alone))

    @cached_property
    def _compiled(self) -> list[re.Pattern[str]]:
        return [re.compile(pattern, re.ASCII) for pattern in self.patterns]

    def are_in(self, text: str) -> bool:
        """Tell whether a text tells of the person."""
        return any(pattern.search(text) for pattern in self._compiled)

    def blotted(self, value: Any) -> Any:
        """Give a text without them; anything else as it is."""
        if not isinstance(value, str):
            return value
        for pattern in self._compiled:
            value = pattern.sub(ERASED, value)
        return value

    def sql_finds(self, text: str) -> str:
        """Give SQL that tells whether they are in an expression; the patterns are its parameters $1, $2 and so on."""
        tests = [f"regexp_matches({text}, ${number})" for number in range(1, len(self.patterns) + 1)]
        return f"coalesce({' OR '.join(tests)}, false)"

    def sql_blots(self, text: str) -> str:
        """Give SQL of an expression without them; parameters as in `sql_finds`."""
        for number in range(1, len(self.patterns) + 1):
            text = f"regexp_replace({text}, ${number}, '{ERASED}', 'g')"
        return text


def _word(text: str) -> str:
    before, after = (r"\b" if re.match("[0-9A-Za-z_]", end) else "" for end in (text[0], text[-1]))
    return f"{before}{_escaped(text)}{after}"


def _behind(names: Iterable[str], value: str) -> str:
    listed = "|".join(_escaped(name) for name in sorted(names))
    after = r"\b" if re.match("[0-9A-Za-z_]", value[-1]) else ""
    return rf"\b(?:{listed})\b\W{{1,6}}{_escaped(value)}{after}"


def _escaped(text: str) -> str:
    """Escape what a regular expression would not take as it stands; RE2 knows no escaped space."""
    return re.sub(r"([^0-9A-Za-z_\s\x80-\U0010ffff])", r"\\\1", text)
