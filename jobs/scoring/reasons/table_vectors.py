"""The innermost loops of contributions from tables, written in LLVM's vector types.

The first finds, for each row, its line in a group's table: the sum of what each test that the row passes adds. The
second reads eight rows' lines, transposes them, and adds them to the sums, which lie player after player; lines are of
eight players or of four. The third brings the tables that come next near. The types are LLVM's generic vectors, see
`jobs.scoring.kernels.vector_code`.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic

cgutils: Any = untyped_cgutils

LANES = 32
"""Rows that one instruction compares."""
RUN = 4
"""Vectors of rows whose places are held in registers while a group's tests pass by."""
STEP = LANES * RUN
"""The number of rows that `find_places` is given is a multiple of this."""
WIDTH = 8
"""Players of a line of a table: 64 bytes, and the rows that are turned round at a time."""
HALF = WIDTH // 2
"""Players of a short line."""
LINE_BYTES = 64
LONG, SHORT, WORD = ir.IntType(64), ir.IntType(16), ir.IntType(32)


def _long(value: int) -> Any:
    return ir.Constant(LONG, value)


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector whose every lane is the value."""
    undefined = ir.Constant(vector, ir.Undefined)
    first = builder.insert_element(undefined, value, ir.Constant(WORD, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(WORD, vector.count), [0] * vector.count))


def _write_find_places(builder: Any, arguments: Any, code_bits: int) -> None:
    codes, stride, column, limit, delta, first, last, start, out, n_rows = arguments
    cell = ir.IntType(code_bits)
    codes_vector, places = ir.VectorType(cell, LANES), ir.VectorType(SHORT, LANES)
    code_at = builder.inttoptr(codes, cell.as_pointer())
    column_at = builder.inttoptr(column, LONG.as_pointer())
    limit_at = builder.inttoptr(limit, cell.as_pointer())
    delta_at = builder.inttoptr(delta, SHORT.as_pointer())
    out_at = builder.inttoptr(out, SHORT.as_pointer())
    # LLVM makes registers of these.
    held = [cgutils.alloca_once(builder, places) for _ in range(RUN)]
    nothing = ir.Constant(places, [0] * LANES)
    with cgutils.for_range_slice(builder, _long(0), n_rows, _long(STEP), LONG) as (row, _):
        begin = _splat(builder, builder.trunc(start, SHORT), places)
        for register in held:
            builder.store(begin, register)
        with cgutils.for_range_slice(builder, first, last, _long(1), LONG) as (test, _):
            limits = _splat(builder, builder.load(builder.gep(limit_at, [test])), codes_vector)
            deltas = _splat(builder, builder.load(builder.gep(delta_at, [test])), places)
            line = builder.mul(builder.load(builder.gep(column_at, [test])), stride)
            place = builder.add(line, row)
            for number, register in enumerate(held):
                at = builder.gep(code_at, [builder.add(place, _long(LANES * number))])
                found = builder.load(builder.bitcast(at, codes_vector.as_pointer()), align=1)
                is_above = builder.icmp_unsigned(">", found, limits)
                more = builder.select(is_above, deltas, nothing)
                builder.store(builder.add(builder.load(register), more), register)
        for number, register in enumerate(held):
            at = builder.gep(out_at, [builder.add(row, _long(LANES * number))])
            builder.store(builder.load(register), builder.bitcast(at, places.as_pointer()), align=1)


def _find_places(
    typing_context: Any,
    codes: Any,
    stride: Any,
    column: Any,
    limit: Any,
    delta: Any,
    first: Any,
    last: Any,
    start: Any,
    out: Any,
    n_rows: Any,
    cells: Any,
) -> Any:
    signature = types.void(*([types.intp] * 10), cells)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _write_find_places(builder, arguments[:10], cells.dtype.bitwidth)
        return context.get_dummy_value()

    return signature, generate


find_places: Any = intrinsic(_find_places)
"""find_places(codes, stride, column, limit, delta, first, last, start, out, n_rows, cells)

