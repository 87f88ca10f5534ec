"""ThreadPoolExecutor: the interface of concurrent.futures over native threads, whatever is switched on."""

import asyncio
import concurrent.futures
import gc
import os
import threading
from collections.abc import Iterator
from concurrent.futures.thread import BrokenThreadPool
from typing import Any

import pytest

from gossamer import _core
from gossamer._core import get_hub, getcurrent, spawn
from gossamer._sync.threadpool import ThreadPoolExecutor
from tests.support.children import output_of
from tests.support.runtime import PRELUDE, in_thread, joined, turns, until


@pytest.fixture
def executor() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(2) as made:
        yield made


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


def test_it_is_an_executor_of_the_standard_library(executor: ThreadPoolExecutor) -> None:
    assert isinstance(executor, concurrent.futures.ThreadPoolExecutor)
    future = executor.submit(int, "ff", base=16)
    assert isinstance(future, concurrent.futures.Future)
    assert future.result() == 255
    assert executor.submit(threading.get_native_id).result() != threading.get_native_id()
    assert list(executor.map(lambda a, b: a + b, range(5), range(5))) == [0, 2, 4, 6, 8]


def test_exceptions_are_the_futures(executor: ThreadPoolExecutor) -> None:
    future = executor.submit(int, "x")
    with pytest.raises(ValueError, match="invalid literal"):
        future.result()
    assert isinstance(future.exception(), ValueError)


def test_others_run_while_a_result_is_waited_for(executor: ThreadPoolExecutor, pipe: tuple[int, int]) -> None:
    waiter = spawn(executor.submit(native_read, pipe[0]).result)
    turns()
    assert not waiter.ready()
    os.write(pipe[1], b"x")
    assert joined(waiter) == [b"x"]


def test_futures_can_be_waited_for_together(executor: ThreadPoolExecutor, pipe: tuple[int, int]) -> None:
    slow, quick = executor.submit(native_read, pipe[0]), executor.submit(int)
    done, waiting = concurrent.futures.wait([slow, quick], return_when=concurrent.futures.FIRST_COMPLETED)
    assert (done, waiting) == ({quick}, {slow})
    os.write(pipe[1], b"x")
    assert list(concurrent.futures.as_completed([slow])) == [slow]


def test_a_result_that_takes_too_long_times_out(executor: ThreadPoolExecutor, pipe: tuple[int, int]) -> None:
    future = executor.submit(native_read, pipe[0])
    with pytest.raises(concurrent.futures.TimeoutError):
        future.result(timeout=0.01)
    os.write(pipe[1], b"x")
    assert future.result() == b"x"


def test_futures_link_as_what_green_threads_wait_for_does(executor: ThreadPoolExecutor, pipe: tuple[int, int]) -> None:
    seen: list[Any] = []
    future: Any = executor.submit(native_read, pipe[0])
    unwanted = seen.append
    future.rawlink(unwanted)
    future.rawlink(lambda it: seen.append((it, getcurrent())))
    future.unlink(unwanted)
    assert not future.ready()
    os.write(pipe[1], b"x")
    until(lambda: seen)
    future.rawlink(seen.append)
    until(lambda: len(seen) == 2)
    assert seen == [(future, get_hub()), future]
    assert future.ready()


def test_any_thread_may_submit(executor: ThreadPoolExecutor) -> None:
    assert in_thread(lambda: executor.submit(int, "7").result()) == 7


def test_no_more_calls_than_workers_run_at_once_and_those_that_wait_can_be_cancelled(
    executor: ThreadPoolExecutor, pipe: tuple[int, int]
) -> None:
    running: list[int] = []

    def job() -> bytes:
        running.append(1)
        return native_read(pipe[0])

    futures = [executor.submit(job) for _ in range(4)]
    until(lambda: len(running) == 2)
    assert futures[3].cancel()
    assert not futures[0].cancel()
    os.write(pipe[1], b"xxx")
    assert [future.result() for future in futures[:3]] == [b"x"] * 3
    with pytest.raises(concurrent.futures.CancelledError):
        futures[3].result()
    assert len(running) == 3


def test_shutdown_waits_for_what_was_submitted_and_refuses_more(pipe: tuple[int, int]) -> None:
    executor = ThreadPoolExecutor(1)
    futures = [executor.submit(native_read, pipe[0]) for _ in range(2)]
    stopper = spawn(executor.shutdown)
    turns()
    assert not stopper.ready()
    with pytest.raises(RuntimeError, match="after shutdown"):
        executor.submit(int)
    os.write(pipe[1], b"xx")
    joined(stopper)
    assert all(future.done() for future in futures)


def test_shutdown_can_cancel_what_has_not_begun(pipe: tuple[int, int]) -> None:
    executor = ThreadPoolExecutor(1)
    begun, waiting = (executor.submit(native_read, pipe[0]) for _ in range(2))
    until(begun.running)
    executor.kill()
    assert waiting.cancelled()
    os.write(pipe[1], b"x")
    assert begun.result() == b"x"


def test_an_initializer_runs_in_each_thread_first() -> None:
    local = threading.local()

    def initialize(value: int) -> None:
        local.value = value

    with ThreadPoolExecutor(2, initializer=initialize, initargs=(7,)) as executor:
        assert executor.submit(lambda: local.value).result() == 7


def test_an_initializer_that_fails_breaks_the_executor(caplog: pytest.LogCaptureFixture) -> None:
    executor = ThreadPoolExecutor(1, initializer=int, initargs=("x",))
    with pytest.raises(BrokenThreadPool):
        executor.submit(int).result()
    with pytest.raises(BrokenThreadPool):
        executor.submit(int)
    assert "Exception in initializer" in caplog.text
    executor.shutdown()


@pytest.mark.parametrize("initializer", [None, int])
def test_the_threads_of_a_dropped_executor_end(initializer: Any) -> None:
    executor = ThreadPoolExecutor(2, initializer=initializer)
    workers = executor._native
    executor.submit(int).result()
    assert workers.size == 1
    del executor
    until(lambda: gc.collect() is None or workers.size == 0)


def test_a_wrong_number_of_workers_is_refused() -> None:
    with pytest.raises(ValueError, match="max_workers"):
        ThreadPoolExecutor(0)


def test_asyncio_takes_it_for_its_default_executor() -> None:
    async def main() -> int:
        loop = asyncio.get_running_loop()
        loop.set_default_executor(ThreadPoolExecutor(2))
        return await asyncio.to_thread(int, "7")

    assert asyncio.run(main()) == 7


def test_the_threads_are_native_with_green_threads_switched_on() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.threadpool import ThreadPoolExecutor
get_hub()
_core.points_switch('green-threads', True)
with ThreadPoolExecutor(1) as executor:
    print(executor.submit(threading.get_native_id).result() != threading.get_native_id())
"""
    )
    assert out == "True\n"


def test_a_child_fails_the_future_under_way() -> None:
    out = output_of(
        PRELUDE
        + """
from gossamer._sync.threadpool import ThreadPoolExecutor
get_hub()
executor = ThreadPoolExecutor(1)
reader, writer = os.pipe()
future = executor.submit(_core.original('os', None, 'read'), reader, 1)
until(future.running)
def check():
    print('fork' in str(future.exception()), executor.submit(int, '5').result())
child = os.fork()
if child == 0:
    leave(check)
wait_for(child)
os.write(writer, b'x')
print(future.result())
"""
    )
    assert out == "True 5\nb'x'\n"
