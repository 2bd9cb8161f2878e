"""What a delivery of a source is: more facts, or all that there are (`delivery:` in its header)."""

from __future__ import annotations

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, Field

from warehouse.definitions.expect import parse_amount
from warehouse.definitions.sql_file import Strict


def _share(value: Any) -> float:
    """Read a share: `a tenth`, `20%`, or a number up to 1."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    try:
        return parse_amount(f"{value} of usual").value
    except ValueError as error:
        raise ValueError(f"{value!r} is no share; write for example `a tenth`, `20%` or 0.2") from error


class DeliverySettings(Strict):
    """`kind`: all new files of one ingest are complete together, or each is by itself. `at_most`: what may go."""

    kind: Literal["complete", "complete by file"]
    at_most: Annotated[float, BeforeValidator(_share), Field(ge=0, le=1)] = 0.1


def short_form(value: Any) -> Any:
    """Take `delivery: complete` for a mapping."""
    return {"kind": value} if isinstance(value, str) else value
