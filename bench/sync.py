"""Queues, semaphores, events and locals beside gevent's.

The workloads take the package, `gossamer` or `gevent`, and import its module of the primitive that they measure. What
the standard library has of the same kind is in bench/stock.py.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import Faster, Operation, Row, beside_gevent

DISTRIBUTIONS = ("gossamer", "gevent")


def queue_item(package: ModuleType) -> Operation:
    """One item through a Queue(1), from one green thread to another."""
    items = _module(package, "queue").Queue(1)

    def put(units: int) -> None:
        for item in range(units):
            items.put(item)

    def get(units: int) -> None:
        for _ in repeat(None, units):
            items.get()

    return _two(package, put, get)


def hand_over(package: ModuleType) -> Operation:
    """A semaphore handed to another green thread, which hands one back: two hand-overs."""
    lock = _module(package, "lock")
    there, back = lock.Semaphore(0), lock.Semaphore(0)

    def ask(units: int) -> None:
        for _ in repeat(None, units):
            there.release()
            back.acquire()

    def answer(units: int) -> None:
        for _ in repeat(None, units):
            there.acquire()
            back.release()

    return _two(package, answer, ask, per_unit=2)


def uncontended(package: ModuleType) -> Operation:
    """acquire() and release() of a semaphore that nobody else wants."""
    semaphore = _module(package, "lock").Semaphore(1)

    def run(units: int) -> None:
        for _ in repeat(None, units):
            semaphore.acquire()
            semaphore.release()

    return Operation(run)


def event_wake(package: ModuleType) -> Operation:
    """An event set by one green thread while another waits for it, in turns: two wake-ups."""
    event = _module(package, "event")
    there, back = event.Event(), event.Event()

    def ask(units: int) -> None:
        for _ in repeat(None, units):
            there.set()
            back.wait()
            back.clear()

    def answer(units: int) -> None:
        for _ in repeat(None, units):
            there.wait()
            there.clear()
            back.set()

    return _two(package, answer, ask, per_unit=2)


def local_attribute(package: ModuleType) -> Operation:
    """An attribute of a local set, read and deleted by a green thread: three accesses."""
    it = _module(package, "local").local()

    def use(units: int) -> None:
        for _ in repeat(None, units):
            it.x = 1
            _ = it.x
            del it.x

    def run(units: int) -> None:
        package.spawn(use, units).join()

    return Operation(run, per_unit=3)


def _module(package: ModuleType, name: str) -> Any:
    return import_module(f"{package.__name__}.{name}")


def _two(
    package: ModuleType, first: Callable[[int], None], second: Callable[[int], None], *, per_unit: int = 1
) -> Operation:
    """Both in green threads of their own, `first` started first."""
    spawn: Any = package.spawn
    spawn(_nothing).join()  # a thread's first hub costs milliseconds, which are not what is measured

    def run(units: int) -> None:
        threads = [spawn(first, units), spawn(second, units)]
        for thread in threads:
            thread.join()

    return Operation(run, per_unit=per_unit)


def _nothing() -> None:
    pass


_pair = partial(beside_gevent, __name__)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [
        Row("item through the package's own Queue(1)", "ns", *_pair("queue_item"), (Faster(10),)),
        Row("semaphore handed to another green thread", "ns", *_pair("hand_over")),
        Row("semaphore acquired and released, uncontended", "ns", *_pair("uncontended")),
        Row("event set while another green thread waits", "ns", *_pair("event_wake")),
        Row("attribute of a local set, read or deleted", "ns", *_pair("local_attribute")),
    ]
