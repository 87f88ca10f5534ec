"""Native worker threads: they are started as needed, end when idle or dismissed, and survive a fork as promised."""

import gc
import os
import threading
import weakref
from collections import deque
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import getcurrent
from gossamer._sync.workers import Call, Workers
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, until

native_read = _core.original("os", None, "read")


@pytest.fixture(autouse=True)
def _hub() -> None:
    _core.get_hub()


@pytest.fixture
def workers() -> Iterator[Workers]:
    made = Workers(3)
    yield made
    for ending in made.dismiss(made.size):
        assert ending.wait(timeout=30)


def submitted(workers: Workers, *parts: Any, **options: Any) -> Call:
    call = Call(parts[0], parts[1:], {}, **options)
    workers.submit(call)
    return call


def finished(call: Call) -> Any:
    assert call.promise.wait(timeout=30)
    return call.outcome()


class Gate:
    """Calls that are in the middle of `enter` until `open`."""

    def __init__(self) -> None:
        self.reader, self.writer = os.pipe()
        self.entered: list[int] = []

    def enter(self) -> int:
        self.entered.append(threading.get_native_id())
        _core.original("os", None, "read")(self.reader, 1)
        return threading.get_native_id()

    def open(self, count: int) -> None:
        os.write(self.writer, b"x" * count)

    def close(self) -> None:
        os.close(self.reader)
        os.close(self.writer)


@pytest.fixture
def gate() -> Iterator[Gate]:
    made = Gate()
    yield made
    made.close()


def test_calls_are_made_in_other_threads_at_the_same_time_up_to_the_limit(workers: Workers, gate: Gate) -> None:
    calls = [submitted(workers, gate.enter) for _ in range(5)]
    until(lambda: len(gate.entered) == 3)
    assert (workers.size, workers.unfinished) == (3, 5)
    gate.open(5)
    identities = {finished(call) for call in calls}
    assert len(identities) <= 3
    assert threading.get_native_id() not in identities
    assert workers.unfinished == 0


def test_no_more_threads_are_started_than_needed(workers: Workers) -> None:
    for _ in range(10):
        assert finished(submitted(workers, int)) == 0
    assert workers.size == 1


def test_without_a_limit_each_call_has_a_thread(gate: Gate) -> None:
    workers = Workers(None, idle_seconds=0.01)
    calls = [submitted(workers, gate.enter) for _ in range(20)]
    until(lambda: len(set(gate.entered)) == 20)
    gate.open(20)
    assert len({finished(call) for call in calls}) == 20
    until(lambda: workers.size == 0)


def test_idle_threads_end_and_others_take_their_place(workers: Workers) -> None:
    quick = Workers(2, idle_seconds=0.001)
    for number in range(300):
        assert finished(submitted(quick, int, number)) == number
        if number % 50 == 0:
            until(lambda: quick.size == 0)


def test_the_threads_are_daemons_that_threading_does_not_know(workers: Workers) -> None:
    before = threading.enumerate()
    finished(submitted(workers, int))
    assert threading.enumerate() == before


def test_an_exception_is_the_outcome_with_its_traceback(workers: Workers) -> None:
    def fail() -> None:
        raise LookupError("here")

    call = submitted(workers, fail)
    with pytest.raises(LookupError, match="here") as caught:
        finished(call)
    assert "fail" in [entry.name for entry in caught.traceback]


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, _core.GreenletExit, GeneratorExit])
def test_exceptions_of_every_kind_leave_the_thread_alive(workers: Workers, error: type[BaseException]) -> None:
    def fail() -> None:
        raise error

    with pytest.raises(error):
        finished(submitted(workers, fail))
    assert finished(submitted(workers, int)) == 0
    assert workers.size == 1


class Short(deque[Any]):
    """A queue from which nothing can be taken as often as there is said to be no memory."""

    lacking = 3

    def popleft(self) -> Any:
        if self.lacking > 0:
            self.lacking -= 1
            raise MemoryError
        return super().popleft()


def test_a_thread_without_memory_goes_on_when_there_is_some(workers: Workers) -> None:
    items = workers._inbox.items = Short()
    first = submitted(workers, threading.get_native_id)
    one = finished(first)
    until(lambda: workers._inbox.idle)
    items.lacking = 3
    assert finished(submitted(workers, threading.get_native_id)) == one
    assert items.lacking == 0
    until(lambda: len(workers._inbox.idle) == 1)
    assert (workers.size, workers.unfinished) == (1, 0)


