"""Switching: gossamer.switching beside greenlet, and beside what the interpreter itself can do (`generator.send`).

The workloads take the module that gives `greenlet` and `getcurrent`; both packages have the same interface. They are
written as a program would write them. Unless said otherwise a round trip is one switch into a greenlet and its switch
back, and a round robin is the main greenlet switching into each of the others in turn.
"""

from __future__ import annotations

import gc
import sys
import threading
import time
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.deep_stack import deep_call
from bench.model import Cost, CostAtMost, Faster, Operation, Row, Side, ValueAtMost
from bench.resident import resident_bytes

DISTRIBUTIONS = ("gossamer", "greenlet")

DEEP_STACK = 5_000_000
"""Bytes of C stack that each of the greenlets of `left_by_deep_stacks` uses."""


def round_trip(switching: ModuleType) -> Operation:
    """Main greenlet and another one."""
    other = _parked(switching, 1)[0]

    def run(units: int) -> None:
        for _ in repeat(None, units):
            other.switch()

    return Operation(run)


def round_trip_with_value(switching: ModuleType) -> Operation:
    """The same, handing a value over: what `generator_round_trip` does with a generator."""
    main = switching.getcurrent()

    def partner(value: object) -> None:
        while True:
            value = main.switch(value)

    other = switching.greenlet(partner)
    other.switch(None)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            other.switch(None)

    return Operation(run)


def generator_round_trip() -> Operation:
    """The interpreter's own switch: `generator.send` and `yield`."""

    def partner() -> Any:
        value = None
        while True:
            value = yield value

    generator = partner()
    generator.send(None)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            generator.send(None)

    return Operation(run)


def deep_round_trip(switching: ModuleType, depth: int) -> Operation:
    """Main greenlet and another one that is `depth` Python frames deep."""
    main = switching.getcurrent()

    def descend(levels: int) -> None:
        while levels <= 1:
            main.switch()
        descend(levels - 1)

    other = switching.greenlet(descend)
    other.switch(depth)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            other.switch()

    return Operation(run)


def create_run_end(switching: ModuleType) -> Operation:
    """A greenlet's whole life, with one Python frame."""
    greenlet = switching.greenlet

    def run(units: int) -> None:
        for _ in repeat(None, units):
            greenlet(_nothing).switch()

    return Operation(run)


def create_run_end_deep(switching: ModuleType, depth: int) -> Operation:
    """A greenlet's whole life, with `depth` Python frames; what those calls cost by themselves is in it."""
    greenlet = switching.greenlet

    def run(units: int) -> None:
        for _ in repeat(None, units):
            greenlet(_descend).switch(depth - 1)

    return Operation(run)


def round_robin(switching: ModuleType, count: int) -> Operation:
    """All of `count` greenlets in turn."""
    greenlets = _parked(switching, count)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            for one in greenlets:
                one.switch()

    return Operation(run, per_unit=count)


def nested_round_robin(switching: ModuleType, count: int, levels: int) -> Operation:
    """All of `count` greenlets in turn, each parked under `levels` nested C calls (`sorted` calling its key)."""
    main = switching.getcurrent()

    def descend(levels_left: int) -> int:
        while not levels_left:
            main.switch()
        return len(sorted((levels_left - 1,), key=descend))

    greenlets = [switching.greenlet(descend) for _ in range(count)]

    def run(units: int) -> None:
        for _ in repeat(None, units):
            for one in greenlets:
                one.switch()

    for one in greenlets:
        one.switch(levels)
    return Operation(run, per_unit=count)


def two_among_parked(switching: ModuleType, others: int) -> Operation:
    """Two greenlets, started first, that switch to each other while `others` more are parked."""
    main = switching.getcurrent()

    def ping() -> None:
        while True:
            units = main.switch()
            for _ in repeat(None, units):
                second.switch()

    def pong() -> None:
        while True:
            first.switch()

    first, second = switching.greenlet(ping), switching.greenlet(pong)
    first.switch()
    parked = _parked(switching, others)

    def run(units: int) -> None:
        first.switch(units)
        assert len(parked) == others

    return Operation(run)


def first_in_thread(switching: ModuleType) -> Operation:
    """A new thread's first greenlet, created, run and ended; the thread's own start and end are not counted."""

    def body(costs: list[Cost]) -> None:
        wall, cpu = time.perf_counter(), time.thread_time()
        switching.greenlet(_nothing).switch()
        costs.append(Cost(time.perf_counter() - wall, time.thread_time() - cpu))

    def run(units: int) -> Cost:
        costs: list[Cost] = []
        for _ in repeat(None, units):
            thread = threading.Thread(target=body, args=(costs,))
            thread.start()
            thread.join()
        return Cost(sum(cost.wall for cost in costs), sum(cost.cpu for cost in costs))

    return Operation(run)


def thread_with_greenlet(switching: ModuleType) -> Operation:
    """A thread that runs one greenlet, from its start to its join: what is put off to the thread's end counts too."""

    def body() -> None:
        switching.greenlet(_nothing).switch()

    def run(units: int) -> None:
        for _ in repeat(None, units):
            thread = threading.Thread(target=body)
            thread.start()
            thread.join()

    return Operation(run)


