"""Tracing and looking at green threads: every switch goes by the hub while somebody traces."""

import itertools
import sys
from typing import Any

from gossamer._core import WaitQueue, frames, get_hub, getcurrent, settrace, sleep, spawn
from tests.support.runtime import joined, turns


def test_a_tracer_sees_each_switch_by_way_of_the_hub() -> None:
    events: list[tuple[str, object, object]] = []
    hub, main = get_hub(), getcurrent()

    def tracer(event: str, pair: tuple[Any, Any]) -> None:
        events.append((event, *pair))

    settrace(tracer)
    it = spawn(sleep, 0)
    turns(4)
    settrace(None)
    assert it.ready()
    assert ("switch", main, hub) in events and ("switch", hub, main) in events
    assert ("switch", hub, it) in events and ("switch", it, hub) in events
    for (_, _, target), (_, origin, _) in itertools.pairwise(events):
        assert origin is target


def test_traced_ones_run_in_the_same_order() -> None:
    order: list[tuple[str, int]] = []

    def body(name: str) -> None:
        for count in range(3):
            order.append((name, count))
            sleep(0)

    settrace(lambda *_: None)
    crowd = [spawn(body, name) for name in "abc"]
    joined(*crowd)
    settrace(None)
    assert order == [(name, count) for count in range(3) for name in "abc"]


def test_waits_timeouts_and_callbacks_work_while_traced() -> None:
    queue, seen = WaitQueue(), list[object]()
    settrace(lambda *_: None)
    get_hub().run_callback(seen.append, "callback")
    get_hub().call_later(0.001, seen.append, "later")
    waiter, late = spawn(queue.park, 30), spawn(queue.park, 0.002)
    sleep(0)
    queue.unpark()
    assert joined(waiter, late) == [True, False]
    sleep(0.002)
    settrace(None)
    assert seen == ["callback", "later"]


def test_the_frame_of_a_parked_one_is_where_it_waits() -> None:
    queue = WaitQueue()

    def waits_here() -> None:
        queue.park()

    def outer() -> None:
        waits_here()

    it = spawn(outer)
    sleep(0)
    frame = it.gr_frame
    assert frame is not None and frame.f_code.co_name == "waits_here"
    assert frame.f_back is not None and frame.f_back.f_code.co_name == "outer" and frame.f_back.f_back is None
    assert [found for whose, found in frames() if whose is it] == [frame]
    del frame
    queue.unpark()
    joined(it)


def test_profilers_and_tracers_of_python_code_follow_their_thread() -> None:
    seen: list[str] = []

    def profiler(frame: Any, event: str, _: object) -> None:
        if event == "call" and frame.f_code.co_name.startswith("traced_"):
            seen.append(frame.f_code.co_name)

    def traced_one() -> None:
        sleep(0)
        traced_inner()

    def traced_inner() -> None:
        sleep(0)

    sys.setprofile(profiler)
    try:
        joined(*[spawn(traced_one) for _ in range(3)])
    finally:
        sys.setprofile(None)
    assert seen == ["traced_one"] * 3 + ["traced_inner"] * 3
