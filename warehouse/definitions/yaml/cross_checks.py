"""What the keys of a definition say together, checked although one of them is wrong.

pydantic runs a model's own validators only once every field is right, and stops at the first that objects, so that a
second mistake would be told after the first is mended. Here all of them are run over the fields that are right.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, get_args, get_origin, get_type_hints

from pydantic import BaseModel, TypeAdapter, ValidationError

Path = tuple[str | int, ...]


def hidden_mistakes(model: type[BaseModel], data: Any, wrong: set[Path], path: Path = ()) -> Iterator[tuple[Path, str]]:
    """Yield what the validators of whole models object to, where pydantic found a mistake.

    Parameters
    ----------
    model, data
        What was read, and as what.
    wrong
        Where pydantic found mistakes.
    path
        Where `data` stands in the file.
    """
    if not isinstance(data, dict) or not any(place[: len(path)] == path for place in wrong):
        return
    hints = get_type_hints(model, include_extras=True)
    values: dict[str, Any] = {}
    mistaken: list[str] = []
    for name in model.model_fields:
        if name not in data:
            continue
        here = (*path, name)
        if any(place[: len(here)] == here for place in wrong):
            mistaken.append(name)
            for nested, value, at in _nested(hints[name], data[name], here):
                yield from hidden_mistakes(nested, value, wrong, at)
        else:
            values[name] = _value(model, name, hints[name], data[name])
    partial = model.model_construct(None, **values)
    for name in mistaken:
        # Its default stands there, which nobody wrote: whoever asks for it has nothing to say.
        vars(partial).pop(name, None)
    for name, decorator in model.__pydantic_decorators__.model_validators.items():
        if decorator.info.mode == "after":
            try:
                getattr(partial, name)()
            except (AttributeError, TypeError):
                continue  # It asks for a field that is missing or wrong.
            except ValueError as error:
                yield path, str(error)


def _value(model: type[BaseModel], name: str, hint: Any, value: Any) -> Any:
    """Read one field as its model does; pydantic found it right."""
    for validator, decorator in model.__pydantic_decorators__.field_validators.items():
        if name in decorator.info.fields and decorator.info.mode == "before":
            value = getattr(model, validator)(value)
    try:
        return TypeAdapter(hint).validate_python(value)
    except ValidationError:
        return value


def _nested(hint: Any, value: Any, path: Path) -> Iterator[tuple[type[BaseModel], Any, Path]]:
    """Yield the models that a field holds, with what was read for each and where."""
    models = list(_models_in(hint))
    if len(models) != 1:
        return
    if isinstance(value, list):
        yield from ((models[0], item, (*path, index)) for index, item in enumerate(value))
    elif isinstance(value, Mapping) and _is_of_names(hint):
        yield from ((models[0], item, (*path, name)) for name, item in value.items())
    elif isinstance(value, Mapping):
        yield models[0], value, path


def _is_of_names(annotation: Any) -> bool:
    """Whether a field holds a model a name, and not one model."""
    kind = get_origin(annotation)
    if isinstance(kind, type) and issubclass(kind, Mapping):
        return True
    return any(_is_of_names(part) for part in get_args(annotation) if part is not annotation)


def _models_in(annotation: Any) -> Iterator[type[BaseModel]]:
    if isinstance(annotation, type) and issubclass(annotation, BaseModel):
        yield annotation
    for part in get_args(annotation):
        yield from _models_in(part)
