"""The entry of a kernel: a function that takes one address, and hands the kernel the arguments that lie there.

numba passes an array as its parts, and a tuple as those of all its members; the entry builds both from words, so that
who calls it needs neither numba nor the dozens of parameters. The words are those of
`jobs.scoring.machine_code.kept_code.words_of`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numba
from numba import types as typed_types
from numba.extending import intrinsic
from numba.np import arrayobj as untyped_arrayobj

types: Any = typed_types
arrayobj: Any = untyped_arrayobj
#: Its types know neither the options of functions that Python does not call, nor what a dispatcher has.
njit: Any = numba.njit


def compile_entry(dispatcher: Any, arguments: Sequence[Any]) -> tuple[str, bytes]:
    """Compile a kernel with its entry, for arguments like these; gives the entry's symbol and the object file."""
    # A kernel that came from numba's cache would be another object file: this one holds everything.
    kernel = njit(nogil=True)(dispatcher.py_func)
    typeof: Any = vars(numba)["typeof"]
    take = _reader_of(types.Tuple([typeof(argument) for argument in arguments]))

    def entry(address: Any) -> Any:
        return kernel(*take(address))

    # Nobody calls it from Python, so it gets no wrapper, and the object file no names of Python's.
    compiled = njit(nogil=True, no_cpython_wrapper=True, no_cfunc_wrapper=True)(entry)
    compiled.compile((types.intp,))
    (result,) = compiled.overloads.values()
    # numba 0.6x has no public way to ask for it; its own cache on disk asks the same.
    return str(result.fndesc.llvm_func_name), bytes(getattr(result.library, "_get_compiled_object")())  # noqa: B009


def _reader_of(kind: Any) -> Any:
    """Return an intrinsic that reads a tuple of arguments from the words at an address."""

    def _take(typing_context: Any, address: Any) -> Any:
        def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
            words = builder.inttoptr(arguments[0], context.get_value_type(types.intp).as_pointer())
            return _Words(context, builder, words).read(kind)

        return kind(types.intp), generate

    return intrinsic(_take)


class _Words:
    """Writes the code that reads arguments from words, one after the other."""

    def __init__(self, context: Any, builder: Any, words: Any) -> None:
        self._context, self._builder, self._words = context, builder, words
        self._place = 0

    def _next(self) -> Any:
        """Return where the next word lies."""
        place = self._context.get_constant(types.intp, self._place)
        self._place += 1
        return self._builder.gep(self._words, [place])

    def read(self, kind: Any) -> Any:
        """Return the value of a type that lies next."""
        if isinstance(kind, types.BaseTuple):
            return self._context.make_tuple(self._builder, kind, [self.read(one) for one in kind.types])
        if isinstance(kind, types.Array):
            return self._array(kind)
        stored = self._context.get_data_type(kind)
        value = self._builder.load(self._builder.bitcast(self._next(), stored.as_pointer()))
        return self._context.data_model_manager[kind].from_data(self._builder, value)

    def _array(self, kind: Any) -> Any:
        context, builder = self._context, self._builder
        cell = context.get_data_type(kind.dtype)
        data = builder.inttoptr(builder.load(self._next()), cell.as_pointer())
        shape = [builder.load(self._next()) for _ in range(kind.ndim)]
        step = context.get_constant(types.intp, context.get_abi_sizeof(cell))
        strides = [step]
        for length in reversed(shape[1:]):
            strides.insert(0, builder.mul(strides[0], length))
        array = context.make_array(kind)(context, builder)
        size = context.get_abi_sizeof(cell)
        # Without an owner: whoever calls keeps it alive.
        arrayobj.populate_array(array, data=data, shape=shape, strides=strides, itemsize=size, meminfo=None)
        return array._getvalue()