def parked_bytes(switching: ModuleType, count: int) -> float:
    """Resident bytes of one of `count` parked greenlets, the object included."""
    _parked(switching, 1)
    keep: list[Any] = [None] * count
    gc.collect()
    before = resident_bytes()
    main = switching.getcurrent()

    def stay() -> None:
        while True:
            main.switch()

    for index in range(count):
        keep[index] = switching.greenlet(stay)
        keep[index].switch()
    return (resident_bytes() - before) / count


def left_by_deep_stacks(switching: ModuleType, count: int) -> float:
    """Megabytes that stay resident after `count` greenlets, parked deep all at once, have ended."""
    main = switching.getcurrent()
    go_deep = deep_call(main.switch, DEEP_STACK)
    _parked(switching, 1)
    gc.collect()
    before = resident_bytes()
    greenlets = [switching.greenlet(go_deep) for _ in range(count)]
    for one in greenlets:
        one.switch()
    for one in greenlets:
        one.switch()
    assert all(one.dead for one in greenlets)
    gc.collect()
    return (resident_bytes() - before) / 1e6


def _nothing() -> None:
    pass


def _descend(levels: int) -> None:
    """Python frames, `levels` more of them than this one."""
    if levels:
        _descend(levels - 1)


def _parked(switching: ModuleType, count: int) -> list[Any]:
    """Greenlets that have run to their first switch back to the main greenlet, and switch back whenever resumed."""
    main = switching.getcurrent()

    def stay() -> None:
        while True:
            main.switch()

    greenlets = [switching.greenlet(stay) for _ in range(count)]
    for one in greenlets:
        one.switch()
    return greenlets


def _pair(workload: str, **parameters: int) -> tuple[Side, Side]:
    """The same workload on both packages."""
    name = f"{__name__}:{workload}"
    return Side("gossamer", name, "gossamer.switching", parameters), Side("greenlet", name, "greenlet", parameters)


def _growth(workload: str, name: str, few: int, many: int) -> tuple[Side, Side]:
    """Our workload with many of something, and with few."""
    path, package = f"{__name__}:{workload}", "gossamer.switching"
    return Side("gossamer", path, package, {name: many}), Side(f"{few} of them", path, package, {name: few})


def rows(parked: int) -> list[Row]:
    """The rows of this topic; `parked` is the number of greenlets in the largest crowd (1,000,000 in full)."""
    with_value = Side("gossamer", f"{__name__}:round_trip_with_value", "gossamer.switching")
    by_generator = Side("gen.send", f"{__name__}:generator_round_trip", None)
    parked_limit = 2000 if sys.version_info < (3, 14) else 2400
    return [
        Row("switch round trip", "ns", *_pair("round_trip"), (Faster(7), Faster(7.5))),
        Row("switch round trip, a value handed over", "ns", with_value, by_generator, (CostAtMost(1.3),)),
        Row("switch round trip, 30 Python frames deep", "ns", *_pair("deep_round_trip", depth=30), (Faster(7),)),
        Row("create, run, end", "ns", *_pair("create_run_end"), (Faster(40), Faster(50))),
        Row("create, run, end, 30 Python frames deep", "ns", *_pair("create_run_end_deep", depth=30), (Faster(7),)),
        Row("round robin over 100", "ns", *_pair("round_robin", count=100), (Faster(2),)),
        Row("round robin over 1,000", "ns", *_pair("round_robin", count=1_000), (Faster(2),)),
        Row("round robin over 10,000", "ns", *_pair("round_robin", count=10_000), (Faster(3),)),
        Row("round robin over 100,000", "ns", *_pair("round_robin", count=100_000), (Faster(2),), 1_500_000_000),
        Row(
            "round robin over 100,000 against 100",
            "ns",
            *_growth("round_robin", "count", few=100, many=100_000),
            (CostAtMost(8),),
            500_000_000,
        ),
        Row(
            "round robin over 20, each under 50 nested C calls",
            "ns",
            *_pair("nested_round_robin", count=20, levels=50),
            (Faster(100),),
        ),
        Row(
            "round robin over 400, each under 50 nested C calls",
            "ns",
            *_pair("nested_round_robin", count=400, levels=50),
            (Faster(50), Faster(100)),
            1_500_000_000,
        ),
        Row(
            f"two switching among {parked:,} parked",
            "ns",
            *_growth("two_among_parked", "others", few=10, many=parked),
            (CostAtMost(1.3),),
            4_000 * parked,
        ),
        Row("first greenlet in a new thread", "us", *_pair("first_in_thread"), (Faster(1),)),
        Row("thread with one greenlet, start to join", "us", *_pair("thread_with_greenlet")),
        Row(
            "memory of a parked greenlet, 100,000 of them",
            "bytes",
            *_pair("parked_bytes", count=100_000),
            (ValueAtMost(parked_limit),),
            1_500_000_000,
        ),
        Row(
            "memory left by 50 that used 5 MB of stack and ended",
            "MB",
            *_pair("left_by_deep_stacks", count=50),
            (ValueAtMost(20),),
            1_500_000_000,
        ),
    ]
