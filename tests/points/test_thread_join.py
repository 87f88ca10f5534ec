"""Joining: green threads and native ones, from each other, whatever the version does beneath."""

import _thread
import sys
import threading
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import spawn
from tests.support.children import output_of
from tests.support.green_threads import green_threads


@pytest.fixture(autouse=True)
def _green() -> Iterator[None]:
    with green_threads():
        yield


def native_thread(function: Callable[..., Any], *args: Any) -> threading.Thread:
    """A started threading.Thread of the operating system."""
    _core.points_switch("green-threads", False)
    thread = threading.Thread(target=function, args=args)
    thread.start()
    _core.points_switch("green-threads", True)
    return thread


def green_thread(function: Callable[..., Any], *args: Any) -> threading.Thread:
    thread = threading.Thread(target=function, args=args)
    thread.start()
    return thread


def test_a_native_thread_joins_a_green_one() -> None:
    gate, ends = threading.Event(), []

    def body() -> None:
        gate.wait()
        ends.append("green")

    green = green_thread(body)

    def native() -> None:
        gate.set()
        green.join()
        ends.append("native")

    native_thread(native).join()
    assert ends == ["green", "native"]


def test_a_green_thread_joins_a_native_one_while_others_run() -> None:
    gate = threading.Event()
    native = native_thread(gate.wait)
    ends = []

    def join() -> None:
        native.join()
        ends.append(native.is_alive())

    threads = [green_thread(join) for _ in range(3)]
    _core.sleep(0)
    assert ends == []
    gate.set()
    for thread in threads:
        thread.join(60)
    assert ends == [False] * 3


def test_a_native_thread_that_began_before_gossamer_is_joined_without_blocking() -> None:
    out = output_of(
        """
        import threading
        gate = threading.Event()
        native = threading.Thread(target=gate.wait)
        native.start()
        from gossamer import _core
        _core.spawn(gate.set)
        native.join()
        print(native.is_alive())
        """
    )
    assert out == "False\n"


def test_join_gives_up_in_time_and_may_be_repeated() -> None:
    for start in (native_thread, green_thread):
        gate = threading.Event()
        thread = start(gate.wait)
        for timeout in (0, 0.001, 0.001):
            thread.join(timeout)
            assert thread.is_alive()
        gate.set()
        thread.join(60)
        assert not thread.is_alive()
        thread.join()


def test_many_join_the_same_thread() -> None:
    gate, ends = threading.Event(), []
    target = green_thread(gate.wait)

    def join(name: str) -> None:
        target.join()
        ends.append(name)

    joiners = [green_thread(join, "green") for _ in range(3)] + [native_thread(join, "native") for _ in range(2)]
    spawned = spawn(join, "spawned")
    _core.sleep(0)
    gate.set()
    for thread in joiners:
        thread.join(60)
    spawned.join(60)
    assert sorted(ends) == ["green"] * 3 + ["native"] * 2 + ["spawned"]


def test_a_thread_joins_another_hubs_green_thread() -> None:
    gate, ready = _thread.allocate_lock(), threading.Event()
    gate.acquire()
    elsewhere = []

    def other_hub() -> None:
        _core.get_hub()
        elsewhere.append(green_thread(gate.acquire))
        ready.set()
        elsewhere[0].join()

    native = native_thread(other_hub)
    ready.wait()

    def open_gate() -> None:
        time.sleep(0.001)
        gate.release()

    green_thread(open_gate)
    elsewhere[0].join()
    assert not elsewhere[0].is_alive()
    native.join()


def test_joining_oneself_or_one_that_has_not_started_is_refused() -> None:
    errors = []

    def body() -> None:
        for thread in (threading.current_thread(), threading.Thread()):
            with pytest.raises(RuntimeError) as refused:
                thread.join()
            errors.append(str(refused.value))

    green_thread(body).join()
    assert errors == ["cannot join current thread", "cannot join thread before it is started"]


@pytest.mark.skipif(
    sys.version_info < (3, 13), reason="there threading takes a thread for stopped when a join() of it is interrupted"
)
def test_an_interrupt_ends_a_join_and_the_thread_goes_on() -> None:
    gate = threading.Event()
    for target in (native_thread(gate.wait), green_thread(gate.wait)):
        joiner = spawn(target.join)
        _core.sleep(0)
        assert _core.interrupt(joiner, _core.GreenletExit())
        joiner.join(60)
        assert joiner.ready()
        assert target.is_alive()
    gate.set()
    for _ in range(1000):
        if threading.active_count() == 1:
            break
        _core.sleep(0.001)


def test_a_deadlocked_join_is_reported() -> None:
    out = output_of(
        """
        import threading
        from gossamer import _core
        _core.get_hub()
        _core.points_switch('green-threads', True)
        lock = threading.Lock()
        lock.acquire()
        thread = threading.Thread(target=lock.acquire, daemon=True)
        thread.start()
        try:
            thread.join()
        except _core.LoopExit:
            print('reported')
        """
    )
    assert out == "reported\n"
