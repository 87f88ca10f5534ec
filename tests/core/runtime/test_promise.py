"""Promises: what a native thread keeps ends waits in every thread, and until then nobody is taken for stuck."""

import gc
import threading
import time
import weakref

import pytest

from gossamer import _core
from gossamer._core import Promise, get_hub, getcurrent, interrupt, sleep, spawn
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, beside, in_thread, joined, reported, turns, until


def test_all_who_wait_go_on_when_it_is_kept_in_another_thread() -> None:
    promise = Promise("the tide")
    waiters = [spawn(promise.wait) for _ in range(5)]
    turns()
    with beside(promise.keep):
        assert joined(*waiters) == [True] * 5
    assert promise.kept
    assert promise.wait() is True


def test_a_wait_ends_after_its_timeout() -> None:
    promise = Promise()
    assert promise.wait(timeout=0.001) is False
    assert not promise.kept
    promise.keep()
    assert promise.wait(timeout=0) is True


def test_waiters_of_several_threads_go_on() -> None:
    promise, results = Promise(), []

    def wait() -> None:
        results.append(promise.wait())

    with beside(wait), beside(wait):
        it = spawn(wait)
        turns()
        promise.keep()
        joined(it)
        until(lambda: len(results) == 3)
    assert results == [True] * 3


def test_a_wait_can_be_interrupted() -> None:
    promise = Promise()
    it = spawn(promise.wait)
    turns()
    assert interrupt(it, LookupError("enough"))
    joined(it)
    assert isinstance(it.exception, LookupError)
    promise.keep()


def test_a_wait_on_the_hub_greenlet_is_refused() -> None:
    promise = Promise()
    with reported() as reports:
        get_hub().run_callback(promise.wait)
        turns()
    assert [report.type for report in reports] == [_core.BlockingSwitchOutError]


def test_the_callback_is_called_once_on_the_hub_greenlet_of_the_thread_that_made_it() -> None:
    called = []
    promise = Promise(callback=lambda: called.append((getcurrent(), threading.get_native_id())))

    def keep_twice() -> None:
        promise.keep()
        promise.keep()

    in_thread(keep_twice)
    assert called == []
    sleep(0.01)
    assert called == [(get_hub(), threading.get_native_id())]


def test_a_callback_for_a_thread_that_has_ended_is_dropped() -> None:
    called: list[int] = []
    promise = in_thread(lambda: Promise(callback=lambda: called.append(1)))
    promise.keep()
    turns()
    assert called == []
    assert promise.kept


def test_a_promise_in_a_cycle_with_its_callback_is_collected() -> None:
    class Owner:
        def __init__(self) -> None:
            self.promise = Promise(callback=self.method)

        def method(self) -> None:
            raise AssertionError("nobody kept it")

    owner = Owner()
    gone = weakref.ref(owner)
    del owner
    gc.collect()
    assert gone() is None


@pytest.mark.parametrize("arguments", [("x",), (float("nan"),)])
def test_a_timeout_that_is_no_time_is_refused(arguments: tuple[object]) -> None:
    promise = Promise()
    with pytest.raises((TypeError, ValueError)):
        promise.wait(*arguments)  # type: ignore[arg-type]
    promise.keep()


def test_nobody_is_taken_for_stuck_until_it_is_kept() -> None:
    out = output_of(
        PRELUDE
        + """
def work():
    _core.pool_thread_begin()
    time.sleep(0.7)
    queue.unpark()
    promise.keep()
    time.sleep(60)
queue, promise = WaitQueue(), _core.Promise()
threading.Thread(target=work, daemon=True).start()
print(queue.park())
try:
    queue.park()
except LoopExit:
    print('LoopExit')
"""
    )
    assert out == "True\nLoopExit\n"


def test_a_promise_that_is_dropped_holds_nobody_up() -> None:
    out = output_of(
        PRELUDE
        + """
promise = _core.Promise()
del promise
try:
    WaitQueue().park()
except LoopExit:
    print('LoopExit')
"""
    )
    assert out == "LoopExit\n"


def test_a_thread_tells_whether_it_has_a_hub() -> None:
    assert _core.thread_has_hub()

    def before_and_after() -> tuple[bool, bool]:
        before = _core.thread_has_hub()
        get_hub()
        return before, _core.thread_has_hub()

    assert in_thread(before_and_after) == (False, True)


def test_threads_of_a_pool_are_counted_once_and_not_in_a_child() -> None:
    out = output_of(
        PRELUDE
        + """
begun = []
def work():
    _core.pool_thread_begin()
    _core.pool_thread_begin()
    begun.append(1)
    time.sleep(60)
threading.Thread(target=work, daemon=True).start()
until(lambda: begun)
def stuck():
    try:
        WaitQueue().park()
    except LoopExit:
        print('LoopExit', flush=True)
child = os.fork()
if child == 0:
    leave(stuck)
wait_for(child)
stuck()
"""
    )
    assert out == "LoopExit\nLoopExit\n"


def test_waiting_takes_no_time_of_the_processor() -> None:
    promise = Promise()
    before = time.process_time()
    assert promise.wait(timeout=0.3) is False
    assert time.process_time() - before < 0.2
    promise.keep()
