"""ThreadPool: gevent's interface to native worker threads."""

import contextvars
import gc
import os
import sys
import threading
import weakref
from collections.abc import Iterator
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import get_hub, getcurrent, interrupt, spawn
from gossamer._sync.event import AsyncResult
from gossamer._sync.threadpool import InvalidThreadUseError, ThreadPool
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, joined, reported, turns, until


@pytest.fixture
def pool() -> Iterator[ThreadPool]:
    made = ThreadPool(2)
    yield made
    made.kill()


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    get_hub()
    ends = os.pipe()
    yield ends
    for end in ends:
        os.close(end)


def native_read(descriptor: int) -> bytes:
    data: bytes = _core.original("os", None, "read")(descriptor, 1)
    return data


def fail(text: str) -> None:
    raise LookupError(text)


def test_a_task_is_called_in_another_os_thread_and_its_result_is_an_async_result(pool: ThreadPool) -> None:
    result = pool.spawn(threading.get_native_id)
    assert isinstance(result, AsyncResult)
    assert result.get() != threading.get_native_id()
    assert result.successful()
    assert pool.spawn(int, "ff", base=16).get() == 255


def test_a_result_links(pool: ThreadPool) -> None:
    seen: list[Any] = []
    result = pool.spawn(int, "7")
    result.rawlink(lambda done: seen.append((done.value, getcurrent())))
    until(lambda: seen)
    assert seen == [(7, get_hub())]


def test_a_failure_is_raised_by_get_with_its_traceback_and_told_to_the_hub(pool: ThreadPool) -> None:
    with reported() as reports:
        result = pool.spawn(fail, "here")
        with pytest.raises(LookupError, match="here") as caught:
            result.get()
        turns()
    assert "fail" in [entry.name for entry in caught.traceback]
    assert [(report.type, report.context) for report in reports] == [(LookupError, (pool, fail))]
    assert not result.successful()
    assert isinstance(result.exception, LookupError)


