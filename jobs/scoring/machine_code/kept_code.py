"""Kernels' machine code on disk, loaded and run without numba, whose import takes a quarter of a second.

numba compiles a kernel once, with an entry that takes one address (`jobs.scoring.machine_code.entry`), and its object
file is kept in `kernel_directory`. A later process hands that to LLVM, which links it in milliseconds, and calls it
with a block of words: the addresses and shapes of the arrays. The few functions of numba's runtime that kernels call,
to allocate and to free, come from numba's own extension modules, which need no other part of it.
"""

from __future__ import annotations

import ctypes
import hashlib
import importlib.util
import os
import struct
import sys
import tempfile
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from functools import cache
from importlib.machinery import EXTENSION_SUFFIXES, ExtensionFileLoader
from pathlib import Path
from typing import Any

import numpy as np

from jobs.scoring.machine_code.kernel_cache import kernel_directory, only_one_compiles

#: numba's modules of C functions, and what its machine code calls them by.
_RUNTIME = {"numba.core.runtime._nrt_python": "NRT_", "numba._helperlib": "numba_"}
#: The entry's answer lies at the first address; it returns 0 or, where a kernel answers nothing, -2.
_ENTRY = ctypes.CFUNCTYPE(ctypes.c_int32, ctypes.c_void_p, ctypes.c_void_p, ctypes.c_int64)
_DONE = (0, -2)
_DIGEST_BYTES = 32
#: Its magic number, 64 bits, little-endian.
_ELF = b"\x7fELF\x02\x01"

#: Codes by kernel and kind of arguments; None is one that only numba can run here.
_codes: dict[tuple[str, str], Code | None] = {}
_lock = threading.Lock()


class Code:
    """A kernel's machine code, in memory. Other threads run while it does.

    Parameters
    ----------
    engine
        What the code lives in.
    symbol
        The name of its entry.
    """

    def __init__(self, engine: Any, symbol: str) -> None:
        self._engine = engine
        self._entry = _ENTRY(engine.get_function_address(symbol))

    def __call__(self, words: Sequence[int]) -> bool:
        """Run it on arguments as `words_of` gives them, whose arrays the caller keeps alive; gives what it answers.

        Raises
        ------
        MemoryError
            It could not allocate what it works on; a kernel fails in no other way.
        """
        block = (ctypes.c_int64 * len(words))(*words)
        answer, raised = ctypes.c_int64(0), ctypes.c_void_p()
        if self._entry(ctypes.byref(answer), ctypes.byref(raised), ctypes.addressof(block)) not in _DONE:
            raise MemoryError("a scoring kernel could not get the memory that it works in")
        return bool(answer.value & 1)


def words_of(arguments: Sequence[Any]) -> list[int]:
    """Return arguments as the entry reads them: addresses and shapes of arrays, numbers, tuples part by part."""
    words: list[int] = []
    for value in arguments:
        if isinstance(value, np.ndarray):
            words += (value.ctypes.data, *value.shape)
        elif isinstance(value, tuple):
            words += words_of(value)
        elif isinstance(value, (float, np.floating)):
            bits = np.array([value, 0], value.dtype if isinstance(value, np.floating) else np.float64)
            words.append(int(bits.view(np.int64)[0]))
        else:
            # Two's complement: an unsigned number keeps its bits.
            words.append((int(value) + (1 << 63)) % (1 << 64) - (1 << 63))
    return words


def code_for(kernel: str, arguments: Sequence[Any], dispatcher: Callable[[], Any]) -> Code | None:
    """Return a kernel's code for arguments like these, compiled once on this machine.

    Parameters
    ----------
    kernel
        Its name.
    arguments
        Arrays in C order, numbers, and named tuples of them.
    dispatcher
        Gives numba's dispatcher of the kernel, and so imports numba.

    Returns
    -------
    Code or None
        None where object files cannot be kept, or linked, here; then numba runs the kernel.
    """
    kind = _kind_of(arguments)
    with _lock:
        if (kernel, kind) not in _codes:
            _codes[kernel, kind] = _make(kernel, kind, arguments, dispatcher)
        return _codes[kernel, kind]


def _kind_of(arguments: Sequence[Any]) -> str:
    """Describe the types of arguments, as far as code depends on them."""
    kinds = []
    for value in arguments:
        if isinstance(value, np.ndarray):
            # Code reads addresses in C order: arrays that are not in it are another kind, which numba runs.
            order = "" if value.flags.c_contiguous else "strided"
            kinds.append(f"{value.dtype.str}{value.ndim}{'w' if value.flags.writeable else 'r'}{order}")
        elif isinstance(value, tuple):
            kinds.append(f"{type(value).__name__}({_kind_of(value)})")
        else:
            kinds.append(type(value).__name__)
    return ",".join(kinds)


def _in_c_order(arguments: Sequence[Any]) -> bool:
    arrays = (value for value in arguments if isinstance(value, np.ndarray))
    tuples = (value for value in arguments if isinstance(value, tuple))
    return all(value.flags.c_contiguous for value in arrays) and all(_in_c_order(value) for value in tuples)


