"""hub.loop: watchers and callbacks with gevent's interface, and the loop driven from outside."""

import os
import select
import signal
import time
from pathlib import Path
from typing import Any

import pytest

from gossamer import get_hub, getcurrent, sleep, spawn
from gossamer.core import loop as loop_class
from gossamer.core import watcher as watcher_class
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


# ---- descriptors ----


def test_a_descriptor_is_watched_until_it_is_not_ready_any_more() -> None:
    reading, writing = os.pipe()
    seen: list[bytes] = []
    with loop.io(reading, 1) as watcher:
        watcher.start(lambda: seen.append(os.read(reading, 1)))
        os.write(writing, b"ab")
        until(lambda: len(seen) == 2)
        turns()
        os.write(writing, b"c")
        until(lambda: len(seen) == 3)
    turns()
    os.write(writing, b"d")
    sleep(0.002)
    assert seen == [b"a", b"b", b"c"]
    os.close(reading)
    os.close(writing)


def test_a_callback_may_stop_its_watcher() -> None:
    reading, writing = os.pipe()
    seen: list[int] = []
    watcher = loop.io(writing, 3)
    watcher.start(lambda: (seen.append(1), watcher.stop()))
    until(lambda: seen)
    turns()
    assert seen == [1]
    os.close(reading)
    os.close(writing)


def test_a_bad_descriptor_is_told_to_the_hub_and_ends_the_watcher() -> None:
    with reported() as reports:
        watcher = loop.io(999_999, 1)
        watcher.start(int)
        until(lambda: reports)
    assert reports[0].type is OSError
    assert not watcher.active


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


def test_what_a_watchers_callback_raises_is_told_to_the_hub() -> None:
    with reported() as reports:
        timer = loop.timer(0)
        timer.start([].pop)
        until(lambda: reports)
    assert (reports[0].context, reports[0].type) == (timer, IndexError)


def test_watchers_that_are_active_keep_the_hub_waiting() -> None:
    before = loop.activecnt
    watchers: list[Any] = [loop.timer(60), loop.async_(), loop.signal(signal.SIGUSR2)]
    for watcher in watchers:
        watcher.start(int)
    assert get_hub().join(timeout=0.001) is False
    watchers[1].ref = False
    assert not watchers[1].ref
    for watcher in watchers:
        watcher.stop()
    turns()
    assert loop.activecnt == before


# ---- driven from outside ----


def test_run_without_waiting_lets_all_that_is_ready_run() -> None:
    seen: list[int] = []
    reading, writing = os.pipe()
    watcher = loop.io(reading, 1)
    watcher.start(lambda: seen.append(len(os.read(reading, 9))))
    spawn(seen.append, 0)
    loop.run(nowait=True)
    assert seen == [0]
    os.write(writing, b"abc")
    assert select.select([loop.fileno()], [], [], 10)[0]
    for _ in range(3):
        loop.run(nowait=True)
    assert seen == [0, 3]
    watcher.stop()
    turns()
    os.close(reading)
    os.close(writing)


def test_the_next_deadline_is_the_first_timers() -> None:
    timer = loop.timer(5)
    timer.start(int)
    left = loop.next_deadline()
    assert left is not None
    assert 4 < left <= 5
    timer.stop()


def test_run_returns_when_nothing_is_left() -> None:
    assert (
        output_of(
            """
import gossamer
loop = gossamer.get_hub().loop
loop.timer(0.001).start(print, 'timer')
loop.run()
print(loop.activecnt, loop.pendingcnt, loop.next_deadline(), loop.iteration > 0, loop.now() > 1e9, loop.default)
"""
        )
        == "timer\n0 0 None True True True\n"
    )
