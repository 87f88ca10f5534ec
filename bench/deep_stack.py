"""A call that uses up a given amount of C stack and then calls a Python function.

Nested calls of Python-visible functions can't reach 5 MB everywhere (CPython 3.12 allows some 500 nested `sorted`,
about 2.5 MB). So the stack is filled by one call of libc's `qsort`, with one argument too many: a huge structure,
passed by value, which the calling convention copies onto the stack and `qsort` ignores. Its comparison function is
ours. How often the structure is copied depends on the version of libffi and is measured.
"""

from __future__ import annotations

import ctypes
import functools
from collections.abc import Callable
from pathlib import Path

from bench.machine import kilobytes

PROBE = 1_000_000


def deep_call(function: Callable[[], object], stack: int) -> Callable[[], None]:
    """A function that calls `function` with `stack` bytes of C stack in use, each page of them written."""
    return _with_ballast(function, stack // _copies())


def _with_ballast(function: Callable[[], object], size: int) -> Callable[[], None]:
    class Ballast(ctypes.Structure):
        _fields_ = (("filling", ctypes.c_byte * size),)

    comparison = ctypes.PYFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_void_p)
    qsort = ctypes.PyDLL(None)["qsort"]
    qsort.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_size_t, comparison, Ballast]
    two_items = (ctypes.c_char * 2)()
    ballast = Ballast.from_buffer(bytearray(b"\x01") * size)

    def compare(_first: int, _second: int) -> int:
        function()
        return 0

    callback = comparison(compare)

    def call() -> None:
        qsort(two_items, 2, 1, callback, ballast)

    return call


@functools.cache
def _copies() -> int:
    """How many copies of an argument end up on the stack: the mapping of the main thread's stack grows by them."""

    def stack() -> int:
        return kilobytes(Path("/proc/self/status"), "VmStk") * 1024

    before = stack()
    _with_ballast(lambda: None, PROBE)()
    copies = round((stack() - before) / PROBE)
    if copies < 1:
        raise RuntimeError("the C stack has been deep already; measure in a fresh process, on the main thread")
    return copies
