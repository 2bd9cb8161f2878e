"""The calls of readers of CSV and JSON files in a source's SELECT: where they stand in the text, and their options.

The text is never written anew, since that could change what it means: a call is found by its tokens, and another
relation is put in its place.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Any

from sqlglot import tokenize
from sqlglot.tokenizer_core import Token, TokenType

from warehouse.definitions import Source
from warehouse.errors import DefinitionError

CSV_READERS = frozenset({"read_csv", "read_csv_auto"})
JSON_READERS = frozenset({"read_json", "read_json_auto", "read_ndjson"})
EXCEL_READERS = frozenset({"read_xlsx"})
_READERS = CSV_READERS | JSON_READERS
_OPEN = {TokenType.L_PAREN, TokenType.L_BRACKET, TokenType.L_BRACE}
_CLOSE = {TokenType.R_PAREN, TokenType.R_BRACKET, TokenType.R_BRACE}
_EQUALS = {TokenType.EQ, TokenType.COLON_EQ}


@dataclass(frozen=True)
class ReaderCall:
    """One call. `files` and the values of `options` are SQL as written; `begin` and `end` bound it in the text."""

    function: str

    begin: int
    end: int
    files: str
    options: dict[str, str]


def reader_calls(source: Source, text: str) -> list[ReaderCall]:
    """Find the calls of such readers in a source's SELECT, or in a text made from it, in the order in which they stand.

    Raises
    ------
    DefinitionError
        If DuckDB sees others than are found here.
    """
    found = calls_of(text, _READERS)
    if len(found) != _count(json.loads(source.query.tree)):
        raise DefinitionError(
            f"{source.file.where}: its calls of read_csv or read_json cannot be told apart; write them plainly."
        )
    return found


def calls_of(text: str, functions: Collection[str]) -> list[ReaderCall]:
    """Find the calls of some functions in a text, in the order in which they stand."""
    tokens = tokenize(text, read="duckdb")
    return [
        _call(text, tokens, place)
        for place, token in enumerate(tokens[:-1])
        if token.text.lower() in functions
        and token.token_type != TokenType.STRING
        and tokens[place + 1].token_type == TokenType.L_PAREN
    ]


def in_place_of_calls(text: str, calls: Sequence[ReaderCall], relations: Sequence[str]) -> str:
    """Give the text with a relation in place of each call."""
    for call, relation in sorted(zip(calls, relations, strict=True), key=lambda pair: -pair[0].begin):
        text = text[: call.begin] + relation + text[call.end :]
    return text


def _count(node: Any) -> int:
    if isinstance(node, list):
        return sum(map(_count, node))
    if not isinstance(node, dict):
        return 0
    is_call = node.get("type") == "FUNCTION" and str(node.get("function_name", "")).lower() in _READERS
    return is_call + sum(map(_count, node.values()))


def _call(text: str, tokens: Sequence[Token], place: int) -> ReaderCall:
    arguments: list[list[Token]] = [[]]
    depth = 0
    for last in tokens[place + 1 :]:
        depth += (last.token_type in _OPEN) - (last.token_type in _CLOSE)
        if depth == 0:
            break
        if depth == 1 and last.token_type == TokenType.COMMA:
            arguments.append([])
        elif depth > 1 or last.token_type not in _OPEN:
            arguments[-1].append(last)
    options = {}
    for argument in arguments[1:]:
        if len(argument) > 2 and argument[1].token_type in _EQUALS:
            options[argument[0].text.lower()] = text[argument[2].start : argument[-1].end + 1]
    files = text[arguments[0][0].start : arguments[0][-1].end + 1] if arguments[0] else ""
    return ReaderCall(tokens[place].text.lower(), tokens[place].start, last.end + 1, files, options)