def test_the_length_is_the_number_of_unfinished_tasks(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    assert not pool
    results = [pool.spawn(native_read, pipe[0]) for _ in range(2)]
    assert len(pool) == 2
    assert pool
    os.write(pipe[1], b"xx")
    assert [result.get() for result in results] == [b"x", b"x"]
    assert len(pool) == 0


def test_spawn_waits_while_a_task_stands_in_line_already(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    for _ in range(pool.maxsize + 1):
        pool.spawn(native_read, pipe[0])
    spawners = [spawn(pool.spawn, native_read, pipe[0]) for _ in range(3)]
    turns()
    assert [it.ready() for it in spawners] == [False] * 3
    assert (len(pool), pool.size) == (3, 2)
    os.write(pipe[1], b"x")
    until(lambda: spawners[0].ready())
    assert [it.ready() for it in spawners] == [True, False, False]
    os.write(pipe[1], b"xxxxx")
    assert [result.get() for result in joined(*spawners)] == [b"x"] * 3


def test_who_is_interrupted_while_waiting_for_a_place_leaves_it_to_the_next(
    pool: ThreadPool, pipe: tuple[int, int]
) -> None:
    for _ in range(3):
        pool.spawn(native_read, pipe[0])
    first, second = (spawn(pool.spawn, int, text) for text in "12")
    turns()
    os.write(pipe[1], b"xxx")
    until(lambda: len(pool) < 3 or first.ready())
    interrupt(first, LookupError("enough"))
    joined(first)
    assert joined(second)[0].get() == 2


def test_a_pool_of_no_threads_starts_nothing_until_it_is_enlarged() -> None:
    pool = ThreadPool(0)
    first = pool.spawn(int, "5")
    spawner = spawn(pool.spawn, int, "6")
    turns()
    assert (len(pool), pool.size, first.ready(), spawner.ready()) == (1, 0, False, False)
    pool.maxsize = 1
    assert (first.get(), joined(spawner)[0].get()) == (5, 6)
    pool.kill()


def test_join_waits_for_every_task(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    pool.join()
    results = [pool.spawn(native_read, pipe[0]) for _ in range(2)]
    joiners = [spawn(pool.join) for _ in range(2)]
    os.write(pipe[1], b"x")
    until(lambda: len(pool) == 1)
    turns()
    assert [it.ready() for it in joiners] == [False, False]
    os.write(pipe[1], b"x")
    joined(*joiners)
    assert all(result.ready() for result in results)


def test_apply_returns_or_raises(pool: ThreadPool) -> None:
    assert pool.apply(int, ("ff",), {"base": 16}) == 255
    with reported(), pytest.raises(LookupError, match="here"):
        pool.apply(fail, ("here",))


def test_apply_calls_at_once_in_a_native_thread(pool: ThreadPool) -> None:
    assert pool.apply(lambda: pool.apply(threading.get_native_id) == threading.get_native_id()) is True


def test_a_task_is_given_in_the_thread_of_the_pool(pool: ThreadPool) -> None:
    def refusal() -> str:
        with pytest.raises(InvalidThreadUseError) as caught:
            pool.spawn(int)
        return str(caught.value)

    assert "thread" in in_thread(refusal)
    with pytest.raises(InvalidThreadUseError):
        ThreadPool(1, in_thread(get_hub))


def test_map_keeps_the_order(pool: ThreadPool) -> None:
    assert pool.map(lambda number: number * number, range(20)) == [number * number for number in range(20)]
    assert list(pool.imap(lambda number: -number, range(20))) == [-number for number in range(20)]
    assert list(pool.imap(lambda a, b: a + b, range(5), range(5), maxsize=2)) == [0, 2, 4, 6, 8]


def test_imap_unordered_gives_what_is_done_first(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    def job(number: int) -> int:
        if number == 0:
            native_read(pipe[0])
        return number

    results = pool.imap_unordered(job, range(3))
    assert sorted([next(results), next(results)]) == [1, 2]
    os.write(pipe[1], b"x")
    assert list(results) == [0]


def test_apply_async_and_its_kin_return_at_once_and_call_back(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    for _ in range(2):
        pool.spawn(native_read, pipe[0])
    seen: list[Any] = []
    one = pool.apply_async(int, ("7",), callback=seen.append)
    many = pool.map_async(int, "89", callback=seen.append)
    turns()
    assert not one.ready()
    os.write(pipe[1], b"xx")
    assert one.get() == 7
    assert many.get() == [8, 9]
    assert pool.apply_cb(int, ("6",), callback=seen.append) == 6
    until(lambda: len(seen) == 3)
    assert seen[0] in (7, [8, 9])
    assert seen[2] == 6


def test_threads_are_started_on_demand_and_counted(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    assert (pool.size, pool.maxsize) == (0, 2)
    pool.apply(int)
    pool.apply(int)
    assert pool.size == 1
    for _ in range(2):
        pool.spawn(native_read, pipe[0])
    assert pool.size == 2
    os.write(pipe[1], b"xx")
    pool.join()
    assert "size=2" in repr(pool)
    assert "tasks=0" in repr(pool)


def test_the_size_can_be_set(pool: ThreadPool) -> None:
    pool.size = 2
    assert pool.size == 2
    pool.size = 1
    assert pool.size == 1
    assert pool.apply(int) == 0
    for wrong in (3, -1):
        with pytest.raises(ValueError, match="size"):
            pool.size = wrong
    pool.maxsize = 5
    pool.size = 5
    pool.maxsize = 3
    assert pool.size == 3


def test_threads_beyond_a_smaller_limit_end_after_their_tasks(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    results = [pool.spawn(native_read, pipe[0]) for _ in range(2)]
    pool.maxsize = 1
    waiting = spawn(pool.spawn, int, "5")
    os.write(pipe[1], b"xx")
    assert [result.get() for result in results] == [b"x"] * 2
    assert joined(waiting)[0].get() == 5
    assert pool.size == 1


@pytest.mark.parametrize(("wrong", "error"), [(-1, ValueError), ("4", TypeError), (None, TypeError), (2.0, TypeError)])
def test_a_wrong_limit_is_refused(wrong: Any, error: type[Exception], pool: ThreadPool) -> None:
    with pytest.raises(error, match="maxsize"):
        ThreadPool(wrong)
    with pytest.raises(error, match="maxsize"):
        pool.maxsize = wrong
    assert pool.maxsize == 2


def test_kill_ends_all_threads_after_their_tasks_and_the_pool_can_be_used_again(pipe: tuple[int, int]) -> None:
    pool = ThreadPool(2)
    result = pool.spawn(native_read, pipe[0])
    killer = spawn(pool.kill)
    turns()
    assert not killer.ready()
    os.write(pipe[1], b"x")
    joined(killer)
    assert result.get() == b"x"
    assert pool.size == 0
    assert pool.spawn(int, "5").get() == 5
    pool.kill()


def test_idle_threads_end() -> None:
    pool = ThreadPool(2, idle_task_timeout=0.001)
    assert pool.apply(int) == 0
    until(lambda: pool.size == 0)
    assert pool.apply(int) == 0


def test_the_threads_of_a_dropped_pool_end_and_its_tasks_are_finished_first(pipe: tuple[int, int]) -> None:
    pool = ThreadPool(2)
    workers = pool._workers
    gone = weakref.ref(pool)
    result = pool.spawn(native_read, pipe[0])
    del pool
    os.write(pipe[1], b"x")
    assert result.get() == b"x"
    until(lambda: gc.collect() is None or gone() is None)
    assert workers.size == 0


def test_a_task_sees_no_context_of_its_caller_or_of_another_task(pool: ThreadPool) -> None:
    variable = contextvars.ContextVar("variable", default="default")
    variable.set("the caller's")
    pool.size = 1
    assert pool.apply(variable.get) == "default"
    pool.apply(variable.set, ("left behind",))
    assert pool.apply(variable.get) == "default"


def test_hooks_for_new_threads_see_tasks_while_they_are_set(pool: ThreadPool) -> None:
    calls: list[str] = []

    def note(frame: Any, event: str, argument: Any) -> None:
        calls.append(frame.f_code.co_name)

    def traced() -> tuple[object, object]:
        return sys.getprofile(), sys.gettrace()

    before = threading.getprofile(), threading.gettrace()
    threading.setprofile(note)
    try:
        profile, _ = pool.apply(traced)
    finally:
        threading.setprofile(before[0])  # type: ignore[arg-type,unused-ignore]
    assert profile is note
    assert "traced" in calls
    if before == (None, None):
        assert pool.apply(traced) == (None, None)


def test_a_waiter_that_is_interrupted_leaves_the_task_to_itself(pool: ThreadPool, pipe: tuple[int, int]) -> None:
    waiter = spawn(pool.apply, native_read, (pipe[0],))
    turns()
    interrupt(waiter, LookupError("enough"))
    joined(waiter)
    assert len(pool) == 1
    os.write(pipe[1], b"x")
    pool.join()


def test_results_arrive_though_the_hub_greenlet_is_another_by_then() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.threadpool import ThreadPool
pool = ThreadPool(1)
reader, writer = os.pipe()
result = pool.spawn(_core.original('os', None, 'read'), reader, 1)
hub = get_hub()
try:
    hub.throw(LookupError('a new hub greenlet'))
except LookupError:
    pass
assert get_hub() is not hub
os.write(writer, b'x')
print(result.get())
"""
    )
    assert out == "b'x'\n"


def test_a_child_has_a_pool_that_works_and_fails_the_task_under_way() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.threadpool import ThreadPool
pool = ThreadPool(1)
reader, writer = os.pipe()
began = []
def job():
    began.append(1)
    return _core.original('os', None, 'read')(reader, 1)
result = pool.spawn(job)
until(lambda: began)
def check():
    with reported():
        try:
            result.get()
        except RuntimeError as error:
            print('fork' in str(error))
    print(len(pool), pool.spawn(int, '5').get(), pool.size)
child = os.fork()
if child == 0:
    leave(check)
wait_for(child)
os.write(writer, b'x')
print(result.get())
"""
    )
    assert out == "True\n0 5 1\nb'x'\n"


def test_a_process_with_a_pool_exits_and_may_have_loop_exit() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.threadpool import ThreadPool
pool = ThreadPool(3)
pool.size = 3
try:
    WaitQueue().park()
except LoopExit:
    print('LoopExit')
pool.spawn(_core.original('time', None, 'sleep'), 1000)
"""
    )
    assert out == "LoopExit\n"


def test_the_names_are_where_gevent_has_them() -> None:
    import gossamer.resolver.blocking
    import gossamer.resolver.thread
    import gossamer.threadpool
    from gossamer._sync import resolver, threadpool

    assert gossamer.threadpool.ThreadPool is ThreadPool
    assert gossamer.threadpool.ThreadPoolExecutor is threadpool.ThreadPoolExecutor
    assert gossamer.resolver.thread.Resolver is gossamer.resolver.Resolver is resolver.Resolver
    assert gossamer.resolver.blocking.Resolver is resolver.BlockingResolver