Addresses of arrays; `codes` (n_columns, stride) and `limit` have cells of the type of the array `cells`, which only
tells it. Writes to `out` (n_rows,) uint16, for each row, `start` plus the `delta` of each test first..last - 1 whose
column's code is above its `limit`, without regard to overflow. `n_rows` is a multiple of STEP.
"""


class _LineCode:
    """Writes the code that adds one line of a table for each row to the sums of its players."""

    def __init__(self, builder: Any, arguments: Any, width: int) -> None:
        self.builder = builder
        self.width = width
        table, places, sums, stride, players, self.n_players, self.n_rows = arguments
        self.number = ir.DoubleType()
        self.half, self.whole = ir.VectorType(self.number, HALF), ir.VectorType(self.number, WIDTH)
        self.table = builder.inttoptr(table, self.number.as_pointer())
        self.places = builder.inttoptr(places, SHORT.as_pointer())
        sums_at = builder.inttoptr(sums, self.number.as_pointer())
        player_at = builder.inttoptr(players, LONG.as_pointer())
        self.sums = [
            builder.gep(sums_at, [builder.mul(builder.load(builder.gep(player_at, [_long(number)])), stride)])
            for number in range(width)
        ]

    def _shuffled(self, a: Any, b: Any, picked: list[int]) -> Any:
        mask = ir.Constant(ir.VectorType(WORD, len(picked)), picked)
        return self.builder.shuffle_vector(a, b, mask)

    def _line(self, row: Any, number: int) -> list[Any]:
        """Return the line of row + number, four players at a time."""
        builder = self.builder
        place = builder.zext(builder.load(builder.gep(self.places, [builder.add(row, _long(number))])), LONG)
        start = builder.gep(self.table, [builder.mul(place, _long(self.width))])
        return [
            builder.load(builder.bitcast(builder.gep(start, [_long(at)]), self.half.as_pointer()), align=8)
            for at in range(0, self.width, HALF)
        ]

    def _turned(self, rows: list[Any]) -> list[Any]:
        """Return four vectors of eight rows each, of four vectors with four numbers of each of two rows."""
        low, high = [0, 8, 2, 10, 4, 12, 6, 14], [1, 9, 3, 11, 5, 13, 7, 15]
        even = [self._shuffled(rows[at], rows[at + 1], low) for at in (0, 2)]
        odd = [self._shuffled(rows[at], rows[at + 1], high) for at in (0, 2)]
        first, second = [0, 1, 8, 9, 4, 5, 12, 13], [2, 3, 10, 11, 6, 7, 14, 15]
        return [self._shuffled(pair[0], pair[1], picked) for picked in (first, second) for pair in (even, odd)]

    def _add(self, number: int, row: Any, values: Any) -> None:
        builder = self.builder
        at = builder.bitcast(builder.gep(self.sums[number], [row]), self.whole.as_pointer())
        builder.store(builder.fadd(builder.load(at, align=8), values), at, align=8)

    def _is_used(self, number: int) -> Any:
        return self.builder.if_then(self.builder.icmp_signed(">", self.n_players, _long(number)), likely=True)

    def write(self) -> None:
        """Write the loop over the rows."""
        in_turn = list(range(WIDTH))
        with cgutils.for_range_slice(self.builder, _long(0), self.n_rows, _long(WIDTH), LONG) as (row, _):
            lines = [self._line(row, number) for number in range(WIDTH)]
            # A line of eight has more than four players, and any line has one.
            n_certain = self.width - HALF + 1
            for half in range(self.width // HALF):
                turned = self._turned(
                    [self._shuffled(lines[at][half], lines[at + HALF][half], in_turn) for at in range(HALF)]
                )
                for place, values in enumerate(turned, start=HALF * half):
                    if place < n_certain:
                        self._add(place, row, values)
                        continue
                    with self._is_used(place):
                        self._add(place, row, values)


def _adds_lines(width: int) -> Any:
    def add(
        typing_context: Any, table: Any, places: Any, sums: Any, stride: Any, players: Any, n_players: Any, n_rows: Any
    ) -> Any:
        signature = types.void(*([types.intp] * 7))

        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            _LineCode(builder, arguments, width).write()
            return context.get_dummy_value()

        return signature, generate

    return intrinsic(add)


add_lines: Any = _adds_lines(WIDTH)
"""add_lines(table, places, sums, stride, players, n_players, n_rows)

Addresses of arrays; adds table[places[row], number] to sums[players[number], row] for each row and number < n_players.
`table` has WIDTH float64 a line, `sums` (n, stride) float64, `players` WIDTH int64; `n_rows` is a multiple of WIDTH,
and `n_players` more than HALF.
"""
add_short_lines: Any = _adds_lines(HALF)
"""The same of a table with HALF float64 a line, and so of at most HALF players."""


def _bring_near(typing_context: Any, address: Any, n_bytes: Any) -> Any:
    signature = types.void(types.intp, types.intp)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        address, n_bytes = arguments
        byte, kind = (
            ir.IntType(8).as_pointer(),
            ir.FunctionType(ir.VoidType(), [ir.IntType(8).as_pointer(), *[WORD] * 3]),
        )
        prefetch = cgutils.get_or_insert_function(builder.module, kind, "llvm.prefetch.p0")
        # To be read, into the second-level cache, data.
        how = [ir.Constant(WORD, number) for number in (0, 2, 1)]
        with cgutils.for_range_slice(builder, _long(0), n_bytes, _long(LINE_BYTES), LONG) as (at, _):
            builder.call(prefetch, [builder.inttoptr(builder.add(address, at), byte), *how])
        return context.get_dummy_value()

    return signature, generate


bring_near: Any = intrinsic(_bring_near)
"""bring_near(address, n_bytes)

Begins to read some memory into the second-level cache.
"""
