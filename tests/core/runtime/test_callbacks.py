"""Callbacks: calls made on the hub greenlet, in turn or at a time, from any thread."""

import random
import threading
import time
import weakref
from functools import partial
from typing import Any

import pytest

from gossamer._core import (
    BlockingSwitchOutError,
    Callback,
    WaitQueue,
    error,
    get_hub,
    getcurrent,
    sleep,
    spawn,
    wait_read,
)
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, beside, in_thread, joined, reported, turns, until
from tests.support.scale import scaled


def test_a_callback_runs_on_the_hub_with_its_arguments() -> None:
    seen: list[Any] = []
    hub = get_hub()
    hub.run_callback(lambda *values: seen.append((getcurrent(), values)), 1, [2])
    hub.call_later(0, lambda *values: seen.append((getcurrent(), values)), 3)
    assert seen == []
    until(lambda: len(seen) == 2)
    assert seen == [(hub, (1, [2])), (hub, (3,))]


def test_callbacks_run_in_the_order_made() -> None:
    seen: list[int] = []
    for number in range(1000):
        get_hub().run_callback(seen.append, number)
    turns()
    assert seen == list(range(1000))


def test_a_callback_made_by_a_callback_runs_after_those_who_wait_already() -> None:
    order: list[str] = []

    def first() -> None:
        order.append("first")
        get_hub().run_callback(order.append, "third")

    get_hub().run_callback(first)
    it = spawn(order.append, "second")
    turns()
    joined(it)
    assert order == ["first", "second", "third"]


def test_blocking_in_a_callback_is_an_error_and_everything_goes_on() -> None:
    queue, it = WaitQueue(), spawn(sleep, 0.001)
    reading_from_itself = get_hub()
    calls: list[tuple[Any, ...]] = [
        (sleep, 0),
        (sleep, 1),
        (sleep, -1),
        (queue.park,),
        (queue.park, 0),
        (it.join,),
        (reading_from_itself.switch,),
    ]
    with reported() as reports:
        for function, *values in calls:
            get_hub().run_callback(function, *values)
        joined(it)
        turns()
    assert [report.type for report in reports] == [BlockingSwitchOutError] * len(calls)
    assert len(queue) == 0
    assert issubclass(BlockingSwitchOutError, AssertionError)
    assert "spawn" in str(reports[0].value)


def test_waiting_for_a_descriptor_in_a_callback_is_an_error() -> None:
    import os

    reading, writing = os.pipe()
    with reported() as reports:
        get_hub().run_callback(wait_read, reading)
        turns()
    assert [report.type for report in reports] == [BlockingSwitchOutError]
    os.write(writing, b"x")
    assert wait_read(reading, timeout=10)
    os.close(reading)
    os.close(writing)


def test_what_a_callback_raises_is_reported_and_the_loop_goes_on() -> None:
    def fails() -> None:
        raise LookupError("from the callback")

    seen: list[str] = []
    with reported() as reports:
        callbacks = [get_hub().run_callback(fails), get_hub().call_later(0, fails)]
        get_hub().run_callback(seen.append, "after")
        until(lambda: len(reports) == 2)
        turns()
    assert seen == ["after"]
    assert [str(report.value) for report in reports] == ["from the callback"] * 2
    assert [report.context for report in reports] == callbacks


def test_a_stopped_callback_is_not_called() -> None:
    seen: list[str] = []
    hub = get_hub()
    for callback in (hub.run_callback(seen.append, "ready"), hub.call_later(0.001, seen.append, "timed")):
        assert callback.pending
        callback.stop()
        callback.stop()
        assert not callback.pending
    sleep(0.01)
    turns()
    assert seen == []


