"""hub.loop: callbacks and watchers with gevent's interface; those of descriptors are in test_loop_descriptors.py."""

import gc
import os
import signal
import time
import weakref
from pathlib import Path
from typing import Any

import pytest

from gossamer import get_hub, getcurrent, sleep
from gossamer.core import loop as loop_class
from gossamer.core import watcher as watcher_class
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


# ---- the others ----


def test_another_thread_may_send_to_an_async_watcher() -> None:
    seen: list[Any] = []
    watcher = loop.async_()
    watcher.start(lambda: seen.append(getcurrent()))
    in_thread(watcher.send)
    assert watcher.pending
    until(lambda: seen)
    assert seen == [get_hub()]
    assert not watcher.pending
    watcher.stop()
    watcher.send_ignoring_arg("ignored")
    turns()
    assert seen == [get_hub()]


def test_the_end_of_a_child_is_told_with_its_status() -> None:
    assert (
        output_of(
            """
import gossamer, os
loop = gossamer.get_hub().loop
pid = os.fork()
if pid == 0:
    os._exit(3)
child = loop.child(pid)
child.start(lambda: print(child.rpid == pid, os.waitstatus_to_exitcode(child.rstatus)))
print(gossamer.wait(), child.active)
"""
        )
        == "True 3\nTrue False\n"
    )


def test_a_signal_is_told_to_each_watcher_and_the_handler_before_comes_back() -> None:
    before = signal.getsignal(signal.SIGUSR2)
    seen: list[int] = []
    one, other = loop.signal(signal.SIGUSR2), loop.signal(signal.SIGUSR2, ref=False)
    one.start(seen.append, 1)
    other.start(seen.append, 2)
    os.kill(os.getpid(), signal.SIGUSR2)
    until(lambda: len(seen) == 2)
    one.stop()
    os.kill(os.getpid(), signal.SIGUSR2)
    until(lambda: len(seen) == 3)
    other.stop()
    assert seen == [1, 2, 2]
    assert signal.getsignal(signal.SIGUSR2) is before


def test_a_change_of_a_file_is_told(tmp_path: Path) -> None:
    path = tmp_path / "file"
    seen: list[bool] = []
    with loop.stat(str(path), interval=0.005) as watcher:
        watcher.start(lambda: seen.append(watcher.prev is None and watcher.attr is not None))
        turns()
        path.write_text("text")
        until(lambda: seen)
    assert seen == [True]


@pytest.mark.parametrize("kind", ["idle", "prepare", "check"])
def test_watchers_of_the_loop_itself_fire_over_and_over(kind: str) -> None:
    seen: list[int] = []
    watcher = getattr(loop, kind)()
    watcher.start(seen.append, 1)
    until(lambda: len(seen) > 1)
    watcher.stop()
    turns()
    count = len(seen)
    sleep(0.03)
    assert len(seen) == count


def test_a_fork_is_told_in_the_child() -> None:
    assert (
        output_of(
            """
import gossamer, os
seen = []
watcher = gossamer.get_hub().loop.fork()
watcher.start(seen.append, 1)
pid = os.fork()
gossamer.sleep(0)
if pid == 0:
    os._exit(0 if seen == [1] else 1)
print(seen, os.waitpid(pid, 0)[1])
"""
        )
        == "[] 0\n"
    )


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
    assert out == "2 False\n[False, False, False, False] 0 True\n1\n0\n"


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


def test_the_end_of_a_child_that_somebody_else_has_reaped_is_told_all_the_same() -> None:
    out = output_of("""
import gossamer, os
loop = gossamer.get_hub().loop
pid = os.fork()
if pid == 0:
    os._exit(3)
os.waitpid(pid, 0)
child = loop.child(pid)
child.start(lambda: print("told", child.rpid == pid, child.rstatus))
print(gossamer.wait(timeout=30), child.active)
""")
    assert out == "told True 0\nTrue False\n"


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