def test_a_failed_call_leaves_no_cycle(workers: Workers) -> None:
    class Argument:
        pass

    def fail(argument: Argument) -> None:
        raise LookupError

    argument = Argument()
    gone = weakref.ref(argument)
    call = submitted(workers, fail, argument)
    with pytest.raises(LookupError):
        finished(call)
    del call, argument
    until(lambda: gc.collect() is None or gone() is None)


def test_a_thread_that_got_a_hub_ends_after_the_call_and_what_waits_in_it_with_it(workers: Workers) -> None:
    order = []

    def wait_for_ever() -> None:
        try:
            _core.WaitQueue().park()
        finally:
            order.append("ended")

    def use_a_hub() -> int:
        _core.spawn(wait_for_ever)
        _core.sleep(0.001)
        return threading.get_native_id()

    identity = finished(submitted(workers, use_a_hub))
    until(lambda: order == ["ended"])
    others = {finished(submitted(workers, threading.get_native_id)) for _ in range(5)}
    assert identity not in others
    assert workers.size == 1


def test_dismissed_threads_first_make_the_calls_submitted_before(workers: Workers, gate: Gate) -> None:
    calls = [submitted(workers, gate.enter) for _ in range(6)]
    until(lambda: len(gate.entered) == 3)
    leaving = workers.dismiss(5)
    assert len(leaving) == 3
    assert workers.size == 0
    assert not any(promise.kept for promise in leaving)
    gate.open(6)
    for call in calls:
        finished(call)
    assert all(promise.wait(timeout=30) for promise in leaving)


def test_threads_can_be_started_ahead(workers: Workers) -> None:
    workers.start(2)
    assert workers.size == 2
    finished(submitted(workers, int))
    assert workers.size == 2


def test_what_begins_a_thread_runs_in_each_once(gate: Gate) -> None:
    begun: list[int] = []
    workers = Workers(2, idle_seconds=0.01, begin=lambda: begun.append(threading.get_native_id()))
    calls = [submitted(workers, gate.enter) for _ in range(4)]
    until(lambda: len(gate.entered) == 2)
    gate.open(4)
    identities = {finished(call) for call in calls}
    assert sorted(begun) == sorted(identities)
    until(lambda: workers.size == 0)


def test_a_value_that_nobody_wants_any_more_is_discarded_once_whoever_is_later(workers: Workers, gate: Gate) -> None:
    discarded: list[object] = []
    early = submitted(workers, lambda: gate.enter() and "early", discard=discarded.append)
    until(lambda: gate.entered)
    early.abandon()
    assert discarded == []
    gate.open(1)
    until(lambda: discarded == ["early"])
    late = submitted(workers, lambda: "late", discard=discarded.append)
    assert late.promise.wait(timeout=30)
    late.abandon()
    assert discarded == ["early", "late"]


def test_a_failed_call_has_nothing_to_discard(workers: Workers) -> None:
    call = submitted(workers, lambda: int("x"), discard=pytest.fail)
    assert call.promise.wait(timeout=30)
    call.abandon()
    assert isinstance(call.error, ValueError)


def test_the_callback_runs_on_the_hub_greenlet_after_the_end(workers: Workers) -> None:
    seen = []
    call = Call(int, ("7",), {}, callback=lambda: seen.append((call.value, getcurrent())))
    workers.submit(call)
    until(lambda: seen)
    assert seen == [(7, _core.get_hub())]


def test_calls_from_many_threads_at_once_are_all_made() -> None:
    workers = Workers(4, idle_seconds=0.001)
    total: list[int] = []

    def submit_many() -> None:
        for _ in range(200):
            submitted(workers, total.append, 1)

    threads = [threading.Thread(target=submit_many) for _ in range(4)]
    for thread in threads:
        thread.start()
    submit_many()
    until(lambda: len(total) == 1000)
    until(lambda: workers.size == 0 and workers.unfinished == 0)


def test_without_a_thread_the_call_is_refused_and_forgotten() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.workers import Call, Workers
get_hub()
workers = Workers(2)
call = Call(int, (), {})
threading.stack_size(1 << 47)
try:
    workers.submit(call)
except RuntimeError as error:
    print('refused', workers.size, workers.unfinished, type(call.error).__name__)