def test_a_callback_is_pending_until_it_is_called() -> None:
    states: list[bool] = []
    made: list[Callback] = []
    made.append(get_hub().run_callback(lambda: states.append(made[0].pending)))
    made.append(get_hub().call_later(0, lambda: states.append(made[1].pending)))
    assert [callback.pending for callback in made] == [True, True]
    until(lambda: len(states) == 2)
    assert states == [False, False]
    for callback in made:
        callback.stop()
    assert [callback.pending for callback in made] == [False, False]


def test_a_callback_may_stop_another_that_is_due_at_the_same_time() -> None:
    seen: list[str] = []
    made: list[Callback] = []

    def stops_the_others() -> None:
        seen.append("called")
        for callback in made:
            callback.stop()

    made.extend(get_hub().call_later(0, stops_the_others) for _ in range(10))
    made.extend(get_hub().run_callback(stops_the_others) for _ in range(10))
    sleep(0.01)
    assert seen == ["called"]


def test_a_stopped_callback_lets_go_of_its_function_and_arguments() -> None:
    class Thing:
        def __call__(self, *_: object) -> None:
            raise AssertionError

    hub = get_hub()
    for make in (hub.run_callback, partial(hub.call_later, 3600)):
        function, argument = Thing(), Thing()
        gone = [weakref.ref(function), weakref.ref(argument)]
        callback = make(function, argument)
        del function, argument
        callback.stop()
        assert [it() for it in gone] == [None, None]
        turns()


def test_a_callback_that_nobody_keeps_is_called_all_the_same() -> None:
    seen: list[int] = []
    get_hub().run_callback(seen.append, 1)
    get_hub().call_later(0.001, seen.append, 2)
    until(lambda: len(seen) == 2)
    assert seen == [1, 2]


def test_timed_callbacks_come_in_the_order_of_their_times_and_never_early() -> None:
    rng = random.Random(5)
    called: list[int] = []
    span: dict[int, tuple[float, float]] = {}
    count = scaled(100_000)

    def call(number: int) -> None:
        called.append(number)

    stopped = []
    for number in range(count):
        seconds = rng.uniform(0, 0.5)
        before = time.monotonic()
        callback = get_hub().call_later(seconds, call, number)
        span[number] = before + seconds, time.monotonic() + seconds
        if number % 3 == 0:
            stopped.append((number, callback))
    rng.shuffle(stopped)
    early = set(called)
    for number, callback in stopped:
        if number not in early:
            callback.stop()
    sleep(0.5)
    until(lambda: len(called) >= count - len(stopped))
    assert sorted(called) == [number for number in range(count) if number % 3]
    reached = 0.0
    for number in called:
        assert span[number][1] >= reached
        reached = max(reached, span[number][0])


