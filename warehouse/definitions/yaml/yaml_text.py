"""YAML read with the line of every key, so that a mistake can be shown where it stands.

`validate` turns YAML text into a pydantic model, or into sentences that say what is wrong, where, what was
found and what is allowed, with the nearest name for a misspelt key. All mistakes are found in one go.

Whatever the text is, the answer is a model or sentences: a scheduler reads files while they are being edited, and
must outlive what is in them.
"""

from __future__ import annotations

import contextlib
import difflib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, TypeVar, get_args

import yaml
from pydantic import BaseModel, ValidationError

from warehouse.definitions.yaml.cross_checks import hidden_mistakes


class _Loader(yaml.SafeLoader):
    """Reads YAML's booleans as its version 1.2 has them: `true` and `false`.

    In version 1.1, PyYAML's, `on`, `off`, `yes` and `no` are booleans too, even as keys, and `on` is one of ours.
    """


_Loader.yaml_implicit_resolvers = {
    first: [(tag, pattern) for tag, pattern in resolvers if tag != "tag:yaml.org,2002:bool" or first in "tTfF"]
    for first, resolvers in yaml.SafeLoader.yaml_implicit_resolvers.items()
}

if yaml.__with_libyaml__:

    class _QuickLoader(yaml.CSafeLoader):
        """The same by libyaml, in a tenth of the time: definitions are read by every command."""

    _QuickLoader.yaml_implicit_resolvers = _Loader.yaml_implicit_resolvers

#: Where libyaml takes what PyYAML refuses, or reads it as something else: tabs after a value, tags, complex keys,
#: directives, block scalars whose comment has no space before it, and line ends that are not newlines.
_READ_OTHERWISE = re.compile("[\t!?%\r\x85\u2028\u2029\ufeff]|[|>][-+0-9]*#")
#: No definition is as large as this. Aliases (`*name`) can make a few lines stand for billions of values.
_MOST_VALUES = 100_000
#: NUL, and halves of a surrogate pair: no file name, environment variable or database takes them.
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
_SHOWN_AT_MOST = 500

Path = tuple[str | int, ...]
ModelT = TypeVar("ModelT", bound=BaseModel)


@dataclass
class YamlText:
    """Parsed YAML: its data, and the 1-based line of every key and item by its path."""

    data: Any
    lines: dict[Path, int] = field(default_factory=dict)
    problems: list[str] = field(default_factory=list)

    def line_of(self, path: Path) -> int:
        """Give the line of a path, or of its nearest ancestor that has one."""
        while path and path not in self.lines:
            path = path[:-1]
        return self.lines.get(path, 1)


@lru_cache(maxsize=2048)
def read_yaml(text: str, where: str, first_line: int = 1) -> YamlText:
    """Parse YAML safely; `where` is the file as it is shown to people, `first_line` where the text begins.

    The same arguments give the same object: whoever reads it changes nothing of it.
    """
    parsed = YamlText(data=None)
    try:
        node = _composed(text)
        if node is not None:
            _require_few(node)
            parsed.data = _Loader("").construct_document(node)
            _walk(node, (), parsed, where, first_line)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        line = first_line + (mark.line if mark else 0)
        problem = getattr(error, "problem", None) or str(error)
        parsed.problems.append(f"{where}:{line}: not valid YAML: {problem}. Check quotes, colons and indents.")
    except ValueError as error:  # a date such as 2013-99-99, or a number of thousands of digits
        parsed.problems.append(f"{where}:{first_line}: a value cannot be read: {error}. Put text in quotes.")
    except RecursionError:
        parsed.problems.append(f"{where}:{first_line}: it is nested too deeply, or an alias (`*`) contains itself.")
    return parsed


def _composed(text: str) -> yaml.Node | None:
    """Parse a document into nodes. What libyaml refuses is read by PyYAML itself, whose messages people are shown."""
    if yaml.__with_libyaml__ and not _READ_OTHERWISE.search(text):
        with contextlib.suppress(yaml.YAMLError, ValueError, RecursionError):
            return yaml.compose(text, Loader=_QuickLoader)
    return yaml.compose(text, Loader=_Loader)


def _require_few(root: yaml.Node) -> None:
    """Refuse a document that stands for too many values, before they are made: merges (`<<`) copy what they name.

    Each node is counted once, and what an alias names as often as it is named; so a few lines take no time.
    """
    counts: dict[int, int] = {}

    def count(node: yaml.Node) -> int:
        if id(node) not in counts:
            counts[id(node)] = _MOST_VALUES + 1  # what contains itself has no end
            pairs = node.value if isinstance(node, yaml.MappingNode) else []
            items = node.value if isinstance(node, yaml.SequenceNode) else [part for pair in pairs for part in pair]
            counts[id(node)] = 1 + sum(map(count, items))
        return counts[id(node)]

    if count(root) > 2 * _MOST_VALUES:  # keys are counted too
        raise yaml.MarkedYAMLError(problem=f"more than {_MOST_VALUES:,} values", problem_mark=root.start_mark)


