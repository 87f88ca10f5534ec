"""Green threads: the hub and the first blocking points beside gevent.

The workloads take the module that gives `spawn` and `sleep`: gevent, and until its names exist here gossamer._core.
Those on the standard library's own sockets and queues are the same source text on both sides: gevent's runs after
`monkey.patch_all()`, ours as it is.
"""

from __future__ import annotations

import gc
import queue
import socket
import threading
from collections.abc import Callable
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import Faster, Operation, Row, Side
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


def echo(green: ModuleType, size: int) -> Operation:
    """A round trip of `size` bytes between two green threads over a stock socket.socketpair()."""
    _patch(green)
    ours, theirs = socket.socketpair()
    message = b"x" * size

    def answer() -> None:
        while data := theirs.recv(1024):
            theirs.sendall(data)

    def ask(units: int) -> None:
        for _ in repeat(None, units):
            ours.sendall(message)
            ours.recv(1024)

    green.spawn(answer)

    def run(units: int) -> None:
        green.spawn(ask, units).join()

    return Operation(run)


def stock_queue(green: ModuleType) -> Operation:
    """One item through the standard library's queue.Queue(1), from one green thread to another."""
    _patch(green)
    items: queue.Queue[int] = queue.Queue(1)

    def put(units: int) -> None:
        for item in range(units):
            items.put(item)

    def run(units: int) -> None:
        feeder = green.spawn(put, units)
        for _ in repeat(None, units):
            items.get()
        feeder.join()

    return Operation(run)


def stock_simple_queue(green: ModuleType) -> Operation:
    """One item through the standard library's queue.SimpleQueue each way, between two green threads."""
    _patch(green)
    there: Any = queue.SimpleQueue()
    back: Any = queue.SimpleQueue()

    def answer(_: int) -> None:
        back.put(there.get())

    def ask(item: int) -> None:
        there.put(item)
        back.get()

    return _two(green, answer, ask)


def stock_event(green: ModuleType) -> Operation:
    """A threading.Event set by one green thread while another waits for it, in turns: two wake-ups."""
    _patch(green)
    there, back = threading.Event(), threading.Event()

    def answer(_: int) -> None:
        there.wait()
        there.clear()
        back.set()

    def ask(_: int) -> None:
        there.set()
        back.wait()
        back.clear()

    return _two(green, answer, ask)


def _two(green: ModuleType, first: Callable[[int], object], second: Callable[[int], object]) -> Operation:
    """Each called as often as there are units, in green threads of their own; a unit is two wake-ups."""

    def times(function: Callable[[int], object], units: int) -> None:
        for unit in range(units):
            function(unit)

    def run(units: int) -> None:
        threads = [green.spawn(times, function, units) for function in (first, second)]
        for thread in threads:
            thread.join()

    return Operation(run, per_unit=2)


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


def _patch(green: ModuleType) -> None:
    """What gevent needs before the standard library's calls are its own; ours needs a hub, which spawn() brings."""
    if green.__name__ == "gevent":
        from gevent import monkey

        monkey.patch_all()
    else:
        green.spawn(_nothing).join()


def _pair(workload: str, **parameters: int) -> tuple[Side, Side]:
    """The same workload on both packages."""
    name = f"{__name__}:{workload}"
    return Side("gossamer", name, "gossamer._core", parameters), Side("gevent", name, "gevent", parameters)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [
        Row("spawn and join of 100,000", "ns", *_pair("spawn_and_join", count=100_000), (Faster(30),), 1_500_000_000),
        Row("sleep(0) among 100 green threads", "ns", *_pair("sleep_zero", count=100), (Faster(15),)),
        Row("echo of 64 bytes over socket.socketpair()", "us", *_pair("echo", size=64), (Faster(3.2),)),
        Row("item through queue.Queue(1)", "us", *_pair("stock_queue"), (Faster(3),)),
        Row("item through queue.SimpleQueue()", "us", *_pair("stock_simple_queue")),
        Row("wake-up through threading.Event", "us", *_pair("stock_event")),
        Row(
            "memory of a sleeping green thread, 100,000 of them",
            "bytes",
            *_pair("sleeping_bytes", count=100_000),
            (Faster(2.5),),
            1_500_000_000,
        ),
    ]