def test_a_timed_callback_is_never_early() -> None:
    seen: list[float] = []
    for seconds in (1e-5, 1e-3, 0.01):
        before = time.monotonic()
        get_hub().call_later(seconds, lambda: seen.append(time.monotonic()))
        until(lambda: seen)
        assert seen.pop() - before >= seconds


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        ((), TypeError),
        ((1,), TypeError),
        ((1, 5), TypeError),
        (("1", print), TypeError),
        ((None, 5), TypeError),
        ((float("nan"), print), ValueError),
        ((10**400, print), OverflowError),
    ],
    ids=repr,
)
def test_call_later_refuses_what_is_no_time_or_no_function(values: tuple[Any, ...], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        get_hub().call_later(*values)


@pytest.mark.parametrize("values", [(), (5,), (None, print)], ids=repr)
def test_run_callback_refuses_what_cannot_be_called(values: tuple[Any, ...]) -> None:
    with pytest.raises(TypeError, match="function"):
        get_hub().run_callback(*values)
    turns()


@pytest.mark.parametrize("seconds", [1e300, float("inf"), 10**12], ids=repr)
def test_a_time_beyond_the_clock_never_comes(seconds: float) -> None:
    callback = get_hub().call_later(seconds, print)
    sleep(0.001)
    assert callback.pending
    callback.stop()


def test_callbacks_cannot_be_made_by_hand() -> None:
    with pytest.raises(TypeError):
        Callback()


def test_other_threads_leave_callbacks_in_order() -> None:
    hub = get_hub()
    seen: list[tuple[int, int]] = []
    count = scaled(2000)

    def work(which: int) -> None:
        for number in range(count):
            hub.run_callback(seen.append, (which, number))

    threads = [threading.Thread(target=work, args=(which,)) for which in range(3)]
    for thread in threads:
        thread.start()
    until(lambda: len(seen) == 3 * count)
    for thread in threads:
        thread.join()
    for which in range(3):
        assert [number for by, number in seen if by == which] == list(range(count))


def test_a_callback_from_another_thread_wakes_a_sleeping_hub() -> None:
    hub = get_hub()
    queue = WaitQueue()
    seen: list[object] = []

    def callback() -> None:
        seen.append((threading.get_native_id(), getcurrent()))
        queue.unpark()

    with beside(lambda: hub.run_callback(callback)):
        assert queue.park(timeout=30)
    assert seen == [(threading.get_native_id(), hub)]


def test_a_callback_may_be_stopped_by_another_thread() -> None:
    seen: list[int] = []
    callbacks = [get_hub().run_callback(seen.append, 1), get_hub().call_later(0.001, seen.append, 2)]
    in_thread(lambda: [callback.stop() for callback in callbacks])
    sleep(0.005)
    assert seen == []


def test_call_later_is_for_the_thread_of_the_hub() -> None:
    hub = get_hub()
    with pytest.raises(error):
        in_thread(lambda: hub.call_later(0, print))


def test_the_hub_of_an_ended_thread_takes_no_more_callbacks() -> None:
    hub = in_thread(get_hub)
    with pytest.raises(error):
        hub.run_callback(print)
    with pytest.raises(error):
        hub.call_later(0, print)


def test_a_callback_may_switch_to_a_green_thread_that_waits_for_it() -> None:
    out = output_of(
        PRELUDE
        + """
hub = get_hub()
order = []
def body(name):
    for number in range(3):
        hub.run_callback(getcurrent().switch, number)
        order.append((name, hub.switch()))
        sleep(0)
    sleep(0.001)
    return name
print(joined(*[spawn(body, name) for name in 'abc']))
print(order)
hub.run_callback(main.switch, 'to main')
print(hub.switch())
"""
    )
    assert out.splitlines() == [
        "['a', 'b', 'c']",
        str([(name, number) for number in range(3) for name in "abc"]),
        "to main",
    ]


def test_a_callback_that_switched_away_goes_on_and_the_next_follow() -> None:
    out = output_of(
        PRELUDE
        + """
hub = get_hub()
order = []
def body():
    order.append(hub.switch())
    order.append(hub.switch())
def callback():
    order.append('callback begins')
    it.switch('first')
    order.append('callback ends')
it = spawn(body)
sleep(0)
hub.run_callback(callback)
hub.run_callback(order.append, 'next callback')
hub.run_callback(it.switch, 'second')
joined(it)
print(order)
"""
    )
    assert out == "['callback begins', 'first', 'callback ends', 'next callback', 'second']\n"


def test_a_callback_may_throw_into_a_green_thread() -> None:
    out = output_of(
        PRELUDE
        + """
hub, queue = get_hub(), WaitQueue()
crowd = [spawn(queue.park), spawn(sleep, 3600), spawn(hub.switch), spawn(int), GreenThread(int)]
sleep(0)
with reported() as reports:
    for number in range(6):
        hub.run_callback(lambda number=number: crowd[number].throw(LookupError))
    crowd.append(spawn(int))
    turns(20)
print([type(it.exception).__name__ for it in crowd], len(queue), len(reports))
"""
    )
    names = ["LookupError"] * 3 + ["NoneType"] + ["LookupError"] * 2
    assert out == f"{names} 0 6\n"
