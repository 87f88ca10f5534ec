"""hub.loop's watchers and calls, which programs and libraries written for gevent's hub use directly, beside gevent's.

One callback leads to the next, so that each unit is one event from its beginning to the call.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from importlib import import_module
from itertools import repeat
from types import ModuleType
from typing import Any

from bench.model import Faster, Operation, Row, beside_gevent

DISTRIBUTIONS = ("gossamer", "gevent")

CALLS_A_TURN = 100


def timer(package: ModuleType) -> Operation:
    """A timer that is started, fires at once, and starts itself again."""
    watcher = package.get_hub().loop.timer(0)

    def run(units: int) -> None:
        _until(package, units, watcher.start, watcher.start)

    return Operation(run)


def timer_stopped(package: ModuleType) -> Operation:
    """A timer that is started and stopped before its time comes, as those of timeouts are.

    In a green thread, as in programs: gevent's timers do not ask for the time before its loop has run once.
    """
    watcher = package.get_hub().loop.timer(60)

    def start_and_stop(units: int) -> None:
        for _ in repeat(None, units):
            watcher.start(_nothing)
            watcher.stop()

    def run(units: int) -> None:
        package.spawn(start_and_stop, units).join()

    return Operation(run)


def descriptor(package: ModuleType) -> Operation:
    """A pipe with a byte in it, whose watcher fires again and again."""
    reading, writing = os.pipe()
    os.write(writing, b"x")
    watcher = package.get_hub().loop.io(reading, 1)

    def run(units: int) -> None:
        _until(package, units, watcher.start, lambda _count_down: None)
        watcher.stop()

    return Operation(run)


def calls(package: ModuleType) -> Operation:
    """A function called on the hub greenlet, a hundred at a turn."""
    run_callback = package.get_hub().loop.run_callback

    def run(units: int) -> None:
        for _ in repeat(None, units):
            for _ in repeat(None, CALLS_A_TURN):
                run_callback(_nothing)
            package.sleep(0)

    return Operation(run, per_unit=CALLS_A_TURN)


def _until(
    package: ModuleType,
    units: int,
    start: Callable[[Callable[[], None]], object],
    go_on: Callable[[Callable[[], None]], object],
) -> None:
    """Have a callback called so often: `start` begins, `go_on` is what it does to be called again."""
    waiter: Any = import_module(f"{package.__name__}.hub").Waiter()
    left = units

    def count_down() -> None:
        nonlocal left
        left -= 1
        if left > 0:
            go_on(count_down)
        elif left == 0:
            waiter.switch(None)

    start(count_down)
    waiter.get()


def _nothing() -> None:
    pass


_pair = partial(beside_gevent, __name__)


def rows(parked: int) -> list[Row]:
    """The rows of this topic; the largest crowd is not its business."""
    del parked
    return [
        Row("loop.timer start and fire", "ns", *_pair("timer"), (Faster(1),)),
        Row("loop.timer start and stop", "ns", *_pair("timer_stopped")),
        Row("loop.io ready", "ns", *_pair("descriptor"), (Faster(1),)),
        Row("run_callback", "ns", *_pair("calls"), (Faster(1),)),
    ]
