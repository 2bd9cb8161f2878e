"""The innermost loop of the bitvector kernel, written in LLVM's vector types.

numba compiles loops well, but keeps an array's cells in memory from one loop to the next. Here the bitvectors
of a run of rows stay in registers while all the nodes of a tree pass by. The types are LLVM's generic
vectors, so the same text becomes AVX-512, AVX2, SSE or NEON on whatever machine it is compiled on.
"""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba import types
from numba.core import cgutils as untyped_cgutils
from numba.extending import intrinsic

cgutils: Any = untyped_cgutils

BLOCK = 256
VECTOR_BITS = 512
RUN = 4
"""Vectors of a run of rows; their bitvectors are held in this many registers."""


def _splat(builder: Any, value: Any, vector: Any) -> Any:
    """Return a vector whose every lane is the value."""
    undefined = ir.Constant(vector, ir.Undefined)
    word = ir.IntType(32)
    first = builder.insert_element(undefined, value, ir.Constant(word, 0))
    return builder.shuffle_vector(first, undefined, ir.Constant(ir.VectorType(word, vector.count), [0] * vector.count))


class _TreeCode:
    """Writes the code that finds the exit leaves of one tree for one block of rows."""

    def __init__(self, builder: Any, arguments: Any, width: int) -> None:
        self.builder = builder
        self.width = width
        self.cell = ir.IntType(width)
        self.vector = ir.VectorType(self.cell, VECTOR_BITS // width)
        codes, slot, code, mask, plane_end, out, self.first_entry, self.first_plane, self.last_plane = arguments
        pointer = self.cell.as_pointer()
        word = ir.IntType(32).as_pointer()
        self.codes = builder.inttoptr(codes, pointer)
        self.slot = builder.inttoptr(slot, word)
        self.code = builder.inttoptr(code, pointer)
        self.mask = builder.inttoptr(mask, pointer)
        self.plane_end = builder.inttoptr(plane_end, word)
        self.out = builder.inttoptr(out, pointer)
        self.zeros = ir.Constant(self.vector, [0] * self.vector.count)
        self.ones = ir.Constant(self.vector, [-1] * self.vector.count)
        self.bits = [self._register("bits") for _ in range(RUN)]
        self.found = [self._register("found") for _ in range(RUN)]
        self.base = [self._register("base") for _ in range(RUN)]

    def _register(self, name: str) -> Any:
        # LLVM makes registers of these.
        return cgutils.alloca_once(self.builder, self.vector, name=name)

    def _int(self, value: int) -> Any:
        return ir.Constant(ir.IntType(64), value)

    def _vectors(self, start: Any, index: int) -> Any:
        """Return where vector number `index` of the run that begins at `start` lies."""
        place = self.builder.gep(start, [self._int(index * self.vector.count)])
        return self.builder.bitcast(place, self.vector.as_pointer())

    def write(self) -> None:
        """Write the loop over the block's runs."""
        rows = RUN * self.vector.count
        with cgutils.for_range_slice(self.builder, self._int(0), self._int(BLOCK), self._int(rows), ir.IntType(64)) as (
            row,
            _,
        ):
            for register in (*self.found, *self.base):
                self.builder.store(self.zeros, register)
            self._write_planes(row)
            self._write_leaves(row)

    def _write_planes(self, row: Any) -> None:
        builder = self.builder
        n_planes = builder.sub(self.last_plane, self.first_plane)
        entry = cgutils.alloca_once_value(builder, self.first_entry)
        with cgutils.for_range(builder, n_planes, intp=ir.IntType(64)) as loop:
            for register in self.bits:
                builder.store(self.ones, register)
            place = builder.gep(self.plane_end, [builder.add(self.first_plane, loop.index)])
            end = builder.sext(builder.load(place), ir.IntType(64))
            with cgutils.for_range_slice(builder, builder.load(entry), end, self._int(1), ir.IntType(64)) as (
                at,
                _,
            ):
                self._write_entry(at, row)
            builder.store(end, entry)
            # Planes come last to first, so the last one found not empty holds the lowest bit.
            number = builder.sub(builder.sub(n_planes, self._int(1)), loop.index)
            first_bit = builder.trunc(builder.mul(number, self._int(self.width)), self.cell)
            base = _splat(builder, first_bit, self.vector)
            for index in range(RUN):
                bits = builder.load(self.bits[index])
                some = builder.icmp_signed("!=", bits, self.zeros)
                self._update(self.found[index], some, bits)
                self._update(self.base[index], some, base)

    def _cttz(self) -> Any:
        """Return LLVM's count of trailing zeros, lane by lane (llvmlite's own `cttz` takes scalars only)."""
        signature = ir.FunctionType(self.vector, [self.vector, ir.IntType(1)])
        name = f"llvm.cttz.v{self.vector.count}i{self.width}"
        return cgutils.get_or_insert_function(self.builder.module, signature, name)

    def _update(self, register: Any, where: Any, value: Any) -> None:
        self.builder.store(self.builder.select(where, value, self.builder.load(register)), register)

    def _write_entry(self, at: Any, row: Any) -> None:
        builder = self.builder
        slot = builder.sext(builder.load(builder.gep(self.slot, [at])), ir.IntType(64))
        start = builder.add(builder.mul(slot, self._int(BLOCK)), row)
        place = builder.gep(self.codes, [start])
        limit = _splat(builder, builder.load(builder.gep(self.code, [at])), self.vector)
        keep = _splat(builder, builder.load(builder.gep(self.mask, [at])), self.vector)
        for index in range(RUN):
            codes = builder.load(self._vectors(place, index), align=1)
            fails = builder.icmp_signed(">", codes, limit)
            kept = builder.select(fails, keep, self.ones)
            bits = builder.load(self.bits[index])
            builder.store(builder.and_(bits, kept), self.bits[index])

    def _write_leaves(self, row: Any) -> None:
        builder = self.builder
        place = builder.gep(self.out, [row])
        is_poison = ir.Constant(ir.IntType(1), 0)
        for index in range(RUN):
            lowest = builder.call(self._cttz(), [builder.load(self.found[index]), is_poison])
            leaf = builder.add(lowest, builder.load(self.base[index]))
            builder.store(leaf, self._vectors(place, index), align=1)


def _exit_leaves(
    typing_context: Any,
    codes: Any,
    slot: Any,
    code: Any,
    mask: Any,
    plane_end: Any,
    out: Any,
    first_entry: Any,
    first_plane: Any,
    last_plane: Any,
    cells: Any,
) -> Any:
    signature = types.void(*([types.intp] * 9), cells)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        _TreeCode(builder, arguments[:9], cells.dtype.bitwidth).write()
        return context.get_dummy_value()

    return signature, generate


exit_leaves: Any = intrinsic(_exit_leaves)
"""exit_leaves(codes, slot, code, mask, plane_end, out, first_entry, first_plane, last_plane, cells)

Addresses of arrays, see `Layout`; `codes` is (n_slots, BLOCK), `out` (BLOCK,), their cells as wide as those
of the array `cells`, which only tells the type. Writes to `out` the exit leaf of each of the block's rows in
the tree whose planes are first_plane..last_plane - 1.
"""


DEALT_ROWS = 16
"""Words that are dealt out at a time."""


def _deal_out(typing_context: Any, words: Any, codes: Any, stride: Any, n_rows: Any, cells: Any) -> Any:
    signature = types.void(*([types.intp] * 4), cells)

    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        words, codes, stride, n_rows, _ = arguments
        bits = cells.dtype.bitwidth
        width = 64 // bits
        cell, long = ir.IntType(bits), ir.IntType(64)
        whole = ir.VectorType(cell, DEALT_ROWS * width)
        part = ir.VectorType(cell, DEALT_ROWS)
        source = builder.inttoptr(words, long.as_pointer())
        target = builder.inttoptr(codes, cell.as_pointer())
        step = ir.Constant(long, DEALT_ROWS)
        with cgutils.for_range_slice(builder, ir.Constant(long, 0), n_rows, step, long) as (row, _):
            place = builder.bitcast(builder.gep(source, [row]), whole.as_pointer())
            held = builder.load(place, align=1)
            for lane in range(width):
                picked = [number * width + lane for number in range(DEALT_ROWS)]
                mask = ir.Constant(ir.VectorType(ir.IntType(32), DEALT_ROWS), picked)
                column = builder.shuffle_vector(held, ir.Constant(whole, ir.Undefined), mask)
                start = builder.add(builder.mul(stride, ir.Constant(long, lane)), row)
                out = builder.bitcast(builder.gep(target, [start]), part.as_pointer())
                builder.store(column, out, align=1)
        return context.get_dummy_value()

    return signature, generate


deal_out: Any = intrinsic(_deal_out)
"""deal_out(words, codes, stride, n_rows, cells)

Deals the cells of words (n_rows,) out to rows of codes: the first cell of each word to the first row of codes, the
second to the one `stride` cells further on, and so on. Addresses; `n_rows` is a multiple of DEALT_ROWS; the array
`cells` only tells the type.
"""
