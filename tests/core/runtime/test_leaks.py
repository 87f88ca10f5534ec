"""Nothing is left behind: each operation, done many times more, leaves memory, counts and descriptors as they were."""

import contextlib
import os
import sys
from collections.abc import Callable
from typing import Any

import pytest

from gossamer._core import (
    GreenletExit,
    GreenThread,
    WaitQueue,
    counts,
    get_hub,
    getcurrent,
    greenlet,
    interrupt,
    sleep,
    spawn,
    wait_read,
)
from tests.support.memory import least_growth, resident_bytes, total_references
from tests.support.runtime import in_thread, joined, open_descriptors, reported, turns
from tests.support.sanitizers import measures_memory
from tests.support.scale import scaled

READING, WRITING = os.pipe()


def spawn_and_join() -> None:
    spawn(int).join()


def spawn_with_arguments() -> None:
    spawn(lambda *values, **named: (values, named), [1], key=[2]).join()


def spawn_only() -> None:
    spawn(int)
    turns()


def make_only() -> None:
    GreenThread(int, [1])


def fail() -> None:
    def body() -> None:
        raise LookupError([1])

    it = spawn(body)
    it.join()


def give_way() -> None:
    sleep(0)


def sleep_a_moment() -> None:
    sleep(1e-6)


def park_and_unpark() -> None:
    queue = WaitQueue("about")
    it = spawn(queue.park)
    sleep(0)
    queue.unpark()
    it.join()


def park_and_time_out() -> None:
    WaitQueue([1]).park(0)


def wait_for_descriptor() -> None:
    wait_read(READING, 0)


def interrupt_each_wait() -> None:
    queue = WaitQueue()
    waits: list[Callable[[], object]] = [
        queue.park,
        lambda: queue.park(9),
        lambda: sleep(9),
        lambda: wait_read(READING),
        lambda: wait_read(READING, 9),
        lambda: GreenThread(int).join(9),
    ]
    crowd = [spawn(wait) for wait in waits]
    crowd.append(spawn(int))
    turns(1)
    crowd.append(spawn(int))
    for it in crowd:
        interrupt(it, GreenletExit([1]))
        interrupt(it, GreenletExit([2]))
    joined(*crowd)


def callbacks() -> None:
    get_hub().run_callback(int)
    get_hub().call_later(0, int)
    get_hub().run_callback(int).stop()
    get_hub().call_later(3600, int).stop()
    sleep(1e-6)


def callbacks_that_fail() -> None:
    get_hub().run_callback([].pop)
    turns(1)


def links() -> None:
    it = spawn(int)
    it.rawlink(str)
    it.rawlink(repr)
    it.unlink(str)
    it.join()
    turns(1)
    it.rawlink(str)
    turns(1)


def callbacks_of_another_thread() -> None:
    hub = get_hub()
    in_thread(lambda: hub.run_callback(int))
    turns(1)


def unpark_from_another_thread() -> None:
    queue = WaitQueue()
    it = spawn(queue.park, 9)
    sleep(0)
    in_thread(queue.unpark)
    it.join()


def a_thread_that_leaves_much() -> None:
    def work() -> None:
        queue = WaitQueue()
        for wait in (queue.park, lambda: queue.park(9), lambda: sleep(9), lambda: wait_read(READING), int):
            spawn(wait)
        get_hub().call_later(9, int)
        turns(2)
        get_hub().run_callback(int)
        spawn(int)

    in_thread(work)


def raw_greenlets_that_wait() -> None:
    greenlet(lambda: sleep(0)).switch()


def explicit_switches() -> None:
    it = spawn(get_hub().switch)
    sleep(0)
    main = getcurrent()

    def switches() -> None:
        it.switch([1])

    left = greenlet(switches)
    spawn(left.switch)
    it.join()
    turns(2)
    left.parent = main
    with contextlib.suppress(GreenletExit):
        left.throw()


def bad_arguments() -> None:
    calls: list[Callable[[], Any]] = [
        lambda: sleep("x"),  # type: ignore[arg-type]
        lambda: sleep(float("nan")),
        lambda: WaitQueue().park("x"),  # type: ignore[arg-type]
        lambda: wait_read(-1),
        lambda: wait_read(10**6),
        lambda: spawn(),  # type: ignore[call-arg]
        lambda: get_hub().call_later(1, 1),  # type: ignore[arg-type]
        lambda: get_hub().run_callback(),  # type: ignore[call-arg]
        lambda: interrupt(getcurrent(), 1),  # type: ignore[arg-type]
    ]
    for call in calls:
        with contextlib.suppress(TypeError, ValueError, OSError):
            call()


CHEAP = [
    spawn_and_join,
    spawn_with_arguments,
    spawn_only,
    make_only,
    fail,
    give_way,
    sleep_a_moment,
    park_and_unpark,
    park_and_time_out,
    wait_for_descriptor,
    interrupt_each_wait,
    callbacks,
    callbacks_that_fail,
    links,
    raw_greenlets_that_wait,
    bad_arguments,
]
DEAR = [callbacks_of_another_thread, unpark_from_another_thread, a_thread_that_leaves_much]


def measures() -> list[Callable[[], int]]:
    if total_references() is None:
        return [sys.getallocatedblocks]
    return [sys.getallocatedblocks, lambda: total_references() or 0]


@pytest.mark.parametrize("act", [*CHEAP, *DEAR], ids=lambda act: act.__name__)
def test_an_operation_leaves_no_memory_blocks(act: Callable[[], None]) -> None:
    count = scaled(20, least=20) if act in DEAR else scaled(300, least=100)

    def work() -> None:
        for _ in range(count):
            act()
        turns(1)

    with reported() as reports:
        for measure in measures():
            growth = least_growth(lambda: (work(), reports.clear()), measure, warm_up=2, rounds=3)
            assert growth < count // 2, growth


def test_explicit_switches_leave_no_memory_blocks() -> None:
    from tests.support.children import output_of
    from tests.support.runtime import PRELUDE

    out = output_of(
        PRELUDE
        + """
from tests.core.runtime.test_leaks import explicit_switches
from tests.support.memory import least_growth
growth = least_growth(lambda: [explicit_switches() for _ in range(100)] and None, sys.getallocatedblocks)
print(growth < 50 or growth)
"""
    )
    assert out == "True\n"


@measures_memory
def test_a_hundred_thousand_of_each_leave_everything_as_it_was() -> None:
    descriptors = open_descriptors()
    queue = WaitQueue()

    def spawns(count: int) -> None:
        joined(*[spawn(int) for _ in range(count)])

    def sleepers(count: int) -> None:
        joined(*[spawn(sleep, 1e-6) for _ in range(count)])

    def timers(count: int) -> None:
        for callback in [get_hub().call_later(3600, int) for _ in range(count)]:
            callback.stop()

    def waits(count: int) -> None:
        crowd = [spawn(queue.park, 3600) for _ in range(count)]
        turns(1)
        assert queue.unpark(count) == count
        joined(*crowd)

    def all_of_them(count: int) -> None:
        for act in (spawns, timers):
            act(count)
        for act in (sleepers, waits):
            for _ in range(4):
                act(count // 10)

    before = counts()
    all_of_them(scaled(100_000))
    after_one = resident_bytes()
    all_of_them(scaled(100_000))
    turns()
    growth = resident_bytes() - after_one
    after = counts()
    assert {name: after[name] - before[name] for name in ("alive", "parked", "leaked", "copied_out")} == {
        "alive": 0,
        "parked": 0,
        "leaked": 0,
        "copied_out": 0,
    }
    assert growth < 8_000_000, growth
    assert open_descriptors() == descriptors
