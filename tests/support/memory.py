"""Counters that show a leak: resident memory, instances of a type, references of a debug build."""

import gc
import os
import sys
from collections.abc import Callable

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