def _walk(node: yaml.Node, path: Path, parsed: YamlText, where: str, first_line: int) -> None:
    parsed.lines.setdefault(path, node.start_mark.line + first_line)
    if len(parsed.lines) > _MOST_VALUES:
        raise yaml.MarkedYAMLError(problem=f"more than {_MOST_VALUES:,} values", problem_mark=node.start_mark)
    if isinstance(node, yaml.ScalarNode) and _NO_TEXT.search(node.value):
        line = node.start_mark.line + first_line
        parsed.problems.append(f"{where}:{line}: {node.value!a} has a character that no text can hold.")
    elif isinstance(node, yaml.MappingNode):
        seen: set[str] = set()
        for key, value in node.value:
            name = str(key.value)
            line = key.start_mark.line + first_line
            if name in seen:
                parsed.problems.append(f"{where}:{line}: the key `{name}` is given twice; keep one of them.")
            seen.add(name)
            parsed.lines[(*path, name)] = line
            _walk(value, (*path, name), parsed, where, first_line)
    elif isinstance(node, yaml.SequenceNode):
        for index, item in enumerate(node.value):
            _walk(item, (*path, index), parsed, where, first_line)


def validate(model: type[ModelT], text: str, where: str, problems: list[str], first_line: int = 1) -> ModelT | None:
    """Read `text` as `model`. What is wrong is added to `problems`, one sentence each; then `None` is returned."""
    read, found = _validated(model, text, where, first_line)
    problems.extend(found)
    assert read is None or isinstance(read, model)
    return read


# What is found follows from the arguments alone, and a process reads the same definitions again and again.
@lru_cache(maxsize=2048)
def _validated(
    model: type[BaseModel], text: str, where: str, first_line: int
) -> tuple[BaseModel | None, tuple[str, ...]]:
    """Give what was read, or None and what is wrong."""
    parsed = read_yaml(text, where, first_line)
    problems = list(parsed.problems)
    if parsed.problems:
        return None, tuple(problems)
    data = {} if parsed.data is None else parsed.data
    if not isinstance(data, dict):
        return None, (f"{where}:{first_line}: expected keys and values, found {type(data).__name__}.",)
    try:
        return model.model_validate(data), ()
    except ValidationError as error:
        # A missing key has no line, and stands where it would; the names of union members stand nowhere.
        places = {item["loc"] for item in error.errors()}
        places |= {_known_path(loc, parsed.lines) for loc in places}
        for item in error.errors():
            line = parsed.line_of(_known_path(item["loc"], parsed.lines))
            problems.append(f"{where}:{line}: {_sentence(model, dict(item))}")
        for path, message in hidden_mistakes(model, data, places):
            name = ".".join(map(str, path)) or "the file"
            sentence = f"{where}:{parsed.line_of(path)}: `{name}`: {message}."
            if sentence not in problems:
                problems.append(sentence)
        return None, tuple(problems)


def _known_path(loc: tuple[Any, ...], lines: dict[Path, int]) -> Path:
    """Leave out what pydantic puts into a location that is not in the file (the names of union members)."""
    path: Path = ()
    for part in loc:
        if (*path, part) in lines:
            path = (*path, part)
    return path


def _sentence(model: type[BaseModel], item: dict[str, Any]) -> str:
    loc = tuple(str(part) for part in item["loc"])
    name = ".".join(part for part in loc if not part.startswith(("function-", "tagged-")))
    if item["type"] == "extra_forbidden":
        allowed = _fields_at(model, loc[:-1])
        near = difflib.get_close_matches(loc[-1], allowed, n=1)
        hint = f" Did you mean `{near[0]}`?" if near else ""
        return f"unknown key `{name}`.{hint} Allowed here: {', '.join(sorted(allowed))}."
    if item["type"] == "missing":
        return f"the key `{name}` is missing."
    message = item["msg"].removeprefix("Value error, ")
    found = item.get("input")
    text = repr(found)
    if len(text) > _SHOWN_AT_MOST:
        # Not cut off: half of a password would not be known for one, and not be blotted out.
        text = f"a {type(found).__name__} that is too long to show"
    shown = "" if item["type"] == "value_error" or isinstance(found, dict) else f" Found: {text}."
    return f"`{name or 'the file'}`: {message}.{shown}"


def _fields_at(model: type[BaseModel], loc: tuple[str, ...]) -> list[str]:
    """List the keys that the model allows at a location."""
    here: list[type[BaseModel]] = [model]
    for part in loc:
        deeper = [
            nested
            for owner in here
            if part in owner.model_fields
            for nested in _models_in(owner.model_fields[part].annotation)
        ]
        here = deeper or here
    return sorted({name for owner in here for name in owner.model_fields})


def _models_in(annotation: Any) -> list[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        return [annotation]
    return [found for part in get_args(annotation) for found in _models_in(part)]
