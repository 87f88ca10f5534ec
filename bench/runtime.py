"""Green threads and time, beside gevent. The workloads take the package: both have the same names."""

from __future__ import annotations

import gc
from functools import partial
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import Faster, Operation, Row, beside_gevent
from bench.resident import resident_bytes

DISTRIBUTIONS = ("gossamer", "gevent")


def spawn_and_join(green: ModuleType, count: int) -> Operation:
    """`count` green threads that do nothing, all started before the first is joined."""

    def run(units: int) -> None:
        for _ in repeat(None, units):
            threads = [green.spawn(_nothing) for _ in range(count)]
            for thread in threads:
                thread.join()

    return Operation(run, per_unit=count)


def sleep_zero(green: ModuleType, count: int) -> Operation:
    """One turn of one of `count` green threads that do nothing but let the others go first."""

    def turns(units: int) -> None:
        for _ in repeat(None, units):
            green.sleep(0)

    def run(units: int) -> None:
        threads = [green.spawn(turns, units) for _ in range(count)]
        for thread in threads:
            thread.join()

    return Operation(run, per_unit=count)


def timeout(green: ModuleType) -> Operation:
    """A Timeout set around a block that is done in time."""

    def run(units: int) -> None:
        for _ in repeat(None, units):
            with green.Timeout(60):
                pass

    return Operation(run)


def sleeping_bytes(green: ModuleType, count: int) -> float:
    """Resident bytes of one of `count` sleeping green threads, the object included."""
    green.spawn(_nothing).join()
    keep: list[Any] = [None] * count
    gc.collect()
    before = resident_bytes()
    for index in range(count):
        keep[index] = green.spawn(green.sleep, 3600)
    green.sleep(0)
    green.sleep(0)
    return (resident_bytes() - before) / count


def _nothing() -> None:
    pass


_pair = partial(beside_gevent, __name__)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [
        Row("spawn and join of 100,000", "ns", *_pair("spawn_and_join", count=100_000), (Faster(30),), 1_500_000_000),
        Row("sleep(0) among 100 green threads", "ns", *_pair("sleep_zero", count=100), (Faster(15),)),
        Row("Timeout set and cancelled", "ns", *_pair("timeout")),
        Row(
            "memory of a sleeping green thread, 100,000 of them",
            "bytes",
            *_pair("sleeping_bytes", count=100_000),
            (Faster(2.5),),
            1_500_000_000,
        ),
    ]
