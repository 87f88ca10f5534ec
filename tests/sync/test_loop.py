"""hub.loop: callbacks, timers, and what all watchers have.

Those of descriptors are in test_loop_descriptors.py, the others in test_watchers.py.
"""

import gc
import os
import time
import weakref
from typing import Any

import pytest

from gossamer import get_hub, getcurrent, sleep, spawn
from gossamer.core import loop as loop_class
from gossamer.core import watcher as watcher_class
from gossamer.exceptions import ConcurrentObjectUseError
from gossamer.switching import error
from tests.support.children import output_of
from tests.support.runtime import in_thread, reported, turns, until

loop = get_hub().loop


def test_the_loop_and_its_watchers_are_of_the_types_that_core_names() -> None:
    assert isinstance(loop, loop_class)
    assert loop.WatcherType is watcher_class
    assert isinstance(loop.timer(1), watcher_class)


def test_callbacks_run_on_the_hub_greenlet_in_the_order_of_their_calls() -> None:
    seen: list[Any] = []
    loop.run_callback(lambda: seen.append(getcurrent()))
    later = loop.run_callback(seen.append, 2)
    stopped = loop.run_callback(seen.append, 3)
    assert later
    assert later.pending
    assert later.args == (2,)
    stopped.stop()
    assert not stopped
    turns(1)
    assert seen == [get_hub(), 2]
    assert not later.pending
    assert later.callback is None


# ---- timers ----


def test_a_timer_fires_once() -> None:
    seen: list[int] = []
    timer = loop.timer(0.001)
    assert not timer.active
    assert timer.at == 0
    timer.start(seen.append, 1)
    assert timer.active
    assert timer.at <= time.monotonic() + 0.001
    assert timer.args == (1,)
    until(lambda: seen)
    sleep(0.003)
    assert seen == [1]
    assert not timer.active
    assert timer.callback is None
    timer.start(seen.append, 2)
    until(lambda: len(seen) == 2)


def test_a_timer_that_repeats_fires_until_it_is_stopped() -> None:
    seen: list[int] = []
    timer = loop.timer(0.001, 0.001)
    timer.start(seen.append, 1)
    until(lambda: len(seen) > 3)
    timer.stop()
    count = len(seen)
    sleep(0.005)
    assert len(seen) == count


def test_again_starts_a_timer_with_its_interval() -> None:
    seen: list[int] = []
    timer = loop.timer(60, 0.001)
    timer.again(seen.append, 1)
    until(lambda: len(seen) > 1)
    timer.close()


def test_a_timer_may_be_stopped_and_started_by_its_callback() -> None:
    seen: list[int] = []

    def once_more() -> None:
        seen.append(1)
        if len(seen) < 3:
            timer.start(once_more)

    timer = loop.timer(0.0001)
    timer.start(once_more)
    until(lambda: len(seen) == 3)
    sleep(0.002)
    assert len(seen) == 3


def test_a_timer_that_is_stopped_after_its_time_has_come_does_not_fire() -> None:
    seen: list[str] = []
    timer = loop.timer(0)
    timer.start(seen.append, "timer")
    get_hub().poll()
    assert timer.pending
    timer.stop()
    assert not timer.pending
    turns()
    assert seen == []


def test_a_timer_started_anew_after_its_time_has_come_fires_when_the_new_time_has() -> None:
    seen: list[str] = []
    timer = loop.timer(0)
    timer.start(seen.append, "early")
    get_hub().poll()
    timer.stop()
    timer.after = 60
    timer.start(seen.append, "early")
    turns()
    assert seen == []
    assert timer.active
    timer.stop()


def test_again_without_an_interval_stops_the_timer() -> None:
    timer = loop.timer(60)
    timer.start(int)
    timer.again(int)
    assert not timer.active


def test_a_timer_that_repeats_keeps_to_its_rhythm_however_late_it_is_called() -> None:
    times: list[float] = []
    timer = loop.timer(0.001, 60)
    timer.start(lambda: times.append(timer.at))
    first = timer.at
    time.sleep(0.003)
    until(lambda: times)
    timer.stop()
    assert times == [pytest.approx(first + 60, abs=1e-6)]


def test_a_timer_that_is_active_lives_without_anybody_knowing_it() -> None:
    seen: list[int] = []
    loop.timer(0.001).start(seen.append, 1)
    gc.collect()
    until(lambda: seen)


