"""Counters that show a leak: resident memory, instances of a type, references of a debug build. An end of memory."""

import gc
import os
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.support.free_threading import IS_FREE_THREADED

PAGE = os.sysconf("SC_PAGE_SIZE")


def resident_bytes() -> int:
    """Resident memory of this process, in bytes."""
    with open("/proc/self/statm") as statm:
        return int(statm.read().split()[1]) * PAGE


def mapping_count() -> int:
    """How many memory mappings this process has."""
    with open("/proc/self/maps") as maps:
        return sum(1 for _ in maps)


def instances_of(kind: type) -> int:
    """How many instances of `kind` or of a subclass the garbage collector knows."""
    return sum(1 for thing in gc.get_objects() if isinstance(thing, kind))


def total_references() -> int | None:
    """`sys.gettotalrefcount()` of a debug build, None elsewhere."""
    total: Callable[[], int] | None = getattr(sys, "gettotalrefcount", None)
    return total() if total else None


def least_growth(work: Callable[[], object], measure: Callable[[], int], *, warm_up: int = 2, rounds: int = 4) -> int:
    """The smallest growth of `measure` over one call of `work`, after `warm_up` calls; a leak grows every time."""
    for _ in range(warm_up):
        work()
    growths = []
    for _ in range(rounds):
        gc.collect()
        before = measure()
        work()
        gc.collect()
        growths.append(measure() - before)
    return min(growths)


def forget_methods() -> None:
    """Empty the interpreter's cache of methods. It keeps the names that were looked up, up to 4096 of them."""
    getattr(sys, "_clear_internal_caches" if sys.version_info >= (3, 13) else "_clear_type_cache")()


def leaks(
    work: Callable[[], object],
    least: int,
    *,
    warm_up: int = 1,
    rounds: int = 12,
    settle: Callable[[], object] = int,
) -> dict[str, int]:
    """Which of the counts that this interpreter keeps grow by `least` or more with each of so many calls of `work`.

    Memory blocks are counted, and on a debug build references, each time after `settle`. The first call that leaves
    less acquits: caches of the interpreter (of methods, a data base's cursors) grow for a while, a leak for ever. For
    work in which the interpreter itself looks up thousands of names that are not interned, a while is too long:
    `settle` is `forget_methods` there.
    """

    def settled_work() -> None:
        work()
        settle()

    counted: dict[str, Callable[[], int]] = {"memory blocks": sys.getallocatedblocks}
    if total_references() is not None:
        counted["references"] = lambda: total_references() or 0
    for _ in range(warm_up):
        settled_work()
    found = {}
    for name, count in counted.items():
        growths: list[int] = []
        while len(growths) < rounds and min(growths, default=least) >= least:
            growths.append(least_growth(settled_work, count, warm_up=0, rounds=1))
        if min(growths) >= least:
            found[name] = min(growths)
    return found


limits_address_space = pytest.mark.skipif(
    IS_FREE_THREADED or "libasan" in Path("/proc/self/maps").read_text(),
    reason="AddressSanitizer and the allocator of free-threaded builds reserve more than can be limited",
)

# What a child runs before it lets its memory end: exhaust() and release().
EXHAUSTION = """
import ctypes, resource, sys
from gossamer.switching import counts, getcurrent, greenlet

libc = ctypes.CDLL(None)
libc.malloc.restype = ctypes.c_void_p
libc.malloc.argtypes = [ctypes.c_size_t]
libc.free.argtypes = [ctypes.c_void_p]
main = getcurrent()

def exhaust(least=256):
    '''Every block of `least` bytes and more is taken.'''
    taken = []
    with open("/proc/self/statm") as file:
        pages = int(file.read().split()[0])
    resource.setrlimit(resource.RLIMIT_AS, (pages * 4096, resource.RLIM_INFINITY))
    size = 1 << 20
    while size >= least:
        try:
            block = libc.malloc(size)
            if block:
                taken.append(block)
                continue
        except MemoryError:
            pass                     # nor is there any for what Python needs for the call
        size //= 2
    return taken

def release(taken):
    resource.setrlimit(resource.RLIMIT_AS, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
    while taken:
        libc.free(taken.pop())

def nested(depth, work):
    '''Python and C frames in turn, so that a slice is a few kilobytes.'''
    return work() if depth == 0 else next(map(nested, [depth - 1], [work]))
"""
