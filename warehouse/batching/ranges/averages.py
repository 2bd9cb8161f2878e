"""DuckDB's division of an exact sum by a count, to the last bit.

DuckDB 1.5 keeps the sum of avg over INTEGER, BIGINT and DECIMAL exactly, and divides it by the count in the
platform's long double before rounding to DOUBLE. Where long double has 64 bits of precision (x86-64), that
rounds twice, and now and then differs by one unit in the last place from a division in DOUBLE. It cannot
differ while the count is below 2048: a quotient s/n that is no midpoint of two doubles is at least
2^(e-53)/n away from one, and the first rounding moves it by at most 2^(e-64). From there on the two
roundings are done here in integers.
"""

from __future__ import annotations

from warehouse.batching.syntax.parsing import Workbench

# A sum and a count whose quotient comes out differently when it is rounded once and when it is rounded twice.
TELLTALE_SUM, TELLTALE_COUNT, TELLTALE_TWICE = 847669, 4095, 207.0009768009768
EXACT_IN_DOUBLE = 1 << 53
SURE_BELOW = 2048


def quotient(total: str, count: str) -> str:
    """Give SQL for `total / count` as DuckDB's avg rounds it, NULL where the count is 0.

    Parameters
    ----------
    total
        SQL of an exact sum, BIGINT or HUGEINT, below 2^63 in size (beyond that, the SQL raises an error).
    count
        SQL of a whole number from 0 to 2^60.
    """
    return (
        f"CASE WHEN {count} = 0 THEN NULL"
        f" WHEN {count} < {SURE_BELOW} AND abs({total}) < {EXACT_IN_DOUBLE} OR {total} = 0"
        f" THEN {total}::DOUBLE / {count}::DOUBLE"
        f" ELSE {_rounded_twice(total, count)} END"
    )


def _rounded_twice(total: str, count: str) -> str:
    """Round a quotient of 65 to 69 bits and its remainder to 64 bits, then to 53, both half to even.

    `list_transform` over one element stands in for a let: each step names what the next one needs.
    """
    size = f"abs({total}::BIGINT)::HUGEINT"
    shift = f"66 + floor(log2({count}::DOUBLE))::INTEGER - floor(log2({size}::DOUBLE))::INTEGER"
    steps = f"[struct_pack(size := {size}, count := {count}::HUGEINT, shift := {shift})]"
    for name, body in (
        (
            "scaled",
            "struct_pack(shift := scaled.shift, bits := (scaled.size << scaled.shift) // scaled.count,"
            " is_inexact := (scaled.size << scaled.shift) % scaled.count > 0)",
        ),
        (
            "divided",
            "struct_pack(shift := divided.shift, bits := divided.bits, is_inexact := divided.is_inexact,"
            " surplus := list_sum(list_transform([65, 66, 67, 68],"
            " lambda length: (divided.bits >= (1::HUGEINT << length))::INTEGER))::INTEGER + 1)",
        ),
        (
            "trimmed",
            "struct_pack(kept := trimmed.bits >> trimmed.surplus, power := trimmed.surplus - trimmed.shift,"
            " rest := trimmed.bits & ((1::HUGEINT << trimmed.surplus) - 1),"
            " half := 1::HUGEINT << (trimmed.surplus - 1), is_inexact := trimmed.is_inexact)",
        ),
        (
            "parted",
            "(parted.kept + (parted.rest > parted.half OR parted.rest = parted.half"
            " AND (parted.is_inexact OR parted.kept % 2 = 1))::INTEGER)::DOUBLE"
            " * pow(2.0::DOUBLE, parted.power)",
        ),
    ):
        steps = f"list_transform({steps}, lambda {name}: {body})"
    return f"sign({total}) * ({steps})[1]"


def rounds_twice(bench: Workbench) -> bool:
    """Say whether this DuckDB's avg over integers rounds as `quotient` does (its long double has 64 bits)."""
    average = bench.value(
        f"SELECT avg(x) FROM (SELECT CASE WHEN i = 0 THEN {TELLTALE_SUM} ELSE 0 END::INTEGER AS x"
        f" FROM range({TELLTALE_COUNT}) AS numbers(i))"
    )
    return bool(average == TELLTALE_TWICE)