def _make(kernel: str, kind: str, arguments: Sequence[Any], dispatcher: Callable[[], Any]) -> Code | None:
    directory = kernel_directory()
    if directory is None or not _in_c_order(arguments):
        return None
    with suppress(OSError):
        file = directory / f"{kernel}-{hashlib.sha256(f'{kind} {_processor()}'.encode()).hexdigest()[:16]}.o"
        code = _linked(_read(file))
        if code is None:
            with only_one_compiles():
                # While this process waited another one may have compiled it.
                code = _linked(_read(file)) or _compiled(file, arguments, dispatcher())
        return code
    return None


def _processor() -> str:
    """Name the processor that code is compiled for."""
    import llvmlite.binding as llvm

    return f"{llvm.get_host_cpu_name()} {llvm.get_host_cpu_features().flatten()}"


def _compiled(file: Path, arguments: Sequence[Any], dispatcher: Any) -> Code | None:
    from jobs.scoring.machine_code.entry import compile_entry

    symbol, code = compile_entry(dispatcher, arguments)
    found = _linked((symbol, code))
    if found is not None:
        # Where it cannot be kept, as on a full disk, the next process compiles for itself.
        with suppress(OSError):
            _write(file, symbol.encode() + b"\n" + code)
    return found


def _write(file: Path, content: bytes) -> None:
    descriptor, name = tempfile.mkstemp(dir=file.parent, suffix=".part")
    try:
        with os.fdopen(descriptor, "wb") as part:
            part.write(hashlib.sha256(content).digest() + content)
        Path(name).replace(file)
    except OSError:
        Path(name).unlink()
        raise


def _read(file: Path) -> tuple[str, bytes] | None:
    """Read a symbol and its object file, None if there is none that is whole."""
    try:
        held = file.read_bytes()
    except FileNotFoundError:
        return None
    content = held[_DIGEST_BYTES:]
    if hashlib.sha256(content).digest() != held[:_DIGEST_BYTES]:
        return None
    symbol, _, code = content.partition(b"\n")
    return symbol.decode(), code


def _linked(held: tuple[str, bytes] | None) -> Code | None:
    """Link an object file into this process; None where it calls something that is not there, or is none of ELF's."""
    if held is None:
        return None
    import llvmlite.binding as llvm

    symbol, code = held
    for module, prefix in _RUNTIME.items():
        for name, address in _functions_of(module).items():
            llvm.add_symbol(name if name.startswith("_") else prefix + name, address)
    names = [name for name in undefined_names(code) if llvm.address_of_symbol(name) is None]
    # What is left is the C library's. LLVM ends the process at a name that it cannot resolve.
    process = ctypes.CDLL(None)
    if not code.startswith(_ELF) or not all(hasattr(process, name) for name in names):
        return None
    for name in names:
        llvm.add_symbol(name, ctypes.cast(getattr(process, name), ctypes.c_void_p).value or 0)
    llvm.initialize_native_target()
    llvm.initialize_native_asmprinter()
    machine = llvm.Target.from_default_triple().create_target_machine(jit=True)
    engine = llvm.create_mcjit_compiler(llvm.parse_assembly(""), machine)
    engine.add_object_file(llvm.ObjectFileRef.from_data(code))
    engine.finalize_object()
    return Code(engine, symbol)


@cache
def _functions_of(module: str) -> dict[str, int]:
    """Return the addresses of the C functions of one of numba's extension modules, without importing numba."""
    loaded = sys.modules.get(module) or _extension(module)
    return dict(loaded.c_helpers) if loaded is not None else {}


def _extension(module: str) -> Any:
    numba = importlib.util.find_spec("numba")
    places = numba.submodule_search_locations if numba is not None else None
    for place in places or ():
        for suffix in EXTENSION_SUFFIXES:
            file = Path(place).joinpath(*module.split(".")[1:]).with_suffix(suffix)
            if file.exists():
                loader = ExtensionFileLoader(module, str(file))
                spec = importlib.util.spec_from_file_location(module, file, loader=loader)
                assert spec is not None
                loaded = importlib.util.module_from_spec(spec)
                loader.exec_module(loaded)
                return loaded
    return None


def undefined_names(code: bytes) -> Iterator[str]:
    """Yield the names that an object file of 64-bit ELF looks for elsewhere; of other files nothing.

    Source: the generic ABI of System V, chapter 4, "Sections" and "Symbol table".
    """
    if not code.startswith(_ELF):
        return
    (sections_at,) = struct.unpack_from("<Q", code, 0x28)
    size, count = struct.unpack_from("<HH", code, 0x3A)
    sections = [struct.unpack_from("<IIQQQQIIQQ", code, sections_at + place * size) for place in range(count)]
    for _, kind, _, _, start, length, link, *_ in sections:
        if kind != 2:
            continue
        texts = sections[link][4]
        for place in range(start, start + length, 24):
            name, _, _, section = struct.unpack_from("<IBBH", code, place)
            if section == 0 and name:
                yield code[texts + name : code.index(b"\0", texts + name)].decode()