@pytest.mark.parametrize("make", [lambda: loop.timer(60), lambda: loop.io(0, 1), lambda: loop.async_()])
def test_a_watcher_that_was_stopped_is_freed(make: Any) -> None:
    watcher = make()
    watcher.start(print, watcher)
    watcher.stop()
    known = weakref.ref(watcher)
    del watcher
    turns(1)
    gc.collect()
    assert known() is None


def test_a_watcher_is_started_in_the_thread_of_its_loop_alone() -> None:
    def start() -> str:
        with pytest.raises(error) as caught:
            loop.timer(1).start(int)
        with pytest.raises(error):
            loop.io(0, 1).start(int)
        return str(caught.value)

    assert "another thread" in in_thread(start)


def test_an_interval_longer_than_the_clock_goes_fires_once() -> None:
    fired: list[int] = []
    timer = loop.timer(0.001, repeat=1e300)
    timer.start(fired.append, 1)
    until(lambda: fired)
    sleep(0.005)
    timer.stop()
    assert fired == [1]


@pytest.mark.parametrize(
    ("make", "error"),
    [
        (lambda: loop.io(-1, 1), ValueError),
        (lambda: loop.io(1, 77), ValueError),
        (lambda: loop.timer(1, -1), ValueError),
        (lambda: loop.timer("x"), TypeError),  # type: ignore[arg-type]
        (lambda: loop.signal(9999), ValueError),
        (lambda: loop.child(0), ValueError),
        (lambda: loop.timer(1).start(None), TypeError),  # type: ignore[arg-type]
        (lambda: loop.run_callback(3), TypeError),  # type: ignore[arg-type]
    ],
)
def test_bad_arguments_are_refused(make: Any, error: type[Exception]) -> None:
    with pytest.raises(error):
        make()


# ---- all of them ----


def test_the_callback_and_the_args_of_a_watcher_may_be_changed_while_it_is_active() -> None:
    seen: list[int] = []
    timer = get_hub().loop.timer(0.001)
    timer.start(seen.append, 1)
    wrong: Any
    for wrong in (5, [4, 5]):
        with pytest.raises(TypeError, match="tuple"):
            timer.args = wrong
        with pytest.raises(TypeError, match="callable"):
            timer.callback = wrong
    timer.args = (2,)
    until(lambda: bool(seen))
    assert seen == [2]
    assert [timer.callback, timer.args] == [None, None]


def test_what_a_watchers_callback_raises_is_told_to_the_hub() -> None:
    with reported() as reports:
        timer = loop.timer(0)
        timer.start([].pop)
        until(lambda: reports)
    assert (reports[0].context, reports[0].type) == (timer, IndexError)


def test_watchers_that_are_active_keep_the_hub_waiting() -> None:
    out = output_of("""
import os, signal
from gossamer import get_hub, sleep

loop = get_hub().loop
reading, writing = os.pipe()
watchers = [loop.timer(60), loop.async_(), loop.signal(signal.SIGUSR2), loop.io(reading, 1)]
for watcher in watchers:
    watcher.start(int)
print(loop.activecnt, get_hub().join(timeout=0.001))
for watcher in watchers:
    watcher.ref = False
print([watcher.ref for watcher in watchers], loop.activecnt, get_hub().join(timeout=60))
watchers[0].ref = True
print(loop.activecnt)
for watcher in watchers:
    watcher.stop()
sleep(0)
print(loop.activecnt)
""")
    assert out == "4 False\n[False, False, False, False] 0 True\n1\n0\n"


def test_a_watcher_that_is_told_that_it_rests_while_it_does_not_stands_in_one_place_all_the_same() -> None:
    fired: list[int] = []
    timer = loop.timer(0.001)
    for number in range(3):
        timer.start(fired.append, number)
        timer._active = False
    one, other = os.pipe()
    reader = loop.io(one, 1)
    for number in range(3):
        reader.start(fired.append, 10 + number)
        reader._active = False
    os.write(other, b"x")
    until(lambda: 2 in fired and 12 in fired)
    reader._active = True
    reader.stop()
    turns()
    assert 0 not in fired
    os.close(one)
    os.close(other)


def test_watchers_of_subclasses_that_forgot_to_call_init_are_an_error() -> None:
    source = """
        from gossamer._sync.watcher import Io, Timer
        forgetful = Timer.__new__(Timer), Io.__new__(Io)
        forgetful[1].events = 1
        for watcher in forgetful:
            for use in (lambda: watcher.start(print), Timer.__new__(Timer).wait):
                try:
                    use()
                except AttributeError:
                    print('refused')
    """
    assert output_of(source) == "refused\n" * 4