threading.stack_size(0)
again = Call(int, ('5',), {})
workers.submit(again)
again.promise.wait()
print(again.outcome())
"""
    )
    assert out == "refused 0 0 RuntimeError\n5\n"


def test_they_stay_native_with_green_threads_switched_on() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.workers import Call, Workers
get_hub()
_core.points_switch('green-threads', True)
workers = Workers(1)
call = Call(lambda: (threading.get_native_id(), getcurrent().parent, _core.thread_has_hub()), (), {})
workers.submit(call)
call.promise.wait()
identity, parent, has_hub = call.outcome()
print(identity != threading.get_native_id(), parent, has_hub)
"""
    )
    assert out == "True None False\n"


FORK = (
    PRELUDE
    + """
from gossamer._sync.workers import Call, Workers
get_hub()
read = _core.original('os', None, 'read')
reader, writer = os.pipe()
reader_of_child, writer_of_child = os.pipe()
parent = os.getpid()
workers = Workers(1)
begun = []
def job(name):
    begun.append(name)
    return name, read(reader if os.getpid() == parent else reader_of_child, 1)
def submitted(name, **options):
    call = Call(job, (name,), {}, **options)
    workers.submit(call)
    return call
"""
)


def test_a_child_makes_the_calls_that_had_not_begun_and_loses_the_one_under_way() -> None:
    out = output_of(
        FORK
        + """
first, second = submitted('first'), submitted('second')
waiters = [spawn(call.promise.wait) for call in (first, second)]
until(lambda: begun)
def check():
    os.write(writer_of_child, b'c')
    joined(*waiters)
    try:
        first.outcome()
    except RuntimeError as error:
        print('lost:', error)
    print(second.outcome(), workers.size, workers.unfinished)
    third = submitted('third')
    os.write(writer_of_child, b'3')
    third.promise.wait()
    print(third.outcome())
child = os.fork()
if child == 0:
    leave(check)
wait_for(child)
os.write(writer, b'pp')
joined(*waiters)
print(first.outcome(), second.outcome())
"""
    )
    assert out == (
        "lost: a fork interrupted this call: its native thread does not exist in the child process\n"
        "('second', b'c') 1 0\n('third', b'3')\n('first', b'p') ('second', b'p')\n"
    )


def test_a_child_makes_a_repeatable_call_again() -> None:
    out = output_of(
        FORK
        + """
call = submitted('it', repeatable=True)
until(lambda: begun)
def check():
    os.write(writer_of_child, b'c')
    call.promise.wait()
    print(call.outcome())
child = os.fork()
if child == 0:
    leave(check)
wait_for(child)
os.write(writer, b'p')
call.promise.wait()
print(call.outcome())
"""
    )
    assert out == "('it', b'c')\n('it', b'p')\n"


def test_a_child_that_can_start_no_thread_is_told_so_instead_of_waiting_for_ever() -> None:
    out = output_of(
        FORK
        + """
call = submitted('it', repeatable=True)
until(lambda: begun)
def check():
    call.promise.wait(patience(30))
    try:
        call.outcome()
    except RuntimeError as error:
        print('lost:', error)
threading.stack_size(1 << 46)
child = os.fork()
if child == 0:
    leave(check)
wait_for(child)
os.write(writer, b'p')
call.promise.wait()
"""
    )
    assert out == "lost: no native thread could be started for the call\n"


def test_a_child_forked_by_a_call_ends_with_it() -> None:
    out = output_of(
        FORK
        + """
def fork():
    child = os.fork()
    return child
call = Call(fork, (), {})
workers.submit(call)
call.promise.wait()
child = call.outcome()
wait_for(child)
print('ended')
"""
    )
    assert out == "ended\n"


@pytest.mark.parametrize("job", ["read(reader, 1)", "(lambda: [None for _ in iter(int, 1)])()", "sleep(60)"])
def test_the_process_exits_with_a_call_under_way(job: str) -> None:
    out = output_of(
        FORK
        + f"""
call = Call(lambda: begun.append(1) or {job}, (), {{}})
workers.submit(call)
idle = Workers(3)
idle.start(3)
until(lambda: begun)
print('bye')
"""
    )
    assert out == "bye\n"


def test_idle_threads_keep_nobody_from_loop_exit_and_a_call_does() -> None:
    out = output_of(
        FORK
        + """
workers.start(1)
queue = WaitQueue()
def job():
    time.sleep(0.7)
    queue.unpark()
for _ in range(2):
    call = Call(job, (), {})
    workers.submit(call)
    print(queue.park())
    try:
        queue.park()
    except LoopExit:
        print('LoopExit')
"""
    )
    assert out == "True\nLoopExit\n" * 2