def test_an_io_watcher_whose_callback_fails_is_stopped_as_it_would_fail_over_and_over() -> None:
    reading, writing = os.pipe()
    os.write(writing, b"x")
    calls: list[int] = []

    def fail(*_args: object) -> None:
        calls.append(1)
        raise LookupError("on purpose")

    watcher = loop.io(reading, 1)
    with reported() as reports:
        for pass_events in (False, True):
            watcher.start(fail, pass_events=pass_events)
            until(lambda: not watcher.active)
            sleep(0.005)
    assert len(calls) == 2
    assert [(it.context, it.type) for it in reports] == [(watcher, LookupError)] * 2
    assert watcher.callback is None
    os.close(reading)
    os.close(writing)


def test_a_timer_that_repeats_goes_on_when_its_callback_fails() -> None:
    timer = loop.timer(0.001, 0.001)
    with reported() as reports:
        timer.start([].pop)
        until(lambda: len(reports) > 2)
        assert timer.active
        timer.stop()


def test_a_watcher_is_fed_whether_it_is_active_or_not_and_stop_takes_that_back() -> None:
    seen: list[int] = []
    reading, writing = os.pipe()
    for watcher in (loop.timer(60), loop.io(reading, 1), loop.async_(), loop.idle()):
        watcher.feed(0, seen.append, 1)
        assert (watcher.active, watcher.pending, watcher.callback) == (False, True, seen.append)
        turns()
        assert (watcher.active, watcher.pending, watcher.callback) == (False, False, None)
        watcher.feed(0, seen.append, 2)
        watcher.stop()
        turns()
    assert seen == [1] * 4
    timer = loop.timer(60)
    timer.start(int)
    timer.feed(0, seen.append, 3)
    turns()
    assert seen[4:] == [3]
    assert timer.active
    timer.stop()
    with pytest.raises(TypeError, match="callable"):
        timer.feed(0, 5)  # type: ignore[arg-type]
    os.close(reading)
    os.close(writing)


def test_the_priority_of_a_watcher_is_a_number_that_changes_while_it_rests_alone() -> None:
    timer = loop.timer(60)
    assert timer.priority == 0
    assert loop.io(0, 1, priority=1).priority == 1
    timer.priority = -2
    timer.start(int)
    with pytest.raises(AttributeError, match="stop"):
        timer.priority = 1
    timer.stop()
    assert timer.priority == -2
    with pytest.raises(TypeError):
        loop.timer(1, priority="high")  # type: ignore[arg-type]


def test_a_watcher_that_serves_one_is_refused_to_a_second() -> None:
    reading, writing = os.pipe()
    for watcher in (loop.io(reading, 1), loop.io(reading, 3), loop.async_()):
        first = spawn(get_hub().wait, watcher)
        turns()
        assert watcher.active
        with pytest.raises(ConcurrentObjectUseError, match="already used"):
            get_hub().wait(watcher)
        first.kill()
        assert not watcher.active
        watcher.start(int)
        with pytest.raises(ConcurrentObjectUseError, match="already used"):
            get_hub().wait(watcher)
        watcher.stop()
    os.close(reading)
    os.close(writing)


def test_a_wait_that_could_not_begin_leaves_the_watcher_free() -> None:
    other = in_thread(lambda: get_hub().loop)
    watcher = other.async_()
    for _ in range(2):
        with pytest.raises(error):
            watcher.wait()
    assert not watcher.active


def test_what_a_stopped_watcher_lets_go_of_may_start_it_anew() -> None:
    seen: list[int] = []
    timer = loop.timer(0.001)

    class Restarting:
        def __call__(self) -> None:
            seen.append(1)

        def __del__(self) -> None:
            timer.start(seen.append, 2)

    timer.start(Restarting())
    timer.stop()
    gc.collect()
    assert timer.active
    until(lambda: seen)
    assert seen == [2]


def test_again_in_another_thread_changes_nothing() -> None:
    timer = loop.timer(60, 60)
    timer.start(int)
    before = timer.at
    with pytest.raises(error):
        in_thread(lambda: timer.again(int))
    assert (timer.active, timer.at, loop.activecnt) == (True, before, loop.activecnt)
    assert get_hub().next_deadline() is not None
    timer.stop()


def test_events_are_told_in_words() -> None:
    assert [loop.io(0, events).events_str for events in (1, 2, 3)] == ["READ", "WRITE", "READ|WRITE"]
    assert "events=READ|WRITE" in repr(loop.io(0, 3))
